//! The store of a layer that only verifies: no store, or the issuer's store, which is only read.

use std::sync::Arc;

use crate::{
    id::{RunId, SessionId},
    store::{
        Cap, CreateError, DynStore, FeedBatch, FeedEvent, FeedFrom, Revoke, SessionKey, SessionRecord,
        SessionStore, Snapshot, StoreError, Subject,
    },
    time::Timestamp,
};

/// The issuer's store, or no store. Only the feed and single records are read.
#[derive(Debug)]
pub(super) struct ReadOnly(pub(super) Option<Arc<dyn DynStore>>);

/// The error of each operation that is not supported.
fn unsupported() -> StoreError {
    StoreError::Unsupported("a service that only verifies reads the issuer's store, and writes nothing")
}

impl ReadOnly {
    fn store(&self) -> Result<&dyn DynStore, StoreError> {
        self.0.as_deref().ok_or_else(unsupported)
    }
}

impl SessionStore for ReadOnly {
    fn has_feed(&self) -> bool {
        self.0.as_ref().is_some_and(|store| store.has_feed())
    }

    fn can_list(&self) -> bool {
        false
    }

    fn run_id_now(&self) -> Option<RunId> {
        self.0.as_ref().and_then(|store| store.run_id_now())
    }

    async fn get(&self, key: &SessionKey) -> Result<Snapshot, StoreError> {
        self.store()?.get(key).await.map(Snapshot::from)
    }

    async fn feed(&self, from: &FeedFrom) -> Result<FeedBatch, StoreError> {
        self.store()?.feed(from).await
    }

    async fn create(
        &self,
        _: &Subject,
        _: &SessionRecord,
        _: Option<Cap>,
    ) -> Result<(RunId, Vec<SessionId>), CreateError> {
        Err(unsupported().into())
    }

    async fn replace(
        &self,
        _: &SessionKey,
        _: u64,
        _: &SessionRecord,
        _: Option<&FeedEvent>,
    ) -> Result<Snapshot, StoreError> {
        Err(unsupported())
    }

    async fn revoke(&self, _: &Revoke, _: Timestamp) -> Result<Vec<SessionId>, StoreError> {
        Err(unsupported())
    }

    async fn mark_stale(&self, _: &FeedEvent) -> Result<(), StoreError> {
        Err(unsupported())
    }

    async fn list(&self, _: &Subject, _: Timestamp) -> Result<Vec<SessionRecord>, StoreError> {
        Err(unsupported())
    }

    async fn raise_run_id(&self, _: RunId) -> Result<RunId, StoreError> {
        Err(unsupported())
    }
}
