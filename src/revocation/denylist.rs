//! The denylist: the latest revocations, the times until which access tokens are stale, and the run ID, in memory.
//! Every request is checked against the denylist.
//!
//! The store's feed fills the denylist. An entry is kept only as long as it can matter: no access token is valid for
//! longer than its lifetime, and no response sets cookies after the write window. After an access token was found
//! valid, its session is looked up again only after the next change of the denylist.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, futures::Notified};

use super::sharded_map::{Entry, SHARDS, ShardedMap};
use crate::{
    id::{RunId, SessionId},
    protocol::{LEEWAY, Refusal, SessionStatus},
    store::{FeedBatch, FeedEvent, SessionKey},
    time::{Reading, Timestamp, millis},
};

/// How many revocations by [`FeedEvent::SubjectRevoked`] are remembered for one subject. If there are more, the
/// earliest ones are forgotten.
const MAX_REVOCATIONS: usize = 8;

/// The denylist of one realm.
#[derive(Debug)]
pub(crate) struct Denylist {
    realm: Arc<str>,
    /// Whether access tokens of any run ID are accepted, because there is no store.
    any_run: bool,
    /// How long an entry can matter.
    keep: Duration,
    /// The largest difference between the clocks of instances, and the longest duration of a renewal.
    slack: Duration,
    /// The run ID, or 0 while the run ID is unknown.
    run: AtomicU64,
    /// Revocations of access tokens that were issued before this time may be missing. By the wall clock, in
    /// milliseconds.
    suspect: AtomicU64,
    /// Since when the denylist is complete, by the monotonic clock in milliseconds.
    complete_since: AtomicU64,
    /// The number of changes, plus one. Increased after a change is complete.
    version: AtomicU64,
    sessions: ShardedMap<SessionId>,
    subjects: ShardedMap<Arc<str>>,
    /// Wakes the tasks that wait for the revocation of a session. The tasks are divided into [`SHARDS`] parts by
    /// subject.
    waiters: Box<[Notify]>,
}

impl Denylist {
    pub(crate) fn new(
        realm: Arc<str>,
        keep: Duration,
        slack: Duration,
        run: Option<RunId>,
        any_run: bool,
    ) -> Self {
        let run = AtomicU64::new(run.map_or(0, RunId::as_u64));
        Self {
            realm,
            any_run,
            keep,
            slack,
            run,
            suspect: AtomicU64::new(0),
            complete_since: AtomicU64::new(0),
            version: AtomicU64::new(1),
            sessions: ShardedMap::new(),
            subjects: ShardedMap::new(),
            waiters: (0..SHARDS).map(|_| Notify::new()).collect(),
        }
    }

    /// The status of the session of an access token, as far as this instance knows. `issued` is in whole seconds. So a
    /// token that was issued in the same second as a change is stale, which costs one more renewal.
    pub(crate) fn status(
        &self,
        run: RunId,
        session: &SessionId,
        subject: &str,
        issued: Timestamp,
    ) -> SessionStatus {
        if self.run.load(Ordering::Acquire) != run.as_u64() && !self.any_run {
            return SessionStatus::OtherRunId;
        }
        let suspect = Timestamp::from_millis(self.suspect.load(Ordering::Relaxed));
        if issued < suspect {
            return SessionStatus::Stale;
        }
        self.found(session, subject, |since| issued.as_secs() <= since.as_secs())
    }

    /// A number that is never zero, and that each change of the denylist increases. While the number stays the same,
    /// each [`status`](Self::status) stays the same. Read the version before the status.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    fn next_version(&self) {
        self.version.fetch_add(1, Ordering::Release);
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.sessions.len() + self.subjects.len() == 0
    }

    /// Removes the entries that can no longer matter from one shard of each map. The feed's follower calls this after
    /// each batch, so about once a second or more often. So entries are also removed while no entries are added.
    pub(crate) fn sweep_next(&self, now: Duration) {
        self.sessions.sweep_next(now);
        self.subjects.sweep_next(now);
    }

    /// How long an entry can matter.
    pub(crate) fn keep(&self) -> Duration {
        self.keep
    }

    /// Notes that revocations may be missing. So each access token that was issued before `now` is renewed at its next
    /// use.
    pub(crate) fn suspect_until(&self, now: Reading) {
        self.suspect.fetch_max(now.wall.as_millis(), Ordering::Relaxed);
        self.complete_since.fetch_max(millis(now.monotonic), Ordering::Relaxed);
        self.next_version();
    }

    /// Called after a step of the wall clock to `now`. Access tokens that are issued from now on are neither suspect
    /// nor stale. Without this call, they could be: after a step back, the denylist has times that the clock will show
    /// again.
    pub(crate) fn clock_stepped(&self, now: Timestamp) {
        self.suspect.fetch_min(now.as_millis(), Ordering::Relaxed);
        let cap = |entry: &mut Entry| entry.stale_since = entry.stale_since.map(|since| since.min(now));
        self.sessions.for_each_mut(cap);
        self.subjects.for_each_mut(cap);
        self.next_version();
    }

    /// Since when the denylist is complete, by the monotonic clock.
    pub(crate) fn complete_since(&self) -> Duration {
        Duration::from_millis(self.complete_since.load(Ordering::Relaxed))
    }

    /// The status of a session, by what this instance has learned since the session's record was read at `read`.
    pub(crate) fn status_since(
        &self,
        run: RunId,
        session: &SessionId,
        subject: &str,
        read: Timestamp,
    ) -> SessionStatus {
        if self.run().is_some_and(|current| current != run) {
            return SessionStatus::OtherRunId;
        }
        self.found(session, subject, |since| read <= since)
    }

    fn found(&self, session: &SessionId, subject: &str, stale: impl Fn(Timestamp) -> bool) -> SessionStatus {
        let of_session = self.sessions.get(session).unwrap_or_default();
        let of_subject = self.subjects.get(subject).unwrap_or_default();
        if of_session.revoked.is_some() {
            SessionStatus::Revoked
        } else if of_session.stale_since.is_some_and(&stale) || of_subject.stale_since.is_some_and(stale) {
            SessionStatus::Stale
        } else {
            SessionStatus::Valid
        }
    }

    /// Checks that a session was not revoked, and does not belong to an older run ID. The session's record may say
    /// otherwise.
    ///
    /// # Errors
    /// The reason, if the session was revoked or belongs to an older run ID.
    pub(crate) fn check(&self, session: &SessionId, run: RunId) -> Result<(), Refusal> {
        if self.is_revoked(session) {
            return Err(Refusal::Revoked);
        }
        if self.is_older_run_id(run) {
            return Err(Refusal::OtherRunId);
        }
        Ok(())
    }

    /// Whether this instance knows that the session is revoked.
    pub(crate) fn is_revoked(&self, session: &SessionId) -> bool {
        self.sessions.get(session).is_some_and(|entry| entry.revoked.is_some())
    }

    /// The highest run ID that this instance has seen. `None` before the first run ID.
    pub(crate) fn run(&self) -> Option<RunId> {
        RunId::from_u64(self.run.load(Ordering::Acquire))
    }

    /// Whether this instance knows a newer run ID than `run`. Then all sessions of `run` are invalid.
    pub(crate) fn is_older_run_id(&self, run: RunId) -> bool {
        self.run().is_some_and(|current| run < current)
    }

    /// The run ID by which to judge an access token that contains no run ID. `newest` is the newest run ID that was
    /// possible when the token was minted. Returns the known run ID, if it is not newer than `newest`. Otherwise, or if
    /// no run ID is known, returns `newest`.
    #[cfg(feature = "verify")]
    pub(crate) fn run_id_to_judge_by(&self, newest: RunId) -> RunId {
        self.run().filter(|run| *run <= newest).unwrap_or(newest)
    }

    /// Adds a revoked session. `now` is a reading of the monotonic clock.
    pub(crate) fn revoke(&self, key: &SessionKey, now: Duration) {
        self.sessions.update(key.id, now, now.saturating_add(self.keep), |entry| {
            entry.revoked = Some(key.subject.name.clone());
        });
        self.next_version();
        self.waiters_of(&key.subject.name).notify_waiters();
    }

    /// Returns a future for the next change that concerns this subject. Enable the future before you check a session.
    /// It is ready when a session of this subject was revoked, when the subject was marked as stale, or when the run ID
    /// rose. It may also be ready because of another subject in the same part.
    pub(crate) fn changed(&self, subject: &str) -> Notified<'_> {
        self.waiters_of(subject).notified()
    }

    fn waiters_of(&self, subject: &str) -> &Notify {
        // INVARIANT: the index is below the number of shards.
        #[expect(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "see the invariant")]
        &self.waiters[self.subjects.hash(subject) as usize % SHARDS]
    }

    /// The time until which minted access tokens of a subject are stale. If this time is later than at an earlier call,
    /// sessions of the subject were revoked or changed, and only the store knows which sessions.
    pub(crate) fn subject_stale_until(&self, subject: &str) -> Option<Timestamp> {
        self.subjects.get(subject).and_then(|entry| entry.stale_since)
    }

    /// The revocations of several sessions at once. In each of them, all sessions of the subject that began before the
    /// time were revoked, except one.
    pub(crate) fn revoked_subjects(&self) -> Vec<(Arc<str>, Timestamp, Option<SessionId>)> {
        let mut revoked = Vec::new();
        self.subjects.for_each(|subject, entry| {
            let of_subject = entry.revoked_before.iter();
            revoked.extend(of_subject.map(|(before, except)| (subject.clone(), *before, *except)));
        });
        revoked
    }

    /// The sessions that this instance knows to be revoked, with their subjects.
    pub(crate) fn revoked(&self) -> Vec<(Arc<str>, SessionId)> {
        let mut revoked = Vec::new();
        self.sessions
            .for_each(|id, entry| revoked.extend(entry.revoked.clone().map(|subject| (subject, *id))));
        revoked
    }

    /// Marks the access tokens of the session as stale that were minted until `since`.
    fn session_stale(&self, key: &SessionKey, since: Timestamp, now: Duration) {
        self.sessions.update(key.id, now, now.saturating_add(self.keep), |entry| {
            entry.stale_since = entry.stale_since.max(Some(since));
        });
        self.next_version();
    }

    /// Marks the access tokens of the subject as stale that were minted until `since`.
    fn subject_stale(&self, subject: Arc<str>, since: Timestamp, now: Duration) {
        let waiters = self.waiters_of(&subject);
        self.subjects.update(subject, now, now.saturating_add(self.keep), |entry| {
            entry.stale_since = entry.stale_since.max(Some(since));
        });
        self.next_version();
        waiters.notify_waiters();
    }

    /// Notes that all sessions of the subject that began before `before` were revoked, except one. Only the store knows
    /// which sessions these are, because the clocks of instances differ. So all access tokens of the subject are stale,
    /// and also those of in-flight renewals.
    fn subject_revoked(&self, subject: Arc<str>, before: Timestamp, except: Option<SessionId>, now: Reading) {
        let until = now.monotonic.saturating_add(self.keep).saturating_add(self.slack);
        self.subjects.update(subject.clone(), now.monotonic, until, |entry| {
            if !entry.revoked_before.contains(&(before, except)) {
                // A revocation without an exception includes all earlier ones.
                entry.revoked_before.retain(|(earlier, _)| except.is_some() || *earlier > before);
                entry.revoked_before.truncate(MAX_REVOCATIONS - 1);
                entry.revoked_before.insert(0, (before, except));
            }
        });
        self.subject_stale(subject, now.wall + self.slack, now.monotonic);
    }

    /// Sets the run ID, if `run` is higher than the known run ID.
    pub(crate) fn set_run(&self, run: RunId) {
        if self.run.fetch_max(run.as_u64(), Ordering::AcqRel) < run.as_u64() {
            self.next_version();
            self.waiters.iter().for_each(Notify::notify_waiters);
        }
    }

    /// Applies a batch of the feed. The run ID comes last: while it is unknown, no access token is accepted. The first
    /// read of the feed may have several batches. Until the last batch,
    /// [`Revocation::knows_revocations`](super::Revocation::knows_revocations) is false.
    pub(crate) fn apply(&self, batch: &FeedBatch, now: Reading) {
        batch.events.iter().for_each(|event| self.apply_event(event, now));
        self.set_run(batch.run);
    }

    /// Applies one event. Ignores events of other realms.
    ///
    /// No event can be from the future. If the time of an event is in the future, the clock of the instance that wrote
    /// it is ahead. Then the event counts with the current time plus [`LEEWAY`].
    pub(crate) fn apply_event(&self, event: &FeedEvent, reading: Reading) {
        let (now, latest) = (reading.monotonic, reading.wall + LEEWAY);
        match event {
            FeedEvent::Revoked(key) if key.subject.realm == self.realm => self.revoke(key, now),
            FeedEvent::SessionStale(key, since) if key.subject.realm == self.realm => {
                self.session_stale(key, (*since).min(latest), now);
            }
            FeedEvent::SubjectStale(subject, since) if subject.realm == self.realm => {
                self.subject_stale(subject.name.clone(), (*since).min(latest), now);
            }
            FeedEvent::SubjectRevoked { subject, before, except } if subject.realm == self.realm => {
                self.subject_revoked(subject.name.clone(), *before, *except, reading);
            }
            FeedEvent::Revoked(_)
            | FeedEvent::SubjectRevoked { .. }
            | FeedEvent::SessionStale(..)
            | FeedEvent::SubjectStale(..)
            | FeedEvent::Run(_) => {}
        }
    }
}

#[cfg(test)]
#[path = "denylist_tests.rs"]
mod tests;
