//! A store that fails on demand, or keeps no values.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use tower_sliding_sessions::{
    RunId, SessionId, Timestamp,
    store::{
        Cap, CreateError, FeedBatch, FeedEvent, FeedFrom, MemoryStore, Revoke, SessionKey, SessionRecord,
        SessionStore, Snapshot, StoreError, Subject, Value, ValueKey, ValueSnapshot,
    },
};

/// Clones are one store.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    inner: MemoryStore,
    /// The operation that fails.
    failing: Arc<Mutex<Option<&'static str>>>,
    keeps_values: Arc<AtomicBool>,
}

impl Store {
    pub(crate) fn new() -> Self {
        let keeps_values = Arc::new(AtomicBool::new(true));
        Self { inner: MemoryStore::new().expect("random bytes"), failing: Arc::default(), keeps_values }
    }

    /// From now on, this operation fails, or none. `one revoke` fails once.
    pub(crate) fn fail(&self, operation: Option<&'static str>) {
        *self.failing.lock().expect("no panic") = operation;
    }

    pub(crate) fn without_values(self) -> Self {
        self.keeps_values.store(false, Ordering::Relaxed);
        self
    }

    fn check(&self, operation: &str) -> Result<(), StoreError> {
        let mut failing = self.failing.lock().expect("no panic");
        match *failing {
            Some("one revoke") if operation == "revoke" => {
                *failing = None;
                Err(StoreError::unavailable("as the test asks for"))
            }
            Some(failing) if failing == operation => Err(StoreError::unavailable("as the test asks for")),
            _ => Ok(()),
        }
    }
}

impl SessionStore for Store {
    fn keeps_values(&self) -> bool {
        self.keeps_values.load(Ordering::Relaxed)
    }

    async fn create(
        &self,
        subject: &Subject,
        record: &SessionRecord,
        cap: Option<Cap>,
    ) -> Result<(RunId, Vec<SessionId>), CreateError> {
        self.inner.create(subject, record, cap).await
    }

    async fn get(&self, key: &SessionKey) -> Result<Snapshot, StoreError> {
        self.check("get")?;
        self.inner.get(key).await
    }

    async fn replace(
        &self,
        key: &SessionKey,
        version: u64,
        record: &SessionRecord,
        event: Option<&FeedEvent>,
    ) -> Result<Snapshot, StoreError> {
        self.inner.replace(key, version, record, event).await
    }

    async fn revoke(&self, what: &Revoke, at: Timestamp) -> Result<Vec<SessionId>, StoreError> {
        self.check("revoke")?;
        self.inner.revoke(what, at).await
    }

    async fn mark_stale(&self, event: &FeedEvent) -> Result<(), StoreError> {
        self.inner.mark_stale(event).await
    }

    async fn list(&self, subject: &Subject, now: Timestamp) -> Result<Vec<SessionRecord>, StoreError> {
        self.inner.list(subject, now).await
    }

    async fn raise_run_id(&self, to: RunId) -> Result<RunId, StoreError> {
        self.inner.raise_run_id(to).await
    }

    async fn feed(&self, from: &FeedFrom) -> Result<FeedBatch, StoreError> {
        self.inner.feed(from).await
    }

    async fn value(&self, key: &ValueKey, now: Timestamp) -> Result<ValueSnapshot, StoreError> {
        self.check("value")?;
        match self.keeps_values() {
            true => self.inner.value(key, now).await,
            false => Err(StoreError::Unsupported("values")),
        }
    }

    async fn replace_value(
        &self,
        key: &ValueKey,
        version: u64,
        to: Option<&Value>,
        now: Timestamp,
    ) -> Result<ValueSnapshot, StoreError> {
        self.check("replace_value")?;
        self.inner.replace_value(key, version, to, now).await
    }
}
