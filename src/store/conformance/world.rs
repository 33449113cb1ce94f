//! What a case acts in: a store, a starting time, and subjects and sessions of its own.

use std::{sync::Arc, time::Duration};

use crate::{
    id::{RunId, SessionId},
    protocol::{Family, RotationTiming},
    store::{
        Attached, Cap, CreateError, FeedEvent, Reauthentication, Revoke, SessionKey, SessionRecord,
        SessionStore, Snapshot, StoreError, Subject,
    },
    time::{Clock as _, SystemClock, Timestamp},
};

pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The idle timeout of sessions that are not about expiry.
pub(super) const IDLE: Duration = DAY.saturating_mul(30);

/// The absolute timeout of sessions that are not about expiry.
pub(super) const ABSOLUTE: Duration = DAY.saturating_mul(60);

/// A rotation may follow a confirmation at once. Cases that are about the interval have one.
pub(super) const AT_ONCE: RotationTiming = RotationTiming {
    grace: Duration::from_millis(45_001),
    write_window: Duration::from_millis(60_002),
    crash_window: Duration::from_millis(35_003),
    late_body: Duration::from_millis(600_004),
    rotation_interval: Duration::ZERO,
};

/// A case's surroundings.
pub(super) struct World<S> {
    pub(super) store: Arc<S>,
    /// When the case began, in real time. Cases that share a store stay within minutes of it.
    pub(super) base: Timestamp,
    pub(super) realm: Arc<str>,
}

/// A session that a case opened.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    pub(super) key: SessionKey,
    /// What the store was given, and then what the case expects of it.
    pub(super) record: SessionRecord,
    pub(super) run: RunId,
}

/// A unique text.
pub(super) fn unique() -> String {
    id().encode()
}

/// A unique session ID.
pub(super) fn id() -> SessionId {
    SessionId::random().expect("the operating system has random bytes")
}

/// The answer of an operation that the store must be able to do.
#[track_caller]
pub(super) fn ok<T>(answer: Result<T, StoreError>) -> T {
    match answer {
        Ok(answer) => answer,
        Err(error) => panic!("the store failed: {error} ({error:?})"),
    }
}

/// Checks that the store says it cannot do this.
#[track_caller]
pub(super) fn unsupported<T>(answer: &Result<T, StoreError>, operation: &str) {
    let said_so = matches!(answer, Err(StoreError::Unsupported(_)));
    assert!(said_so, "{operation} must answer `Unsupported`, as the store's capabilities say");
}

impl<S> Clone for World<S> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), base: self.base, realm: self.realm.clone() }
    }
}

impl<S: SessionStore> World<S> {
    pub(super) fn new(store: Arc<S>) -> Self {
        let realm = format!("conformance-{}", unique()).into();
        Self { store, base: SystemClock.now(), realm }
    }

    /// So many seconds after the case began.
    pub(super) fn at(&self, secs: u64) -> Timestamp {
        self.base + Duration::from_secs(secs)
    }

    /// A unique subject.
    pub(super) fn subject(&self) -> Subject {
        self.subject_called(&unique())
    }

    pub(super) fn subject_called(&self, name: &str) -> Subject {
        Subject { realm: self.realm.clone(), name: name.into() }
    }

    /// A record that begins at `created`, with a unique session ID.
    pub(super) fn record(&self, created: Timestamp, idle: Duration, absolute: Duration) -> SessionRecord {
        SessionRecord {
            id: id(),
            family: Family { timing: AT_ONCE, ..Family::begin(created, idle, absolute) },
            claims: r#"{"role":"reader"}"#.into(),
            stale_since: None,
            methods: vec!["pwd".into()],
            reauthentication: None,
            origin: Some("203.0.113.7".into()),
            persistent: false,
            attached: attached(&[("test", b"attached")]),
        }
    }

    /// Opens a session for a subject of its own.
    pub(super) async fn open(&self) -> Opened {
        self.open_for(&self.subject(), self.base).await
    }

    /// Opens a session of `subject` that begins at `created`.
    pub(super) async fn open_for(&self, subject: &Subject, created: Timestamp) -> Opened {
        self.open_record(subject, self.record(created, IDLE, ABSOLUTE)).await
    }

    /// Opens a session with these timeouts, for a subject of its own.
    pub(super) async fn open_lasting(&self, idle: Duration, absolute: Duration) -> Opened {
        self.open_record(&self.subject(), self.record(self.base, idle, absolute)).await
    }

    /// Opens a session of `subject` with this record.
    pub(super) async fn open_record(&self, subject: &Subject, record: SessionRecord) -> Opened {
        match self.create(subject, &record, None).await {
            Ok((run, ended)) => {
                assert!(ended.is_empty(), "without a cap, opening a session ends none");
                Opened { key: SessionKey { subject: subject.clone(), id: record.id }, record, run }
            }
            Err(error) => panic!("the store could not create a session: {error} ({error:?})"),
        }
    }

    pub(super) async fn create(
        &self,
        subject: &Subject,
        record: &SessionRecord,
        cap: Option<Cap>,
    ) -> Result<(RunId, Vec<SessionId>), CreateError> {
        self.store.create(subject, record, cap).await
    }

    pub(super) async fn get(&self, key: &SessionKey) -> Snapshot {
        let snapshot = ok(self.store.get(key).await);
        assert!(!snapshot.applied, "reading changes nothing, so it says `applied: false`");
        snapshot
    }

    /// The record that the store must have.
    pub(super) async fn stored(&self, key: &SessionKey) -> SessionRecord {
        self.get(key).await.record.expect("the store knows the session")
    }

    pub(super) async fn advance(&self, key: &SessionKey, from: u64, at: Timestamp) -> Snapshot {
        ok(self.store.advance(key, from, at).await)
    }

    pub(super) async fn replace(
        &self,
        key: &SessionKey,
        version: u64,
        record: &SessionRecord,
        event: Option<&FeedEvent>,
    ) -> Snapshot {
        ok(self.store.replace(key, version, record, event).await)
    }

    /// Changes a record as the engine does: reads it, and replaces it until there is no conflict.
    pub(super) async fn write(
        &self,
        key: &SessionKey,
        event: Option<FeedEvent>,
        change: impl Fn(&mut SessionRecord) -> bool,
    ) -> Snapshot {
        let event = event.filter(|_| self.store.has_feed());
        let mut snapshot = self.get(key).await;
        loop {
            let Some(mut record) = snapshot.record.clone() else { return snapshot };
            if !change(&mut record) {
                return Snapshot { applied: false, ..snapshot };
            }
            let answer = self.replace(key, snapshot.version, &record, event.as_ref()).await;
            if answer.applied {
                assert_eq!(answer.record.as_ref(), Some(&record), "what was written is what is there");
                return answer;
            }
            let moved = answer.record.is_none() || answer.version != snapshot.version;
            assert!(moved, "a conflict over the version that the store has: {answer:?}");
            snapshot = answer;
        }
    }

    pub(super) async fn confirm(&self, key: &SessionKey, generation: u64, at: Timestamp) -> Snapshot {
        self.write(key, None, |record| record.family.confirm(generation, at)).await
    }

    pub(super) async fn touch(&self, key: &SessionKey, at: Timestamp) -> Snapshot {
        self.write(key, None, |record| record.family.touch(at)).await
    }

    pub(super) async fn fast_forward(&self, key: &SessionKey, to: u64, at: Timestamp) -> Snapshot {
        self.write(key, None, |record| record.family.fast_forward(to, at)).await
    }

    pub(super) async fn record_reauthentication(
        &self,
        key: &SessionKey,
        method: &str,
        at: Timestamp,
    ) -> Snapshot {
        self.write(key, None, |record| record.record_reauthentication(&reauthentication(method, at))).await
    }

    pub(super) async fn put_claims(&self, key: &SessionKey, claims: &str, at: Timestamp) -> Snapshot {
        let event = FeedEvent::SessionStale(key.clone(), at);
        self.write(key, Some(event), |record| record.replace_claims(&claims.into(), at)).await
    }

    /// The store's run ID: raising it to the lowest there is changes nothing.
    pub(super) async fn run(&self) -> RunId {
        ok(self.store.raise_run_id(RunId::SAMPLE).await)
    }

    /// Raises the store's run ID to a new one.
    pub(super) async fn next_run(&self) -> RunId {
        let next = RunId::newer_than(Some(self.run().await), self.base).expect("there are random bytes");
        let run = ok(self.store.raise_run_id(next).await);
        assert_eq!(run, next, "a higher run ID is taken");
        run
    }

    /// Ends one session; whether this call did.
    pub(super) async fn revoke(&self, key: &SessionKey, at: Timestamp) -> bool {
        let ended = self.end(&Revoke::Session(key.clone()), at).await;
        assert!(ended.is_empty() || ended == [key.id], "ending one session ends no other");
        !ended.is_empty()
    }

    pub(super) async fn end(&self, what: &Revoke, at: Timestamp) -> Vec<SessionId> {
        ok(self.store.revoke(what, at).await)
    }

    pub(super) async fn mark_stale(&self, event: &FeedEvent) {
        ok(self.store.mark_stale(event).await);
    }

    /// The identifiers of a subject's live sessions, in the order in which they are listed.
    pub(super) async fn listed(&self, subject: &Subject, now: Timestamp) -> Vec<SessionId> {
        ok(self.store.list(subject, now).await).iter().map(|record| record.id).collect()
    }

    /// Checks that the store has exactly what `session` expects.
    pub(super) async fn expect(&self, session: &Opened) {
        assert_eq!(self.stored(&session.key).await, session.record);
    }

    /// Tries every way to write to a session that has ended.
    pub(super) async fn try_everything(&self, key: &SessionKey, generation: u64, at: Timestamp) {
        let applied = [
            self.advance(key, generation, at).await.applied,
            self.fast_forward(key, generation + 7, at).await.applied,
            self.record_reauthentication(key, "otp", at).await.applied,
            self.put_claims(key, r#"{"role":"admin"}"#, at).await.applied,
            self.confirm(key, generation, at).await.applied,
            self.touch(key, at).await.applied,
        ];
        assert_eq!(applied, [false; 6], "a rotation or one of the changes applied");
        let now = self.get(key).await;
        if let Some(mut record) = now.record.filter(|record| record.family.revoked) {
            record.family.revoked = false;
            let answer = self.replace(key, now.version, &record, None).await;
            assert!(!answer.applied, "a revoked session was replaced by a live one");
            assert!(answer.record.is_some_and(|record| record.family.revoked), "it stays revoked");
        }
    }
}

/// These values, attached to a session.
pub(super) fn attached(values: &[(&str, &[u8])]) -> Attached {
    let mut attached = Attached::default();
    values.iter().for_each(|(name, value)| attached.set(name, Some(value)));
    attached
}

/// A later reauthentication of sign-in.
pub(super) fn reauthentication(method: &str, at: Timestamp) -> Reauthentication {
    Reauthentication { at, methods: vec![method.into()], origin: Some(format!("{method} at home").into()) }
}

/// Checks that `record` is that of an ended session, and says what `expected` says otherwise. The
/// claims and the origin of an ended session need not be kept.
#[track_caller]
pub(super) fn assert_ended(record: &SessionRecord, expected: &SessionRecord) {
    assert!(record.family.revoked, "the session has ended, and stays so");
    assert_eq!(record.id, expected.id);
    assert_eq!(record.family, Family { revoked: true, ..expected.family });
    assert!(record.attached.is_empty(), "what is attached to a session ends with it");
}
