//! A store whose feed fails or panics on demand.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tower_sliding_sessions::{
    RunId, SessionId, Timestamp,
    store::{
        Cap, CreateError, FeedBatch, FeedEvent, FeedFrom, Revoke, SessionKey, SessionRecord, SessionStore,
        Snapshot, StoreError, Subject,
    },
};

#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// The next call of the feed panics.
    pub(crate) feed_panics: Arc<AtomicBool>,
    /// The feed cannot be read.
    pub(crate) feed_fails: Arc<AtomicBool>,
    /// The feed's times are those of the server, whose clock is not the test's.
    pub(crate) server_has_its_own_time: bool,
}

#[derive(Debug)]
pub(crate) struct FaultyStore<S> {
    pub(crate) inner: S,
    pub(crate) faults: Faults,
}

impl<S: SessionStore> SessionStore for FaultyStore<S> {
    fn has_feed(&self) -> bool {
        self.inner.has_feed()
    }

    fn can_list(&self) -> bool {
        self.inner.can_list()
    }

    fn run_id_now(&self) -> Option<RunId> {
        self.inner.run_id_now()
    }

    async fn create(
        &self,
        subject: &Subject,
        record: &SessionRecord,
        cap: Option<Cap>,
    ) -> Result<(RunId, Vec<SessionId>), CreateError> {
        self.inner.create(subject, record, cap).await
    }

    async fn advance(&self, key: &SessionKey, from: u64, at: Timestamp) -> Result<Snapshot, StoreError> {
        self.inner.advance(key, from, at).await
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
        if self.faults.feed_panics.swap(false, Ordering::SeqCst) {
            // A panic without a message.
            std::panic::resume_unwind(Box::new("the test kills the follower"));
        }
        if self.faults.feed_fails.load(Ordering::SeqCst) {
            return Err(StoreError::unavailable("simulated outage"));
        }
        match from {
            FeedFrom::Since(_) if self.faults.server_has_its_own_time => {
                self.inner.feed(&FeedFrom::Since(Timestamp::EPOCH)).await
            }
            FeedFrom::Since(_) | FeedFrom::After(_) => self.inner.feed(from).await,
        }
    }
}
