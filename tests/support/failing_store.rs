//! A store in memory that fails on demand, or keeps no values.

use std::sync::{
    Arc, Mutex, PoisonError,
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
pub(crate) struct FailingStore {
    inner: MemoryStore,
    /// The operations that fail, and whether only the next one does.
    failing: Arc<Mutex<(Vec<&'static str>, bool)>>,
    keeps_values: Arc<AtomicBool>,
}

impl FailingStore {
    pub(crate) fn new() -> Self {
        let keeps_values = Arc::new(AtomicBool::new(true));
        Self { inner: MemoryStore::new().expect("random bytes"), failing: Arc::default(), keeps_values }
    }

    /// From now on, these operations fail, and no others.
    pub(crate) fn fail(&self, operations: &[&'static str]) {
        *self.failing.lock().unwrap_or_else(PoisonError::into_inner) = (operations.to_vec(), false);
    }

    /// The next call of this operation fails.
    pub(crate) fn fail_once(&self, operation: &'static str) {
        *self.failing.lock().unwrap_or_else(PoisonError::into_inner) = (vec![operation], true);
    }

    pub(crate) fn without_values(self) -> Self {
        self.keeps_values.store(false, Ordering::Relaxed);
        self
    }

    fn check(&self, operation: &str) -> Result<(), StoreError> {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let (operations, once) = &mut *failing;
        if !operations.contains(&operation) {
            return Ok(());
        }
        if *once {
            operations.clear();
        }
        Err(StoreError::unavailable("the test says so"))
    }
}

impl SessionStore for FailingStore {
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
        self.check("replace")?;
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
