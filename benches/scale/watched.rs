//! A store that tells what is asked of it, and can put events into an instance's feed.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use tower_sliding_sessions::{
    RunId, SessionId, Timestamp,
    store::{
        Cap, CreateError, FeedBatch, FeedEvent, FeedFrom, Revoke, SessionKey, SessionRecord, SessionStore,
        Snapshot, StoreError, Subject,
    },
};

#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Calls of the feed that were answered, and what was in the answers.
    pub(crate) reads: AtomicU64,
    pub(crate) events: AtomicU64,
    pub(crate) gaps: AtomicU64,
    /// When the feed was first read to its end.
    pub(crate) complete: Mutex<Option<Instant>>,
    /// Events that come before those of the store.
    pub(crate) injected: Mutex<VecDeque<Vec<FeedEvent>>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Watched<S> {
    store: S,
    pub(crate) told: Arc<Told>,
}

impl<S: SessionStore + Clone> Watched<S> {
    pub(crate) fn new(store: S) -> Self {
        Self { store, told: Arc::default() }
    }
}

impl<S: SessionStore + Clone> SessionStore for Watched<S> {
    fn has_feed(&self) -> bool {
        self.store.has_feed()
    }

    fn can_list(&self) -> bool {
        self.store.can_list()
    }

    fn run_id_now(&self) -> Option<RunId> {
        self.store.run_id_now()
    }

    async fn create(
        &self,
        subject: &Subject,
        record: &SessionRecord,
        cap: Option<Cap>,
    ) -> Result<(RunId, Vec<SessionId>), CreateError> {
        self.store.create(subject, record, cap).await
    }

    async fn advance(&self, key: &SessionKey, from: u64, at: Timestamp) -> Result<Snapshot, StoreError> {
        self.store.advance(key, from, at).await
    }

    async fn get(&self, key: &SessionKey) -> Result<Snapshot, StoreError> {
        self.store.get(key).await
    }

    async fn replace(
        &self,
        key: &SessionKey,
        version: u64,
        record: &SessionRecord,
        event: Option<&FeedEvent>,
    ) -> Result<Snapshot, StoreError> {
        self.store.replace(key, version, record, event).await
    }

    async fn revoke(&self, what: &Revoke, at: Timestamp) -> Result<Vec<SessionId>, StoreError> {
        self.store.revoke(what, at).await
    }

    async fn mark_stale(&self, event: &FeedEvent) -> Result<(), StoreError> {
        self.store.mark_stale(event).await
    }

    async fn list(&self, subject: &Subject, now: Timestamp) -> Result<Vec<SessionRecord>, StoreError> {
        self.store.list(subject, now).await
    }

    async fn raise_run_id(&self, to: RunId) -> Result<RunId, StoreError> {
        self.store.raise_run_id(to).await
    }

    async fn feed(&self, from: &FeedFrom) -> Result<FeedBatch, StoreError> {
        let injected = self.told.injected.lock().expect("no panic").pop_front();
        let (events, run) = (injected.unwrap_or_default(), self.store.run_id_now());
        let batch = match (from, run) {
            (FeedFrom::After(position), Some(run)) if !events.is_empty() => {
                FeedBatch { events, position: position.clone(), run, gap: false, more: true }
            }
            _ => self.store.feed(from).await?,
        };
        self.told.reads.fetch_add(1, Ordering::Relaxed);
        self.told.gaps.fetch_add(u64::from(batch.gap), Ordering::Relaxed);
        self.told.events.fetch_add(batch.events.len() as u64, Ordering::Relaxed);
        if !batch.more {
            self.told.complete.lock().expect("no panic").get_or_insert_with(Instant::now);
        }
        Ok(batch)
    }
}
