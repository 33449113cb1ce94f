//! Writes revocations again that the store may have lost: after an outage, a failover, or the
//! restore of a backup.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::task::JoinSet;

use super::Engine;
use crate::{
    claims::Claims,
    id::{self, SessionId},
    store::{Revoke, StoreError},
    time::Timestamp,
};

/// How many revocations are looked at together.
const AT_ONCE: usize = 8;
/// All instances notice the end of an outage together. Each waits up to this long, so that most find
/// done what another one did.
const SPREAD: Duration = Duration::from_secs(2);
/// How long to rest between two lots.
const PAUSE: Duration = Duration::from_millis(5);
/// How long to wait after an error: at first, and at most.
const RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(32);

/// What is known to be revoked, by its subject's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Revoked {
    Session(Arc<str>, SessionId),
    /// All sessions of the subject that began before this, except one.
    Many(Arc<str>, Timestamp, Option<SessionId>),
}

/// The revocations that are yet to be looked at. They stay here until the store has answered, whatever
/// becomes of the task that asks it.
#[derive(Debug, Default)]
pub(super) struct Unasserted(Mutex<BTreeSet<Revoked>>);

impl Unasserted {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<Revoked>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lot(&self) -> Vec<Revoked> {
        self.lock().iter().take(AT_ONCE).cloned().collect()
    }
}

impl<C: Claims> Engine<C> {
    /// Asserts all that is known here to be revoked, in the background.
    pub(super) fn assert_revocations(self: &Arc<Self>) {
        let sessions = self.revocations.revoked().into_iter();
        let many = self.revocations.revoked_subjects().into_iter();
        let mut unasserted = self.unasserted.lock();
        unasserted.extend(sessions.map(|(subject, id)| Revoked::Session(subject, id)));
        unasserted.extend(many.map(|(subject, before, except)| Revoked::Many(subject, before, except)));
        drop(unasserted);
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
    async fn assert_one(&self, revoked: &Revoked) -> Result<(), StoreError> {
        let revoke = match revoked.clone() {
            Revoked::Session(subject, id) => {
                let key = self.key(subject, id);
                let record = self.ask("get", self.store.get(&key)).await?.record;
                if record.is_none_or(|record| record.family.revoked) {
                    return Ok(());
                }
                Revoke::Session(key)
            }
            // A store that has it still revokes none by this, and tells of none.
            Revoked::Many(subject, before, except) => {
                Revoke::Subject { subject: self.subject(subject), before: Some(before), except }
            }
        };
        self.ask("revoke", self.store.revoke(&revoke, self.now())).await.map(drop)
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
        for revoked in lot {
            let Some(engine) = engine.upgrade() else { return };
            asserting.spawn(async move {
                let done = engine.assert_one(&revoked).await.is_ok();
                if done {
                    engine.unasserted.lock().remove(&revoked);
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
