//! The shards of a store: which shard has a key, and the run ID that all shards share.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use redis::FromRedisValue;
use tokio::sync::OnceCell;

use super::{
    entry,
    feed::Waiter,
    home::slot,
    link::Link,
    record,
    scripts::Lua,
    shard::{Cause, Shard, with_source},
};
use crate::{
    id::RunId,
    store::{FeedEvent, StoreError, Subject, hash},
    time::{Clock as _, SystemClock},
};

/// How long the first call waits for the run IDs of all shards. If the run IDs differ, the call waits up to this long
/// again, until all shards have the newest run ID.
const LEVEL_WITHIN: Duration = Duration::from_millis(300);

/// Tells the operator what to do if the run ID was raised while a shard was unavailable.
#[derive(Debug, thiserror::Error)]
#[error(
    "the run ID was raised in {raised} of {all} shards. It already holds: each running instance takes over the newest \
     run ID, and raises it in the other shards when they answer. Repeat the call if no instance runs; a repeated \
     emergency stop draws another run ID, so users who have signed in meanwhile must sign in again"
)]
struct PartlyRaised {
    raised: usize,
    all: usize,
    source: Cause,
}

/// The shards of a store: one shard on a single primary, several shards in a cluster.
pub(super) struct Shards {
    pub(super) each: Vec<Arc<Shard>>,
    /// The tasks that wait for an event in a shard, also between two reads of the feed.
    pub(super) waiters: Mutex<Vec<Waiter>>,
    /// Why a shard could not be read, and the position that the same read returned. The events of the other shards were
    /// returned first. The next read from this position returns the error.
    pub(super) failure: Mutex<Option<(String, StoreError)>>,
    /// Set when the shards have been asked for their run IDs.
    levelled: OnceCell<()>,
}

impl Shards {
    pub(super) fn new(links: impl IntoIterator<Item = Arc<Link>>, prefix: &str) -> Self {
        let links: Vec<_> = links.into_iter().collect();
        let count = links.len();
        let shard = |(index, link)| Arc::new(Shard::new(link, prefix, index, count));
        Self {
            each: links.into_iter().enumerate().map(shard).collect(),
            waiters: Mutex::default(),
            failure: Mutex::default(),
            levelled: OnceCell::new(),
        }
    }

    /// The shard that has the keys with this hash.
    pub(super) fn shard(&self, hash: &str) -> Result<&Shard, StoreError> {
        let index = usize::from(slot(hash)) % self.each.len().max(1);
        self.each
            .get(index)
            .map(Arc::as_ref)
            .ok_or_else(|| StoreError::configuration("a store without shards"))
    }

    /// Runs `work` in all shards at once. Returns the answers in the order of the shards, or an error if a shard fails.
    pub(super) async fn in_each<T, F>(&self, work: impl Fn(Arc<Shard>) -> F) -> Result<Vec<T>, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        self.answers(work).await.into_iter().collect()
    }

    /// Runs `work` in all shards at once. Returns the answer or the error of each shard, in the order of the shards.
    async fn answers<T, F>(&self, work: impl Fn(Arc<Shard>) -> F) -> Vec<Result<T, StoreError>>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let tasks: Vec<_> = self.each.iter().map(|shard| tokio::spawn(work(shard.clone()))).collect();
        // Waits for all shards, because an error of one shard must not hide what another shard did.
        let mut answers = Vec::with_capacity(tasks.len());
        for task in tasks {
            answers.push(task.await.map_err(StoreError::unavailable).and_then(|answer| answer));
        }
        answers
    }

    /// Runs a script about sessions of a subject.
    pub(super) async fn session_script<T: FromRedisValue>(
        &self,
        script: &Lua,
        subject: &Subject,
        args: &[String],
    ) -> Result<T, StoreError> {
        if self.each.len() > 1 {
            self.levelled.get_or_init(|| self.level_runs()).await;
        }
        let hash = subject_hash(subject);
        self.shard(&hash)?.script(script, Some(&hash), args).await
    }

    /// Returns the run ID that a shard has sent. If the shard has none, restores the run ID in all shards, and returns
    /// it.
    pub(super) async fn settle_run(&self, run: Option<String>) -> Result<RunId, StoreError> {
        match run {
            Some(run) => record::run_id(&run),
            None => self.restore_run().await,
        }
    }

    /// Restores the run ID that a shard has lost. All shards get the newest run ID of the other shards. If no shard has
    /// a run ID, as in a new store, draws one.
    async fn restore_run(&self) -> Result<RunId, StoreError> {
        let known = self.in_each(|shard| async move { shard.run().await }).await?;
        if let Some(newest) = known.into_iter().flatten().max() {
            return self.raise_run(newest).await;
        }
        let mut run = RunId::draw(SystemClock.now())?;
        // One shard after the other. If several callers find no run ID at the same time, the first caller that sets it
        // in the first shard decides.
        for shard in &self.each {
            run = shard.set_run(run, String::new()).await?;
        }
        Ok(run)
    }

    /// Raises the run ID of all shards to the newest one, before this store runs its first script about sessions.
    /// Reason: an emergency stop may have reached only some of the shards. Later, readers of the feed notice such a
    /// difference. Does not wait for a shard that does not answer within [`LEVEL_WITHIN`].
    async fn level_runs(&self) {
        let ask = |shard: Arc<Shard>| async move {
            tokio::time::timeout(LEVEL_WITHIN, shard.run()).await.map_err(StoreError::unavailable)?
        };
        let runs: Vec<_> = self.answers(ask).await.into_iter().flatten().collect();
        if let Some(newest) = runs.iter().flatten().max()
            && runs.iter().any(|run| *run != Some(*newest))
        {
            // If a shard does not get the run ID here, readers of the feed try again.
            drop(tokio::time::timeout(LEVEL_WITHIN, self.raise_run(*newest)).await);
        }
    }

    /// Raises the run ID of each shard. Returns the newest run ID, which all shards then have.
    pub(super) async fn raise_run(&self, mut to: RunId) -> Result<RunId, StoreError> {
        loop {
            let event = entry::encode(&FeedEvent::Run(to))?;
            let work = |shard: Arc<Shard>| {
                let event = event.clone();
                async move { shard.set_run(to, event).await }
            };
            let (mut runs, mut failure) = (Vec::new(), None);
            for answer in self.answers(work).await {
                match answer {
                    Ok(run) => runs.push(run),
                    Err(error) => failure = failure.or(Some(error)),
                }
            }
            let Some(newest) = runs.iter().max().copied() else {
                return failure.map_or(Ok(to), Err);
            };
            if let Some(error) = failure {
                let (raised, all) = (runs.len(), self.each.len());
                return Err(with_source(error, |source| Box::new(PartlyRaised { raised, all, source })));
            }
            if runs.iter().all(|run| *run == newest) {
                return Ok(newest);
            }
            // A shard had a newer run ID, so the other shards must get this run ID.
            to = newest;
        }
    }
}

/// The hash that stands for a subject in keys.
pub(super) fn subject_hash(subject: &Subject) -> String {
    hash(&[subject.realm.as_bytes(), subject.name.as_bytes()])
}
