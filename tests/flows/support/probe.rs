//! A store that counts what it is asked, and that fails, hangs or waits where it is told to.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use tower_sliding_sessions::{
    RunId, SessionId, Timestamp,
    protocol::Advance,
    store::{
        Cap, Capabilities, CreateError, FeedBatch, FeedFrom, MemoryStore, Proof, Revoke, SessionKey,
        SessionRecord, SessionStore, Snapshot, StaleScope, StoreError, Subject,
    },
};

use super::Gate;

#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    /// It fails, and nothing is done.
    Fail,
    /// It is done, but the answer is lost.
    FailAfter,
    /// No answer ever comes.
    Hang,
    /// It waits before anything is done.
    Before(Gate),
    /// It is done, and the answer waits.
    After(Gate),
}

#[derive(Clone, Debug)]
pub(crate) struct Probe {
    inner: MemoryStore,
    /// Whether it says that it has a feed, and a run ID at hand.
    has_feed: bool,
    /// Whether it answers in the very moment that it is asked, as no network does.
    at_once: bool,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    calls: HashMap<&'static str, usize>,
    troubles: HashMap<&'static str, Trouble>,
    rotations: usize,
}

/// Every operation that a request or a person can cause.
const OPERATIONS: [&str; 12] = [
    "create",
    "advance",
    "get",
    "confirm",
    "touch",
    "fast_forward",
    "record_proof",
    "put_claims",
    "revoke",
    "mark_stale",
    "list",
    "rotate_run_id",
];

impl Probe {
    pub(crate) fn new(inner: MemoryStore) -> Self {
        Self { inner, has_feed: true, at_once: false, state: Arc::default() }
    }

    pub(crate) fn without_feed(self) -> Self {
        Self { has_feed: false, ..self }
    }

    pub(crate) fn that_answers_at_once(self) -> Self {
        Self { at_once: true, ..self }
    }

    pub(crate) fn trouble(&self, operation: &'static str, trouble: Trouble) {
        assert!(OPERATIONS.contains(&operation));
        self.state.lock().unwrap().troubles.insert(operation, trouble);
    }

    pub(crate) fn trouble_everywhere(&self, trouble: &Trouble) {
        OPERATIONS.iter().for_each(|operation| self.trouble(operation, trouble.clone()));
    }

    /// The feed breaks off, once whoever waits for it has got its answer.
    pub(crate) fn cut_the_feed(&self) {
        self.state.lock().unwrap().troubles.insert("feed", Trouble::Fail);
    }

    pub(crate) fn recover(&self) {
        self.state.lock().unwrap().troubles.clear();
    }

    /// How often an operation was asked for.
    pub(crate) fn calls(&self, operation: &'static str) -> usize {
        assert!(OPERATIONS.contains(&operation));
        self.state.lock().unwrap().calls.get(operation).copied().unwrap_or(0)
    }

    /// How often anything was asked for, the feed aside.
    pub(crate) fn all_calls(&self) -> usize {
        self.state.lock().unwrap().calls.values().sum()
    }

    /// How many rotations took place.
    pub(crate) fn rotations(&self) -> usize {
        self.state.lock().unwrap().rotations
    }

    /// What a store without a feed does: the same claims once more leave the mark.
    async fn mark_record(&self, key: &SessionKey, at: Timestamp) -> Result<(), StoreError> {
        let Some(record) = self.inner.get(key).await?.record else { return Ok(()) };
        self.inner.put_claims(key, &record.claims, at).await.map(drop)
    }

    async fn pass<T, E: From<StoreError>>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let trouble = {
            let mut state = self.state.lock().unwrap();
            *state.calls.entry(operation).or_default() += 1;
            state.troubles.get(operation).cloned()
        };
        if !self.at_once {
            // More often than it is polled at once.
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
        }
        let away = || StoreError::unavailable("the test says so");
        match trouble {
            None => work.await,
            Some(Trouble::Fail) => Err(away().into()),
            Some(Trouble::FailAfter) => work.await.and(Err(away().into())),
            Some(Trouble::Hang) => std::future::pending().await,
            Some(Trouble::Before(gate)) => {
                gate.pass().await;
                work.await
            }
            Some(Trouble::After(gate)) => {
                let answer = work.await;
                gate.pass().await;
                answer
            }
        }
    }
}

impl SessionStore for Probe {
    fn capabilities(&self) -> Capabilities {
        if self.has_feed { self.inner.capabilities() } else { Capabilities::NONE }
    }

    fn run_id_now(&self) -> Option<RunId> {
        self.inner.run_id_now().filter(|_| self.has_feed)
    }

    async fn create(
        &self,
        subject: &Subject,
        record: &SessionRecord,
        cap: Option<Cap>,
    ) -> Result<(RunId, Vec<SessionId>), CreateError> {
        self.pass("create", self.inner.create(subject, record, cap)).await
    }

    async fn advance(&self, key: &SessionKey, advance: &Advance) -> Result<Snapshot, StoreError> {
        let counted = async {
            let snapshot = self.inner.advance(key, advance).await?;
            self.state.lock().unwrap().rotations += usize::from(snapshot.applied);
            Ok(snapshot)
        };
        self.pass("advance", counted).await
    }

    async fn get(&self, key: &SessionKey) -> Result<Snapshot, StoreError> {
        self.pass("get", self.inner.get(key)).await
    }

    async fn confirm(&self, key: &SessionKey, generation: u64, at: Timestamp) -> Result<(), StoreError> {
        self.pass("confirm", self.inner.confirm(key, generation, at)).await
    }

    async fn touch(&self, key: &SessionKey, at: Timestamp) -> Result<(), StoreError> {
        self.pass("touch", self.inner.touch(key, at)).await
    }

    async fn fast_forward(&self, key: &SessionKey, to: u64, at: Timestamp) -> Result<Snapshot, StoreError> {
        self.pass("fast_forward", self.inner.fast_forward(key, to, at)).await
    }

    async fn record_proof(&self, key: &SessionKey, proof: &Proof) -> Result<Snapshot, StoreError> {
        self.pass("record_proof", self.inner.record_proof(key, proof)).await
    }

    async fn put_claims(
        &self,
        key: &SessionKey,
        claims: &str,
        at: Timestamp,
    ) -> Result<Snapshot, StoreError> {
        self.pass("put_claims", self.inner.put_claims(key, claims, at)).await
    }

    async fn revoke(&self, what: &Revoke, at: Timestamp) -> Result<Vec<SessionId>, StoreError> {
        self.pass("revoke", self.inner.revoke(what, at)).await
    }

    async fn mark_stale(&self, scope: &StaleScope, at: Timestamp) -> Result<(), StoreError> {
        self.pass("mark_stale", async {
            match scope {
                _ if self.has_feed => self.inner.mark_stale(scope, at).await,
                StaleScope::Session(key) => self.mark_record(key, at).await,
                StaleScope::Subject(_) => Err(StoreError::Unsupported("marking a subject")),
            }
        })
        .await
    }

    async fn list(&self, subject: &Subject, now: Timestamp) -> Result<Vec<SessionRecord>, StoreError> {
        self.pass("list", self.inner.list(subject, now)).await
    }

    async fn run_id(&self) -> Result<RunId, StoreError> {
        self.inner.run_id().await
    }

    async fn rotate_run_id(&self) -> Result<RunId, StoreError> {
        self.pass("rotate_run_id", self.inner.rotate_run_id()).await
    }

    async fn feed(&self, from: &FeedFrom) -> Result<FeedBatch, StoreError> {
        if self.state.lock().unwrap().troubles.contains_key("feed") {
            return Err(StoreError::unavailable("the test says so"));
        }
        self.inner.feed(from).await
    }
}
