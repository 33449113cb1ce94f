//! What every request is checked against in memory: the run, ended sessions, stale claims.
//!
//! A store's feed fills it. It need only hold what can still matter: no access token outlives its
//! lifetime, and no request writes cookies after its window. It is split into parts by session, so
//! that cores do not fight over one line; while it is empty, a request only reads a counter.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, Hash, RandomState},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, futures::Notified};

use crate::{
    id::{RunId, SessionId},
    protocol::Standing,
    store::{FeedBatch, FeedEvent, SessionKey},
    time::{Reading, Timestamp, millis},
};

const PARTS: usize = 64;
/// How many revocations of one subject are remembered as such.
const MOST_REVOCATIONS: usize = 8;

/// The revocation list of one engine.
#[derive(Debug)]
pub(crate) struct Revocations {
    realm: Arc<str>,
    /// How long an entry can matter.
    keep: Duration,
    /// How far the clocks of instances may be apart, and a renewal may be under way.
    slack: Duration,
    /// The run, or 0 while it is not known.
    run: AtomicU64,
    /// Tokens minted until then, in milliseconds, may have lost a revocation.
    distrusted: AtomicU64,
    /// The list is complete from then on only, by the monotonic clock in milliseconds.
    incomplete_before: AtomicU64,
    sessions: Marks<SessionId>,
    subjects: Marks<Arc<str>>,
    /// Wakes those who wait for a session's end, in parts by subject: each end wakes few of them.
    ends: Box<[Notify]>,
}

/// What is held against a session or a subject.
#[derive(Clone, Debug, Default)]
struct Mark {
    /// Whose session it was, if it has ended.
    revoked: Option<Arc<str>>,
    stale_since: Option<Timestamp>,
    /// The revocations of a subject that came as one event, to be asserted again after a failover.
    revoked_before: Vec<(Timestamp, Option<SessionId>)>,
    /// When it can be forgotten, by the monotonic clock: no step of the wall clock makes it go early.
    until: Duration,
}

impl Revocations {
    pub(crate) fn new(realm: Arc<str>, keep: Duration, slack: Duration, run: Option<RunId>) -> Self {
        let run = AtomicU64::new(run.map_or(0, RunId::as_u64));
        Self {
            realm,
            keep,
            slack,
            run,
            distrusted: AtomicU64::new(0),
            incomplete_before: AtomicU64::new(0),
            sessions: Marks::new(),
            subjects: Marks::new(),
            ends: (0..PARTS).map(|_| Notify::new()).collect(),
        }
    }

    /// What this instance knows of a token's session. `issued` is in whole seconds, so a mark of
    /// the same second errs towards one renewal more.
    pub(crate) fn standing(
        &self,
        run: RunId,
        session: &SessionId,
        subject: &str,
        issued: Timestamp,
    ) -> Standing {
        if self.run.load(Ordering::Acquire) != run.as_u64() {
            return Standing::OtherRun;
        }
        let distrusted = Timestamp::from_millis(self.distrusted.load(Ordering::Relaxed));
        if issued < distrusted {
            return Standing::Stale;
        }
        self.marked(session, subject, |since| issued.as_secs() <= since.as_secs())
    }

    /// How long an entry can matter.
    pub(crate) fn keep(&self) -> Duration {
        self.keep
    }

    /// The list is incomplete for tokens minted until `now`: each is renewed at its next use.
    pub(crate) fn distrust_until(&self, now: Reading) {
        self.distrusted.fetch_max(now.wall.as_millis(), Ordering::Relaxed);
        self.incomplete_before.fetch_max(millis(now.monotonic), Ordering::Relaxed);
    }

    /// Since when the list is complete, by the monotonic clock.
    pub(crate) fn incomplete_before(&self) -> Duration {
        Duration::from_millis(self.incomplete_before.load(Ordering::Relaxed))
    }

    /// What this instance has come to know of a session since its record was read at `read`.
    pub(crate) fn standing_since(
        &self,
        run: RunId,
        session: &SessionId,
        subject: &str,
        read: Timestamp,
    ) -> Standing {
        if self.run().is_some_and(|current| current != run) {
            return Standing::OtherRun;
        }
        self.marked(session, subject, |since| read <= since)
    }

    fn marked(&self, session: &SessionId, subject: &str, stale: impl Fn(Timestamp) -> bool) -> Standing {
        let of_session = self.sessions.get(session).unwrap_or_default();
        let of_subject = self.subjects.get(subject).unwrap_or_default();
        if of_session.revoked.is_some() {
            Standing::Revoked
        } else if of_session.stale_since.is_some_and(&stale) || of_subject.stale_since.is_some_and(stale) {
            Standing::Stale
        } else {
            Standing::Good
        }
    }

    /// Whether the session is known to have ended.
    pub(crate) fn is_revoked(&self, session: &SessionId) -> bool {
        self.sessions.get(session).is_some_and(|mark| mark.revoked.is_some())
    }

    /// The highest run ID that was seen here; none before the first.
    pub(crate) fn run(&self) -> Option<RunId> {
        RunId::from_u64(self.run.load(Ordering::Acquire))
    }

    /// Whether all sessions of this run are known to be invalid, for there is a newer one.
    pub(crate) fn is_past(&self, run: RunId) -> bool {
        self.run().is_some_and(|current| run < current)
    }

    /// `now` is a reading of the monotonic clock.
    pub(crate) fn revoke(&self, key: &SessionKey, now: Duration) {
        self.sessions.update(key.id, now, now.saturating_add(self.keep), |mark| {
            mark.revoked = Some(key.subject.name.clone());
        });
        self.ends_of(&key.subject.name).notify_waiters();
    }

    /// Ready when something was heard of since it was enabled: of a session of this subject, or of
    /// another.
    pub(crate) fn told_of(&self, subject: &str) -> Notified<'_> {
        self.ends_of(subject).notified()
    }

    fn ends_of(&self, subject: &str) -> &Notify {
        // INVARIANT: the index is below the number of parts.
        #[expect(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "see the invariant")]
        &self.ends[self.subjects.hasher.hash_one(subject) as usize % PARTS]
    }

    /// Until when the tokens of a subject are stale. While that is the same, nothing new was heard
    /// that only the store can tell of its sessions.
    pub(crate) fn subject_stale_until(&self, subject: &str) -> Option<Timestamp> {
        self.subjects.get(subject).and_then(|mark| mark.stale_since)
    }

    /// The subjects of whom many sessions were revoked at once: those that began before this, except
    /// one.
    pub(crate) fn revoked_subjects(&self) -> Vec<(Arc<str>, Timestamp, Option<SessionId>)> {
        let mut revoked = Vec::new();
        for part in &self.subjects.parts {
            let part = part.read().unwrap_or_else(PoisonError::into_inner);
            for (subject, mark) in &part.marks {
                let of_subject = mark.revoked_before.iter();
                revoked.extend(of_subject.map(|(before, except)| (subject.clone(), *before, *except)));
            }
        }
        revoked
    }

    /// The sessions that are known to have ended, with whom they belonged to.
    pub(crate) fn revoked(&self) -> Vec<(Arc<str>, SessionId)> {
        let mut revoked = Vec::new();
        for part in &self.sessions.parts {
            let part = part.read().unwrap_or_else(PoisonError::into_inner);
            revoked.extend(part.marks.iter().filter_map(|(id, mark)| Some((mark.revoked.clone()?, *id))));
        }
        revoked
    }

    /// Tokens of the session minted until `since` are stale.
    pub(crate) fn session_stale(&self, key: &SessionKey, since: Timestamp, now: Duration) {
        self.sessions.update(key.id, now, now.saturating_add(self.keep), |mark| {
            mark.stale_since = mark.stale_since.max(Some(since));
        });
    }

    /// Tokens of the subject minted until `since` are stale.
    pub(crate) fn subject_stale(&self, subject: Arc<str>, since: Timestamp, now: Duration) {
        let ends = self.ends_of(&subject);
        self.subjects.update(subject, now, now.saturating_add(self.keep), |mark| {
            mark.stale_since = mark.stale_since.max(Some(since));
        });
        ends.notify_waiters();
    }

    /// All sessions of the subject that began before this were revoked, except one. Which those are
    /// is left to the store, for by the clock of another instance a session may have begun earlier or
    /// later: all tokens of the subject are stale, also those of renewals that are under way.
    fn subject_revoked(&self, subject: Arc<str>, before: Timestamp, except: Option<SessionId>, now: Reading) {
        let until = now.monotonic.saturating_add(self.keep).saturating_add(self.slack);
        self.subjects.update(subject.clone(), now.monotonic, until, |mark| {
            if !mark.revoked_before.contains(&(before, except)) {
                // What spares no session stands for all that were before.
                mark.revoked_before.retain(|(earlier, _)| except.is_some() || *earlier > before);
                mark.revoked_before.truncate(MOST_REVOCATIONS - 1);
                mark.revoked_before.insert(0, (before, except));
            }
        });
        self.subject_stale(subject, now.wall + self.slack, now.monotonic);
    }

    /// Takes over a run ID that the store named, if it is higher than all that were seen.
    pub(crate) fn set_run(&self, run: RunId) {
        if self.run.fetch_max(run.as_u64(), Ordering::AcqRel) < run.as_u64() {
            self.ends.iter().for_each(Notify::notify_waiters);
        }
    }

    /// Takes over what the feed says. The run comes last: while it is not known, no access token
    /// counts, so none is admitted before the list is complete.
    pub(crate) fn apply(&self, batch: &FeedBatch, now: Reading) {
        batch.events.iter().for_each(|event| self.apply_event(event, now));
        self.set_run(batch.run);
    }

    /// Takes over one event; what is of another realm is ignored.
    pub(crate) fn apply_event(&self, event: &FeedEvent, reading: Reading) {
        let now = reading.monotonic;
        match event {
            FeedEvent::Revoked(key) if key.subject.realm == self.realm => self.revoke(key, now),
            FeedEvent::SessionStale(key, since) if key.subject.realm == self.realm => {
                self.session_stale(key, *since, now);
            }
            FeedEvent::SubjectStale(subject, since) if subject.realm == self.realm => {
                self.subject_stale(subject.name.clone(), *since, now);
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

/// A map that is read far more often than written.
#[derive(Debug)]
struct Marks<K> {
    len: AtomicUsize,
    parts: Box<[RwLock<Part<K>>]>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Part<K> {
    marks: HashMap<K, Mark>,
    sweep_at: Duration,
}

impl<K: Eq + Hash> Marks<K> {
    fn new() -> Self {
        let part = || RwLock::new(Part { marks: HashMap::new(), sweep_at: Duration::ZERO });
        Self {
            len: AtomicUsize::new(0),
            parts: (0..PARTS).map(|_| part()).collect(),
            hasher: RandomState::new(),
        }
    }

    fn part<Q: Hash + ?Sized>(&self, key: &Q) -> &RwLock<Part<K>> {
        // INVARIANT: the index is below the number of parts.
        #[expect(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "see the invariant")]
        &self.parts[self.hasher.hash_one(key) as usize % PARTS]
    }

    fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<Mark>
    where
        K: std::borrow::Borrow<Q>,
    {
        if self.len.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.part(key).read().unwrap_or_else(PoisonError::into_inner).marks.get(key).cloned()
    }

    fn update(&self, key: K, now: Duration, until: Duration, change: impl FnOnce(&mut Mark)) {
        let mut part = self.part(&key).write().unwrap_or_else(PoisonError::into_inner);
        let before = part.marks.len();
        if now >= part.sweep_at {
            part.marks.retain(|_, mark| now < mark.until);
            part.sweep_at = until;
        }
        let mark = part.marks.entry(key).or_default();
        mark.until = mark.until.max(until);
        change(mark);
        let after = part.marks.len();
        // Wraps where the part shrank, and so subtracts.
        self.len.fetch_add(after.wrapping_sub(before), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Duration = Duration::from_secs(300);

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn key(id: SessionId) -> SessionKey {
        SessionKey { subject: crate::store::Subject { realm: "r".into(), name: "ann".into() }, id }
    }

    fn list() -> (Revocations, RunId, SessionId) {
        let run = RunId::from_u64(7).expect("not zero");
        (Revocations::new("r".into(), KEEP, Duration::ZERO, Some(run)), run, SessionId::from_bytes([1; 32]))
    }

    #[test]
    fn a_revoked_session_is_known_at_once_and_another_is_not() {
        let (list, run, session) = list();
        assert_eq!(list.standing(run, &session, "ann", at(100)), Standing::Good);
        list.revoke(&key(session), KEEP);
        assert_eq!(list.standing(run, &session, "ann", at(100)), Standing::Revoked);
        let other = SessionId::from_bytes([2; 32]);
        assert_eq!(list.standing(run, &other, "ann", at(100)), Standing::Good);
    }

    #[test]
    fn a_stale_mark_spares_tokens_minted_after_it() {
        let (list, run, session) = list();
        list.subject_stale("ann".into(), at(100), KEEP);
        assert_eq!(list.standing(run, &session, "ann", at(99)), Standing::Stale);
        assert_eq!(
            list.standing(run, &session, "ann", at(100)),
            Standing::Stale,
            "the same second errs on this side"
        );
        assert_eq!(list.standing(run, &session, "ann", at(101)), Standing::Good);
        assert_eq!(list.standing(run, &session, "bob", at(99)), Standing::Good);
    }

    #[test]
    fn an_unknown_run_makes_every_token_unusable() {
        let (list, run, session) = list();
        let other = RunId::from_u64(8).expect("not zero");
        assert_eq!(list.standing(other, &session, "ann", at(1)), Standing::OtherRun);
        let unknown = Revocations::new("r".into(), KEEP, Duration::ZERO, None);
        assert_eq!(unknown.standing(run, &session, "ann", at(1)), Standing::OtherRun);
    }

    #[test]
    fn entries_go_when_they_can_no_longer_matter() {
        let (list, ..) = list();
        let id = |n: u64| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&n.to_be_bytes());
            SessionId::from_bytes(bytes)
        };
        for n in 0..10_000 {
            list.revoke(&key(id(n)), Duration::ZERO);
        }
        assert_eq!(list.sessions.len.load(Ordering::Relaxed), 10_000);
        for n in 10_000..20_000 {
            list.revoke(&key(id(n)), KEEP + Duration::from_secs(1));
        }
        assert_eq!(list.sessions.len.load(Ordering::Relaxed), 10_000);
    }
}
