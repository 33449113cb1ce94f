//! The denylist: what every request is checked against in memory. Revoked sessions, stale claims, and the
//! run ID.
//!
//! The store's feed fills it. An entry is kept only while it can matter: no access token outlives its
//! lifetime, and no request writes cookies after its write window. A token that was found valid is only searched
//! again after the next change of the denylist.

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

/// How many revocations of one subject's sessions are remembered as such.
const MAX_REVOCATIONS: usize = 8;

/// The denylist of one realm.
#[derive(Debug)]
pub(crate) struct Denylist {
    realm: Arc<str>,
    /// There is no store that has a run ID: tokens of any run ID are accepted.
    any_run: bool,
    /// How long an entry can matter.
    keep: Duration,
    /// How far the clocks of instances may be apart, and how long a renewal may take.
    slack: Duration,
    /// The run ID, or 0 while it is not known.
    run: AtomicU64,
    /// Revocations of tokens that were issued before this may be missing. In milliseconds.
    suspect: AtomicU64,
    /// Since when the denylist is complete, by the monotonic clock in milliseconds.
    complete_since: AtomicU64,
    /// The number of changes, plus one. Increased after a change is complete.
    version: AtomicU64,
    sessions: ShardedMap<SessionId>,
    subjects: ShardedMap<Arc<str>>,
    /// Wakes the tasks that wait for the end of a session, in parts by subject.
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

    /// What this instance knows of a token's session. `issued` is in whole seconds, so a change in the same
    /// second costs one more renewal.
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

    /// A number that is never zero, and that each change increases. While it stays the same, so does each
    /// [`status`](Self::status). Read the version before the status.
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

    /// Forgets entries that can no longer matter, in one part of the denylist. The feed's follower calls it every
    /// second, so that entries go although none are added.
    pub(crate) fn sweep_next(&self, now: Duration) {
        self.sessions.sweep_next(now);
        self.subjects.sweep_next(now);
    }

    /// How long an entry can matter.
    pub(crate) fn keep(&self) -> Duration {
        self.keep
    }

    /// Revocations may be missing: each token that was issued until `now` is renewed at its next use.
    pub(crate) fn suspect_until(&self, now: Reading) {
        self.suspect.fetch_max(now.wall.as_millis(), Ordering::Relaxed);
        self.complete_since.fetch_max(millis(now.monotonic), Ordering::Relaxed);
        self.next_version();
    }

    /// The wall clock was stepped to `now`. Tokens that are issued from now on are neither suspect nor stale,
    /// although what is known may be of times that the clock will show again.
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

    /// What this instance learned of a session after its record was read at `read`.
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

    /// Whether a session was revoked, or belongs to an older run ID, also if its record said otherwise.
    ///
    /// # Errors
    /// The reason, if it was.
    pub(crate) fn check(&self, session: &SessionId, run: RunId) -> Result<(), Refusal> {
        if self.is_revoked(session) {
            return Err(Refusal::Revoked);
        }
        if self.is_older_run_id(run) {
            return Err(Refusal::OtherRunId);
        }
        Ok(())
    }

    /// Whether the session is known to be revoked.
    pub(crate) fn is_revoked(&self, session: &SessionId) -> bool {
        self.sessions.get(session).is_some_and(|entry| entry.revoked.is_some())
    }

    /// The highest run ID that was seen here; none before the first.
    pub(crate) fn run(&self) -> Option<RunId> {
        RunId::from_u64(self.run.load(Ordering::Acquire))
    }

    /// Whether a newer run ID is known: then all sessions of this one are invalid.
    pub(crate) fn is_older_run_id(&self, run: RunId) -> bool {
        self.run().is_some_and(|current| run < current)
    }

    /// The run ID to judge a token by that has none, and was minted when `newest` was the newest possible one. If the
    /// known run ID is newer, or none is known, that is `newest`.
    #[cfg(feature = "verify")]
    pub(crate) fn run_id_to_judge_by(&self, newest: RunId) -> RunId {
        self.run().filter(|run| *run <= newest).unwrap_or(newest)
    }

    /// `now` is a reading of the monotonic clock.
    pub(crate) fn revoke(&self, key: &SessionKey, now: Duration) {
        self.sessions.update(key.id, now, now.saturating_add(self.keep), |entry| {
            entry.revoked = Some(key.subject.name.clone());
        });
        self.next_version();
        self.waiters_of(&key.subject.name).notify_waiters();
    }

    /// Ready when a session was revoked after this was enabled: one of this subject, or of another subject
    /// in the same shard.
    pub(crate) fn changed(&self, subject: &str) -> Notified<'_> {
        self.waiters_of(subject).notified()
    }

    fn waiters_of(&self, subject: &str) -> &Notify {
        // INVARIANT: the index is below the number of shards.
        #[expect(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "see the invariant")]
        &self.waiters[self.subjects.hash(subject) as usize % SHARDS]
    }

    /// Until when the tokens of a subject are stale. A later time means that something happened to its
    /// sessions that only the store knows.
    pub(crate) fn subject_stale_until(&self, subject: &str) -> Option<Timestamp> {
        self.subjects.get(subject).and_then(|entry| entry.stale_since)
    }

    /// The revocations of several sessions at once: all of the subject that began before the time, except
    /// one.
    pub(crate) fn revoked_subjects(&self) -> Vec<(Arc<str>, Timestamp, Option<SessionId>)> {
        let mut revoked = Vec::new();
        self.subjects.for_each(|subject, entry| {
            let of_subject = entry.revoked_before.iter();
            revoked.extend(of_subject.map(|(before, except)| (subject.clone(), *before, *except)));
        });
        revoked
    }

    /// The sessions that are known to be revoked, with their subjects.
    pub(crate) fn revoked(&self) -> Vec<(Arc<str>, SessionId)> {
        let mut revoked = Vec::new();
        self.sessions
            .for_each(|id, entry| revoked.extend(entry.revoked.clone().map(|subject| (subject, *id))));
        revoked
    }

    /// Tokens of the session minted until `since` are stale.
    fn session_stale(&self, key: &SessionKey, since: Timestamp, now: Duration) {
        self.sessions.update(key.id, now, now.saturating_add(self.keep), |entry| {
            entry.stale_since = entry.stale_since.max(Some(since));
        });
        self.next_version();
    }

    /// Tokens of the subject minted until `since` are stale.
    fn subject_stale(&self, subject: Arc<str>, since: Timestamp, now: Duration) {
        let waiters = self.waiters_of(&subject);
        self.subjects.update(subject, now, now.saturating_add(self.keep), |entry| {
            entry.stale_since = entry.stale_since.max(Some(since));
        });
        self.next_version();
        waiters.notify_waiters();
    }

    /// All sessions of the subject that began before this were revoked, except one. The store decides which
    /// those are, since instances' clocks differ. So all tokens of the subject are stale, also those of
    /// renewals in flight.
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

    /// Takes over a run ID of the store, if it is higher than the known one.
    pub(crate) fn set_run(&self, run: RunId) {
        if self.run.fetch_max(run.as_u64(), Ordering::AcqRel) < run.as_u64() {
            self.next_version();
            self.waiters.iter().for_each(Notify::notify_waiters);
        }
    }

    /// Takes over a batch of the feed. The run ID comes last: while it is not known, no access token is accepted. A
    /// first read may have several batches: until the last one,
    /// [`Revocation::knows_revocations`](super::Revocation::knows_revocations) is false.
    pub(crate) fn apply(&self, batch: &FeedBatch, now: Reading) {
        batch.events.iter().for_each(|event| self.apply_event(event, now));
        self.set_run(batch.run);
    }

    /// Takes over one event. Events of other realms are ignored.
    ///
    /// No event is of the future. One that says so is of an instance whose clock is ahead.
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
