//! A store in memory that can be told to fail.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tower_sliding_sessions::{
    RunId, SessionId, Timestamp,
    store::{
        Cap, CreateError, FeedBatch, FeedEvent, FeedFrom, MemoryStore, Revoke, SessionKey, SessionRecord,
        SessionStore, Snapshot, StoreError, Subject, Value, ValueKey, ValueSnapshot,
    },
};

/// Writes of records and of values fail while the switch is on.
#[derive(Clone, Debug)]
pub(crate) struct FailingStore {
    inner: MemoryStore,
    fails: Arc<AtomicBool>,
}

impl FailingStore {
    pub(crate) fn new() -> Self {
        Self { inner: MemoryStore::new().expect("random bytes"), fails: Arc::default() }
    }

    pub(crate) fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }

    fn works(&self) -> Result<(), StoreError> {
        if self.fails.load(Ordering::SeqCst) {
            Err(StoreError::unavailable("the test says so"))
        } else {
            Ok(())
        }
    }
}

impl SessionStore for FailingStore {
    fn keeps_values(&self) -> bool {
        true
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
        self.inner.get(key).await
    }

    async fn replace(
        &self,
        key: &SessionKey,
        version: u64,
        record: &SessionRecord,
        event: Option<&FeedEvent>,
    ) -> Result<Snapshot, StoreError> {
        self.works()?;
        self.inner.replace(key, version, record, event).await
    }

    async fn revoke(&self, what: &Revoke, at: Timestamp) -> Result<Vec<SessionId>, StoreError> {
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
        self.inner.value(key, now).await
    }

    async fn replace_value(
        &self,
        key: &ValueKey,
        version: u64,
        to: Option<&Value>,
        now: Timestamp,
    ) -> Result<ValueSnapshot, StoreError> {
        self.works()?;
        self.inner.replace_value(key, version, to, now).await
    }
}
