//! The feeds of all shards as one.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, PoisonError},
    task::Poll,
};

use tokio::task::JoinError;

use super::{
    feed::{HEARTBEAT, ShardBatch, Waiter},
    record,
    shard::Shard,
    shards::Shards,
};
use crate::store::{FeedBatch, FeedFrom, StoreError};

/// Between the positions of two shards.
const SEPARATOR: &str = ",";

impl Shards {
    pub(super) async fn read_feed(&self, from: &FeedFrom) -> Result<FeedBatch, StoreError> {
        if let [shard] = &self.each[..] {
            let batch = shard.read_feed(from, Some(HEARTBEAT)).await?;
            return self.merge(vec![(batch.position.clone(), Some(batch))]).await;
        }
        let from = self.divide(from);
        let waited = self.wait(&from).await;
        // Each is read, also those without news: only an answer proves that a shard had no event until now.
        let read = |shard: Arc<Shard>, from| async move { shard.read_feed(&from, None).await };
        let tasks = self.shards_from(&from).map(|(shard, from)| tokio::spawn(read(shard, from)));
        let tasks: Vec<_> = tasks.collect();
        let mut batches = Vec::with_capacity(tasks.len());
        let mut failure = waited.err();
        for (task, from) in tasks.into_iter().zip(from) {
            match task.await.map_err(StoreError::unavailable).and_then(|batch| batch) {
                Ok(batch) => batches.push((batch.position.clone(), Some(batch))),
                Err(error) => {
                    let FeedFrom::After(position) = from else { return Err(error) };
                    batches.push((position, None));
                    failure = Some(error);
                }
            }
        }
        let Some(error) = failure else { return self.merge(batches).await };
        // What the others have comes first, or a sign-out there would wait for this shard. Their reader asks again at once,
        // and does not take itself for up to date.
        if batches.iter().flat_map(|(_, batch)| batch).all(|batch| batch.events.is_empty() && !batch.gap) {
            return Err(error);
        }
        self.merge(batches).await.map(|batch| FeedBatch { more: true, ..batch })
    }

    fn shards_from<'a>(&'a self, from: &'a [FeedFrom]) -> impl Iterator<Item = (Arc<Shard>, FeedFrom)> + 'a {
        self.each.iter().cloned().zip(from.iter().cloned())
    }

    /// Where to read on in each shard. A position that is none of ours leads to a gap.
    fn divide(&self, from: &FeedFrom) -> Vec<FeedFrom> {
        let count = self.each.len();
        match from {
            FeedFrom::Since(_) => vec![from.clone(); count],
            FeedFrom::After(position) => {
                let positions: Vec<_> = position.split(SEPARATOR).collect();
                let is_ours = positions.len() == count;
                let own =
                    |index: usize| positions.get(index).filter(|_| is_ours).copied().unwrap_or_default();
                (0..count).map(|index| FeedFrom::After(own(index).to_owned())).collect()
            }
        }
    }

    /// Makes one batch of the batches of the shards that answered, and of the positions of all.
    async fn merge(&self, batches: Vec<(String, Option<ShardBatch>)>) -> Result<FeedBatch, StoreError> {
        let (positions, batches): (Vec<_>, Vec<_>) = batches.into_iter().unzip();
        let (mut runs, mut events, mut gap, mut more) = (Vec::new(), Vec::new(), false, false);
        for batch in batches.into_iter().flatten() {
            runs.push(batch.run.as_deref().map(record::run_id).transpose()?);
            events.extend(batch.events);
            gap |= batch.gap;
            more |= batch.more;
        }
        let newest = runs.iter().flatten().max().copied();
        let run = match newest {
            Some(newest) if runs.iter().all(|run| *run == Some(newest)) => newest,
            // A shard could not be reached, or has lost it.
            Some(newest) => self.raise_run(newest).await?,
            None => self.settle_run(None).await?,
        };
        Ok(FeedBatch { events, position: positions.join(SEPARATOR), run, gap, more })
    }

    /// Waits for an event in any shard, at most as long as a heartbeat.
    async fn wait(&self, from: &[FeedFrom]) -> Result<(), StoreError> {
        let mut waiters = Vec::with_capacity(from.len());
        for (index, from) in from.iter().enumerate() {
            let FeedFrom::After(position) = from else { return Ok(()) };
            waiters.push(self.waiter(index, position));
        }
        let event = poll_fn(|context| {
            for waiter in &mut waiters {
                if !waiter.is_done
                    && let Poll::Ready(outcome) = Pin::new(&mut waiter.task).poll(context)
                {
                    waiter.is_done = true;
                    match outcome {
                        Ok(Ok(false)) => {}
                        other => return Poll::Ready(other),
                    }
                }
            }
            Poll::Pending
        });
        let event: Result<Result<Result<bool, StoreError>, JoinError>, _> =
            tokio::time::timeout(HEARTBEAT, event).await;
        let mut kept = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(waiters.into_iter().filter(|waiter| !waiter.is_done));
        drop(kept);
        // Without an event, too, the shards are read.
        event.map_or(Ok(()), |event| event.map_err(StoreError::unavailable)?.map(drop))
    }

    /// The waiter at this position: the one of an earlier read, or a new one.
    fn waiter(&self, index: usize, position: &str) -> Waiter {
        let mut kept = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        // Those at positions that are not read from any more.
        kept.retain(|waiter| !waiter.task.is_finished());
        let is_same = |waiter: &Waiter| waiter.shard == index && waiter.position == position;
        if let Some(place) = kept.iter().position(is_same) {
            return kept.swap_remove(place);
        }
        drop(kept);
        let (shard, at) = (self.each.get(index).cloned(), position.to_owned());
        let task = tokio::spawn(async move {
            match shard {
                Some(shard) => shard.wait(&at).await,
                None => Ok(true),
            }
        });
        Waiter { shard: index, position: position.to_owned(), task, is_done: false }
    }
}
