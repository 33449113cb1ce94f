//! Writes revocations to the store again, because the store may have lost them: in an outage, in a failover, or by the
//! restore of a backup.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::{sync::Notify, task::JoinSet};

use super::{Revocation, StoreAccess};
use crate::{
    backend::timer,
    id::{self, SessionId},
    store::{Revoke, SessionKey, StoreError, Subject},
    time::Timestamp,
};

/// How many revocations are written in parallel.
const AT_ONCE: usize = 8;
/// The longest delay before the first write. All instances notice the end of an outage at the same time. Each instance
/// waits for a random part of this delay, so that most instances find no revocation left to write.
const SPREAD: Duration = Duration::from_secs(2);
/// How long to wait between two batches.
const PAUSE: Duration = Duration::from_millis(5);
/// How long to wait after an error: after the first error, and at most.
const RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(32);

/// A revocation that this instance knows, with the name of the subject.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Revoked {
    Session(Arc<str>, SessionId),
    /// All sessions of the subject that began before this time were revoked, except one.
    Many(Arc<str>, Timestamp, Option<SessionId>),
}

/// The revocations that may have to be written again. A revocation stays here until the store has answered without an
/// error.
#[derive(Debug, Default)]
pub(super) struct Unasserted {
    revoked: Mutex<BTreeSet<Revoked>>,
    /// Wakes the task that waits after an error, because the feed was read again.
    store_is_back: Arc<Notify>,
}

impl Unasserted {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<Revoked>> {
        self.revoked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_batch(&self) -> Vec<Revoked> {
        self.lock().iter().take(AT_ONCE).cloned().collect()
    }
}

impl Revocation {
    /// Starts to write again, in the background, all revocations that this instance knows.
    pub(super) fn assert_revocations(self: &Arc<Self>) {
        if self.access != StoreAccess::Full {
            return;
        }
        let sessions = self.denylist.revoked().into_iter();
        let many = self.denylist.revoked_subjects().into_iter();
        let mut unasserted = self.unasserted.lock();
        unasserted.extend(sessions.map(|(subject, id)| Revoked::Session(subject, id)));
        unasserted.extend(many.map(|(subject, before, except)| Revoked::Many(subject, before, except)));
        drop(unasserted);
        self.unasserted.store_is_back.notify_one();
        self.go_on_asserting();
    }

    /// Starts the background task again, if it has ended and revocations are left.
    pub(super) fn go_on_asserting(self: &Arc<Self>) {
        if !self.unasserted.lock().is_empty() {
            self.assertion.start(|| assert_all(Arc::downgrade(self)));
        }
    }

    fn subject(&self, name: Arc<str>) -> Subject {
        Subject { realm: self.backend.events.realm.clone(), name }
    }

    /// Writes a revocation again. Writes nothing if the session is already revoked in the store, or is missing.
    async fn assert_one(&self, revoked: &Revoked) -> Result<(), StoreError> {
        let revoke = match revoked.clone() {
            Revoked::Session(subject, id) => {
                let key = SessionKey { subject: self.subject(subject), id };
                let record = self.backend.get(&key).await?.record;
                if record.is_none_or(|record| record.family.revoked) {
                    return Ok(());
                }
                Revoke::Session(key)
            }
            // If the store has this revocation, the call revokes no session, and adds no event.
            Revoked::Many(subject, before, except) => {
                Revoke::Subject { subject: self.subject(subject), before: Some(before), except }
            }
        };
        self.backend.revoke(&revoke, self.now()).await.map(drop)
    }
}

/// Runs until no revocation is left, or until the [`Revocation`] is dropped.
async fn assert_all(revocation: Weak<Revocation>) {
    if timer(Duration::ZERO).is_none() {
        // On a runtime without timers, the feed is not followed either.
        return;
    }
    let [random] = id::random().unwrap_or([0]);
    tokio::time::sleep(SPREAD * u32::from(random) / 256).await;
    let mut retry = RETRY;
    loop {
        let Some(batch) = revocation.upgrade().map(|revocation| revocation.unasserted.next_batch()) else {
            return;
        };
        if batch.is_empty() {
            return;
        }
        let mut asserting = JoinSet::new();
        for revoked in batch {
            let Some(revocation) = revocation.upgrade() else { return };
            asserting.spawn(async move {
                let done = revocation.assert_one(&revoked).await.is_ok();
                if done {
                    revocation.unasserted.lock().remove(&revoked);
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
            if let Some(revocation) = revocation.upgrade() {
                revocation.assertion.note_progress();
            }
            tokio::time::sleep(PAUSE).await;
        } else {
            let Some(store_is_back) = revocation.upgrade().map(|it| it.unasserted.store_is_back.clone())
            else {
                return;
            };
            retry = match tokio::time::timeout(retry, store_is_back.notified()).await {
                Ok(()) => RETRY,
                Err(_) => (retry * 2).min(LONGEST_RETRY),
            };
        }
    }
}
