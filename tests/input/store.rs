//! A memory store that counts its calls, and can be made unavailable.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tower_sliding_sessions::{
    RunId, SessionId, Timestamp,
    store::{
        Cap, CreateError, FeedBatch, FeedEvent, FeedFrom, MemoryStore, Revoke, SessionKey, SessionRecord,
        SessionStore, Snapshot, StoreError, Subject,
    },
};

#[derive(Clone, Debug)]
pub(crate) struct Counted(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    memory: MemoryStore,
    calls: AtomicUsize,
    unavailable: AtomicBool,
}

impl Counted {
    pub(crate) fn new() -> Self {
        let memory = MemoryStore::new().expect("random bytes");
        Self(Arc::new(Inner { memory, calls: AtomicUsize::new(0), unavailable: AtomicBool::new(false) }))
    }

    /// The number of calls, without those of the feed, which no request makes.
    pub(crate) fn calls(&self) -> usize {
        self.0.calls.load(Ordering::SeqCst)
    }

    pub(crate) fn sessions(&self) -> usize {
        self.0.memory.len()
    }

    pub(crate) fn set_unavailable(&self, unavailable: bool) {
        self.0.unavailable.store(unavailable, Ordering::SeqCst);
    }

    fn call(&self) -> Result<&MemoryStore, StoreError> {
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        match self.0.unavailable.load(Ordering::SeqCst) {
            true => Err(StoreError::unavailable("made unavailable")),
            false => Ok(&self.0.memory),
        }
    }
}

macro_rules! counted {
    ($(fn $name:ident($($arg:ident: $type:ty),*) -> Result<$ok:ty, $error:ty>;)*) => {$(
        async fn $name(&self, $($arg: $type),*) -> Result<$ok, $error> {
            self.call()?.$name($($arg),*).await
        }
    )*};
}

impl SessionStore for Counted {
    fn run_id_now(&self) -> Option<RunId> {
        self.0.memory.run_id_now()
    }

    async fn feed(&self, from: &FeedFrom) -> Result<FeedBatch, StoreError> {
        self.0.memory.feed(from).await
    }

    counted! {
        fn create(subject: &Subject, record: &SessionRecord, cap: Option<Cap>)
            -> Result<(RunId, Vec<SessionId>), CreateError>;
        fn advance(key: &SessionKey, from: u64, at: Timestamp) -> Result<Snapshot, StoreError>;
        fn get(key: &SessionKey) -> Result<Snapshot, StoreError>;
        fn replace(key: &SessionKey, version: u64, record: &SessionRecord, event: Option<&FeedEvent>)
            -> Result<Snapshot, StoreError>;
        fn revoke(what: &Revoke, at: Timestamp) -> Result<Vec<SessionId>, StoreError>;
        fn mark_stale(event: &FeedEvent) -> Result<(), StoreError>;
        fn list(subject: &Subject, now: Timestamp) -> Result<Vec<SessionRecord>, StoreError>;
        fn raise_run_id(to: RunId) -> Result<RunId, StoreError>;
    }
}
