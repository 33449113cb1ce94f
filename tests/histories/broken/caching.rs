//! A store that answers from a cache when it cannot be reached.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use tower_sliding_sessions::{
    RunId, SessionId, Timestamp,
    store::{
        Cap, CreateError, FeedBatch, FeedEvent, FeedFrom, Revoke, SessionKey, SessionRecord, SessionStore,
        Snapshot, StoreError, Subject,
    },
};

#[derive(Debug)]
pub(crate) struct Caching<S> {
    inner: S,
    seen: Mutex<HashMap<SessionId, Snapshot>>,
}

impl<S> Caching<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner, seen: Mutex::default() }
    }

    fn cached(&self, key: &SessionKey, answer: Result<Snapshot, StoreError>) -> Result<Snapshot, StoreError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok(snapshot) => {
                seen.insert(key.id, Snapshot { applied: false, ..snapshot.clone() });
                Ok(snapshot)
            }
            Err(error) => seen.get(&key.id).cloned().ok_or(error),
        }
    }
}

impl<S: SessionStore> SessionStore for Caching<S> {
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
        self.cached(key, self.inner.advance(key, from, at).await)
    }

    async fn get(&self, key: &SessionKey) -> Result<Snapshot, StoreError> {
        self.cached(key, self.inner.get(key).await)
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
        self.inner.feed(from).await
    }
}
