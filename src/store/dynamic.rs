//! [`SessionStore`] as a trait object.

use std::{fmt, pin::Pin, sync::Arc};

use super::{
    Cap, CreateError, FeedBatch, FeedEvent, FeedFrom, Revoke, SessionKey, SessionRecord, SessionStore,
    Snapshot, StoreError, Subject, Value, ValueKey, ValueSnapshot,
};
use crate::{
    id::{RunId, SessionId},
    time::Timestamp,
};

type BoxFuture<'a, T, E = StoreError> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

/// A [`Snapshot`] with a shared record. The record is shared, because it is large, and the engine often moves an answer
/// of the store.
#[derive(Clone, Debug)]
pub(crate) struct SharedSnapshot {
    pub(crate) run: RunId,
    pub(crate) version: u64,
    pub(crate) record: Option<Arc<SessionRecord>>,
    pub(crate) applied: bool,
}

impl From<Snapshot> for SharedSnapshot {
    fn from(Snapshot { run, version, record, applied }: Snapshot) -> Self {
        Self { run, version, record: record.map(Arc::new), applied }
    }
}

impl From<SharedSnapshot> for Snapshot {
    fn from(SharedSnapshot { run, version, record, applied }: SharedSnapshot) -> Self {
        Self { run, version, record: record.map(Arc::unwrap_or_clone), applied }
    }
}

/// Declares an object-safe version of each operation, which calls the operation of [`SessionStore`].
macro_rules! dyn_store {
    ($(fn $name:ident($($arg:ident: $type:ty),*) -> $result:ty $(, $error:ty)?;)*) => {
        #[cfg_attr(not(any(feature = "oidc", feature = "vault")), expect(dead_code, reason = "only some features keep values"))]
        pub(crate) trait DynStore: fmt::Debug + Send + Sync {
            fn has_feed(&self) -> bool;
            #[cfg(feature = "oidc")]
            fn keeps_values(&self) -> bool;
            fn run_id_now(&self) -> Option<RunId>;
            $(fn $name<'a>(&'a self, $($arg: $type),*) -> BoxFuture<'a, $result $(, $error)?>;)*
        }

        impl<S: SessionStore> DynStore for S {
            fn has_feed(&self) -> bool {
                SessionStore::has_feed(self)
            }
            #[cfg(feature = "oidc")]
            fn keeps_values(&self) -> bool {
                SessionStore::keeps_values(self)
            }
            fn run_id_now(&self) -> Option<RunId> {
                SessionStore::run_id_now(self)
            }
            $(fn $name<'a>(&'a self, $($arg: $type),*) -> BoxFuture<'a, $result $(, $error)?> {
                Box::pin(async move { SessionStore::$name(self, $($arg),*).await.map(Into::into) })
            })*
        }
    };
}

dyn_store! {
    fn create(subject: &'a Subject, record: &'a SessionRecord, cap: Option<Cap>)
        -> (RunId, Vec<SessionId>), CreateError;
    fn advance(key: &'a SessionKey, from: u64, at: Timestamp) -> SharedSnapshot;
    fn get(key: &'a SessionKey) -> SharedSnapshot;
    fn replace(
        key: &'a SessionKey, version: u64, record: &'a SessionRecord, event: Option<&'a FeedEvent>
    ) -> SharedSnapshot;
    fn mark_stale(event: &'a FeedEvent) -> ();
    fn revoke(what: &'a Revoke, at: Timestamp) -> Vec<SessionId>;
    fn list(subject: &'a Subject, now: Timestamp) -> Vec<SessionRecord>;
    fn raise_run_id(to: RunId) -> RunId;
    fn feed(from: &'a FeedFrom) -> FeedBatch;
    fn check() -> ();
    fn value(key: &'a ValueKey, now: Timestamp) -> ValueSnapshot;
    fn replace_value(key: &'a ValueKey, version: u64, to: Option<&'a Value>, now: Timestamp) -> ValueSnapshot;
}
