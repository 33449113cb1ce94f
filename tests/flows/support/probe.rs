//! A store that counts its calls, and fails, hangs or waits where a test sets it to.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use serde_json::json;
use tower_sliding_sessions::{
    RunId, SessionId, Timestamp,
    store::{
        Cap, CreateError, FeedBatch, FeedEvent, FeedFrom, MemoryStore, Revoke, SessionKey, SessionRecord,
        SessionStore, Snapshot, StoreError, Subject,
    },
};

use super::{
    Gate,
    records::{edited, read},
};

#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    /// It fails, and does nothing.
    Fail,
    /// It does the work, but the response is lost.
    FailAfter,
    /// It never responds.
    Hang,
    /// It panics.
    Panic,
    /// It waits before it does the work.
    Before(Gate),
    /// It does the work, and the response waits.
    After(Gate),
}

#[derive(Clone, Debug)]
pub(crate) struct Probe {
    inner: Arc<Mutex<MemoryStore>>,
    /// Whether it has a feed, and keeps the run ID in memory.
    has_feed: bool,
    /// Whether it responds without yielding, as no network does.
    at_once: bool,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    calls: HashMap<&'static str, usize>,
    troubles: HashMap<&'static str, Trouble>,
    rotations: usize,
    /// The next answer of the feed says that events were lost.
    gap: bool,
    /// The answers of the feed say that there are more events.
    more: bool,
}

/// Every operation that a request or an operator can cause. A `replace` is named by the change it makes
/// to the record.
const OPERATIONS: [&str; 13] = [
    "create",
    "advance",
    "get",
    "confirm",
    "record_handout",
    "touch",
    "fast_forward",
    "record_reauthentication",
    "put_claims",
    "revoke",
    "mark_stale",
    "list",
    "raise_run_id",
];

impl Probe {
    pub(crate) fn new(inner: MemoryStore) -> Self {
        let inner = Arc::new(Mutex::new(inner));
        Self { inner, has_feed: true, at_once: false, state: Arc::default() }
    }

    fn inner(&self) -> MemoryStore {
        self.inner.lock().unwrap().clone()
    }

    /// The store is replaced by another one: that of a replica, or of a backup.
    pub(crate) fn become_that_of(&self, other: MemoryStore) {
        *self.inner.lock().unwrap() = other;
    }

    /// The store's run ID.
    pub(crate) fn run(&self) -> RunId {
        self.inner().run_id_now().unwrap()
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

    /// The feed fails, after a pending read of it has returned.
    pub(crate) fn cut_the_feed(&self) {
        self.state.lock().unwrap().troubles.insert("feed", Trouble::Fail);
    }

    /// The feed panics.
    pub(crate) fn panic_in_the_feed(&self) {
        self.state.lock().unwrap().troubles.insert("feed", Trouble::Panic);
    }

    /// The feed has lost events, and says so to the next reader.
    pub(crate) fn lose_events(&self) {
        self.state.lock().unwrap().gap = true;
    }

    /// Whether each read of the feed says that it has more events.
    pub(crate) fn announce_more_events(&self, more: bool) {
        self.state.lock().unwrap().more = more;
    }

    pub(crate) fn recover(&self) {
        self.state.lock().unwrap().troubles.clear();
    }

    /// How often an operation was called.
    pub(crate) fn calls(&self, operation: &'static str) -> usize {
        assert!(OPERATIONS.contains(&operation));
        self.state.lock().unwrap().calls.get(operation).copied().unwrap_or(0)
    }

    /// How often any operation was called, except for the feed.
    pub(crate) fn all_calls(&self) -> usize {
        self.state.lock().unwrap().calls.values().sum()
    }

    /// How many rotations took place.
    pub(crate) fn rotations(&self) -> usize {
        self.state.lock().unwrap().rotations
    }

    /// New claims, written as another instance does.
    pub(crate) async fn put_claims(&self, key: &SessionKey, claims: &str, at: Timestamp) {
        let Snapshot { version, record: Some(mut record), .. } = self.inner().get(key).await.unwrap() else {
            panic!("there is no such session");
        };
        record.mark_stale(at);
        let record = edited(&record, |json| json["claims"] = json!(claims));
        let event = FeedEvent::SessionStale(key.clone(), at);
        let event = Some(&event).filter(|_| self.has_feed);
        assert!(self.inner().replace(key, version, &record, event).await.unwrap().applied);
    }

    /// A session's record in the store.
    pub(crate) async fn record(&self, key: &SessionKey) -> SessionRecord {
        self.inner().get(key).await.unwrap().record.unwrap()
    }

    /// An emergency stop by another instance. Returns the new run ID.
    pub(crate) async fn stop_everything(&self) -> RunId {
        let run = self.inner().run_id_now().unwrap().next();
        self.inner().raise_run_id(run).await.unwrap()
    }

    /// A store without a feed writes the mark into the record.
    async fn mark_record(&self, key: &SessionKey, at: Timestamp) -> Result<(), StoreError> {
        let Snapshot { version, record: Some(mut record), .. } = self.inner().get(key).await? else {
            return Ok(());
        };
        record.mark_stale(at);
        self.inner().replace(key, version, &record, None).await.map(drop)
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
            // More yields than a task is polled for in a row.
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
        }
        let unavailable = || StoreError::unavailable("simulated outage");
        match trouble {
            None => work.await,
            Some(Trouble::Fail) => Err(unavailable().into()),
            Some(Trouble::FailAfter) => work.await.and(Err(unavailable().into())),
            Some(Trouble::Hang) => std::future::pending().await,
            Some(Trouble::Panic) => panic!("the test says so"),
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

/// The purpose of a replacement.
fn change(before: &SessionRecord, after: &SessionRecord) -> &'static str {
    let [before, after] = [before, after].map(read);
    let differs = |pointer| before.pointer(pointer) != after.pointer(pointer);
    if differs("/claims") || differs("/stale_since") {
        "put_claims"
    } else if differs("/reauthentication") {
        "record_reauthentication"
    } else if differs("/family/generation") {
        "fast_forward"
    } else if differs("/family/confirmed_at") {
        "confirm"
    } else if differs("/family/offered_at") {
        "record_handout"
    } else {
        "touch"
    }
}

impl SessionStore for Probe {
    fn has_feed(&self) -> bool {
        self.has_feed
    }

    fn can_list(&self) -> bool {
        self.has_feed
    }

    fn run_id_now(&self) -> Option<RunId> {
        self.inner().run_id_now().filter(|_| self.has_feed)
    }

    async fn create(
        &self,
        subject: &Subject,
        record: &SessionRecord,
        cap: Option<Cap>,
    ) -> Result<(RunId, Vec<SessionId>), CreateError> {
        self.pass("create", self.inner().create(subject, record, cap)).await
    }

    async fn advance(&self, key: &SessionKey, from: u64, at: Timestamp) -> Result<Snapshot, StoreError> {
        let counted = async {
            let snapshot = self.inner().advance(key, from, at).await?;
            self.state.lock().unwrap().rotations += usize::from(snapshot.applied);
            Ok(snapshot)
        };
        self.pass("advance", counted).await
    }

    async fn get(&self, key: &SessionKey) -> Result<Snapshot, StoreError> {
        self.pass("get", self.inner().get(key)).await
    }

    async fn replace(
        &self,
        key: &SessionKey,
        version: u64,
        record: &SessionRecord,
        event: Option<&FeedEvent>,
    ) -> Result<Snapshot, StoreError> {
        let before = self.inner().get(key).await?.record;
        let operation = before.map_or("touch", |before| change(&before, record));
        self.pass(operation, self.inner().replace(key, version, record, event)).await
    }

    async fn revoke(&self, what: &Revoke, at: Timestamp) -> Result<Vec<SessionId>, StoreError> {
        self.pass("revoke", self.inner().revoke(what, at)).await
    }

    async fn mark_stale(&self, event: &FeedEvent) -> Result<(), StoreError> {
        self.pass("mark_stale", async {
            match event {
                _ if self.has_feed => self.inner().mark_stale(event).await,
                FeedEvent::SessionStale(key, at) => self.mark_record(key, *at).await,
                _ => Err(StoreError::Unsupported("marking a subject")),
            }
        })
        .await
    }

    async fn list(&self, subject: &Subject, now: Timestamp) -> Result<Vec<SessionRecord>, StoreError> {
        self.pass("list", self.inner().list(subject, now)).await
    }

    async fn raise_run_id(&self, to: RunId) -> Result<RunId, StoreError> {
        self.pass("raise_run_id", self.inner().raise_run_id(to)).await
    }

    async fn feed(&self, from: &FeedFrom) -> Result<FeedBatch, StoreError> {
        let trouble = self.state.lock().unwrap().troubles.get("feed").cloned();
        assert!(!matches!(trouble, Some(Trouble::Panic)), "the test says so");
        if trouble.is_some() {
            return Err(StoreError::unavailable("simulated outage"));
        }
        let mut batch = self.inner().feed(from).await?;
        let mut state = self.state.lock().unwrap();
        batch.gap |= std::mem::take(&mut state.gap);
        batch.more |= state.more;
        Ok(batch)
    }
}
