//! Writes revocations again that the store may have lost: after an outage, a failover, or the
//! restore of a backup.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::task::JoinSet;

use super::Engine;
use crate::{
    claims::Claims,
    id::{self, SessionId},
    store::{Revoke, StoreError},
};

/// How many sessions are looked at together.
const AT_ONCE: usize = 8;
/// All instances notice the end of an outage together. Each waits up to this long, so that most find
/// done what another one did.
const SPREAD: Duration = Duration::from_secs(2);
/// How long to rest between two lots.
const PAUSE: Duration = Duration::from_millis(5);
/// How long to wait after an error: at first, and at most.
const RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(32);

/// The revoked sessions that are yet to be looked at, with their subjects. They stay here until the
/// store has answered, whatever becomes of the task that asks it.
#[derive(Debug, Default)]
pub(super) struct Unasserted(Mutex<BTreeMap<SessionId, Arc<str>>>);

impl Unasserted {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<SessionId, Arc<str>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lot(&self) -> Vec<(SessionId, Arc<str>)> {
        self.lock().iter().take(AT_ONCE).map(|(id, subject)| (*id, subject.clone())).collect()
    }
}

impl<C: Claims> Engine<C> {
    /// Asserts all that is known here to be revoked, in the background.
    pub(super) fn assert_revocations(self: &Arc<Self>) {
        let revoked = self.revocations.revoked();
        self.unasserted.lock().extend(revoked.into_iter().map(|(subject, id)| (id, subject)));
        self.go_on_asserting();
    }

    /// Goes on with what is left, if the task that was at it is gone.
    pub(super) fn go_on_asserting(self: &Arc<Self>) {
        if !self.unasserted.lock().is_empty() {
            self.background.assertion.start(|| assert_all(Arc::downgrade(self)));
        }
    }

    /// The store may have it still, or again from another instance: then nothing is written, and no
    /// instance is told anything.
    async fn assert_one(&self, subject: Arc<str>, id: SessionId) -> Result<(), StoreError> {
        let key = self.key(subject, id);
        let record = self.ask("get", self.store.get(&key)).await?.record;
        if record.is_some_and(|record| !record.family.revoked) {
            self.ask("revoke", self.store.revoke(&Revoke::Session(key), self.now())).await?;
        }
        Ok(())
    }
}

/// Runs until nothing is left, or the engine is gone.
async fn assert_all<C: Claims>(engine: Weak<Engine<C>>) {
    let [random] = id::random().unwrap_or([0]);
    tokio::time::sleep(SPREAD * u32::from(random) / 256).await;
    let mut retry = RETRY;
    loop {
        let Some(lot) = engine.upgrade().map(|engine| engine.unasserted.lot()) else { return };
        if lot.is_empty() {
            return;
        }
        let mut asserting = JoinSet::new();
        for (id, subject) in lot {
            let Some(engine) = engine.upgrade() else { return };
            asserting.spawn(async move {
                let done = engine.assert_one(subject, id).await.is_ok();
                if done {
                    engine.unasserted.lock().remove(&id);
                }
                done
            });
        }
        let mut all_done = true;
        while let Some(done) = asserting.join_next().await {
            all_done &= done.unwrap_or(false);
        }
        if all_done {
            retry = RETRY;
            if let Some(engine) = engine.upgrade() {
                engine.background.assertion.works();
            }
            tokio::time::sleep(PAUSE).await;
        } else {
            tokio::time::sleep(retry).await;
            retry = (retry * 2).min(LONGEST_RETRY);
        }
    }
}
