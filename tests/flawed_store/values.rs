//! A memory store with one flaw in the values that belong to no session.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::task::yield_now;
use tower_sliding_sessions::{
    RunId, SessionId, Timestamp,
    store::{
        Cap, CreateError, FeedBatch, FeedEvent, FeedFrom, MemoryStore, Revoke, SessionKey, SessionRecord,
        SessionStore, Snapshot, StoreError, Subject, Value, ValueKey, ValueSnapshot,
    },
};

/// The flaw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueFlaw {
    /// No flaw.
    None,
    IgnoresVersion,
    IsNotAtomic,
    NeverExpires,
    ConflictSaysNothing,
    CutsBytes,
    RemovesNothing,
    ForgetsWithRun,
    SaysItKeepsNone,
}

#[derive(Clone, Debug)]
pub(crate) struct FlawedValues {
    inner: MemoryStore,
    flaw: ValueFlaw,
    forgotten: Arc<AtomicBool>,
}

impl FlawedValues {
    pub(crate) fn new(inner: MemoryStore, flaw: ValueFlaw) -> Self {
        Self { inner, flaw, forgotten: Arc::default() }
    }

    fn time(&self, now: Timestamp) -> Timestamp {
        if self.flaw == ValueFlaw::NeverExpires { Timestamp::EPOCH } else { now }
    }
}

impl SessionStore for FlawedValues {
    fn keeps_values(&self) -> bool {
        self.flaw != ValueFlaw::SaysItKeepsNone
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
        self.forgotten.store(self.flaw == ValueFlaw::ForgetsWithRun, Ordering::SeqCst);
        self.inner.raise_run_id(to).await
    }

    async fn feed(&self, from: &FeedFrom) -> Result<FeedBatch, StoreError> {
        self.inner.feed(from).await
    }

    async fn value(&self, key: &ValueKey, now: Timestamp) -> Result<ValueSnapshot, StoreError> {
        if self.forgotten.load(Ordering::SeqCst) {
            return Ok(ValueSnapshot::MISSING);
        }
        self.inner.value(key, self.time(now)).await
    }

    async fn replace_value(
        &self,
        key: &ValueKey,
        version: u64,
        to: Option<&Value>,
        now: Timestamp,
    ) -> Result<ValueSnapshot, StoreError> {
        let now = self.time(now);
        let there = self.inner.value(key, now).await?;
        let cut = to.map(|value| Value {
            bytes: value.bytes.iter().copied().take_while(|byte| *byte != 0).collect(),
            ..value.clone()
        });
        match self.flaw {
            ValueFlaw::IgnoresVersion => self.inner.replace_value(key, there.version, to, now).await,
            ValueFlaw::IsNotAtomic if there.version == version => {
                yield_now().await;
                let there = self.inner.value(key, now).await?;
                self.inner.replace_value(key, there.version, to, now).await
            }
            ValueFlaw::ConflictSaysNothing if there.version != version => Ok(ValueSnapshot::MISSING),
            ValueFlaw::CutsBytes => self.inner.replace_value(key, version, cut.as_ref(), now).await,
            ValueFlaw::RemovesNothing if to.is_none() && there.version == version => {
                Ok(ValueSnapshot::written(1, None))
            }
            _ => self.inner.replace_value(key, version, to, now).await,
        }
    }
}
