//! A memory store that breaks one promise.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use tower_sliding_sessions::{
    RunId, SessionId, Timestamp,
    store::{
        Cap, CreateError, FeedBatch, FeedEvent, FeedFrom, MemoryStore, Revoke, SessionKey, SessionRecord,
        SessionStore, Snapshot, StoreError, Subject,
    },
};

use crate::records::edited;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    Nothing,
    LosesRevocations,
    /// It answers, and writes the revocation three seconds later.
    RevokesLate,
    MakesTwoSuccessors,
    ForgetsRotations,
    /// It hides from the client of an old token that there are later ones.
    AcceptsSuperseded,
    /// It raises the run ID, and still answers with the first one.
    ServesOldRunId,
    /// One answer of nine says that there is no such session.
    ForgetsSessions,
    /// After 20 sessions it opens no more.
    OpensNoMore,
}

#[derive(Clone, Debug)]
pub(crate) struct BrokenStore {
    inner: MemoryStore,
    how: Break,
    calls: Arc<AtomicU64>,
    first_run: Option<RunId>,
}

impl BrokenStore {
    pub(crate) fn new(inner: MemoryStore, how: Break) -> Self {
        let first_run = inner.run_id_now();
        Self { inner, how, calls: Arc::default(), first_run }
    }

    fn run(&self, run: RunId) -> RunId {
        self.first_run.filter(|_| self.how == Break::ServesOldRunId).unwrap_or(run)
    }

    fn shown(&self, mut snapshot: Snapshot) -> Snapshot {
        snapshot.run = self.run(snapshot.run);
        let calls = self.calls.fetch_add(1, Ordering::Relaxed);
        if self.how == Break::ForgetsSessions && calls % 9 == 8 {
            snapshot.record = None;
        }
        snapshot
    }
}

impl SessionStore for BrokenStore {
    async fn create(
        &self,
        subject: &Subject,
        record: &SessionRecord,
        cap: Option<Cap>,
    ) -> Result<(RunId, Vec<SessionId>), CreateError> {
        if self.how == Break::OpensNoMore && self.calls.fetch_add(1, Ordering::Relaxed) >= 20 {
            return Err(StoreError::Full.into());
        }
        let (run, ended) = self.inner.create(subject, record, cap).await?;
        Ok((self.run(run), ended))
    }

    async fn advance(&self, key: &SessionKey, from: u64, at: Timestamp) -> Result<Snapshot, StoreError> {
        let read = self.inner.get(key).await?;
        let rotated = read.record.clone().filter(|record| record.clone().advance(from, at));
        match (self.how, rotated) {
            (Break::MakesTwoSuccessors, Some(_)) => {
                tokio::time::sleep(Duration::from_millis(400)).await;
                let snapshot = self.inner.advance(key, from, at).await?;
                Ok(self.shown(Snapshot { applied: true, ..snapshot }))
            }
            (Break::ForgetsRotations, Some(mut record)) => {
                record.advance(from, at);
                Ok(Snapshot { record: Some(record), applied: true, ..read })
            }
            (Break::AcceptsSuperseded, None) => {
                let of_old = |record: &SessionRecord| {
                    edited(record, |json| json["family"]["generation"] = json!(from))
                };
                let record = read.record.as_ref().map(of_old);
                Ok(Snapshot { record, ..read })
            }
            _ => Ok(self.shown(self.inner.advance(key, from, at).await?)),
        }
    }

    async fn get(&self, key: &SessionKey) -> Result<Snapshot, StoreError> {
        Ok(self.shown(self.inner.get(key).await?))
    }

    async fn replace(
        &self,
        key: &SessionKey,
        version: u64,
        record: &SessionRecord,
        event: Option<&FeedEvent>,
    ) -> Result<Snapshot, StoreError> {
        Ok(self.shown(self.inner.replace(key, version, record, event).await?))
    }

    async fn revoke(&self, what: &Revoke, at: Timestamp) -> Result<Vec<SessionId>, StoreError> {
        let named = match what {
            Revoke::Session(key) => vec![key.id],
            Revoke::Subject { subject, .. } => {
                self.inner.list(subject, at).await?.iter().map(SessionRecord::id).collect()
            }
        };
        match self.how {
            Break::LosesRevocations => Ok(named),
            Break::RevokesLate => {
                let (inner, what) = (self.inner.clone(), what.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_secs(3)).await;
                    inner.revoke(&what, at).await
                });
                Ok(named)
            }
            _ => self.inner.revoke(what, at).await,
        }
    }

    async fn mark_stale(&self, event: &FeedEvent) -> Result<(), StoreError> {
        self.inner.mark_stale(event).await
    }

    async fn list(&self, subject: &Subject, now: Timestamp) -> Result<Vec<SessionRecord>, StoreError> {
        self.inner.list(subject, now).await
    }

    async fn raise_run_id(&self, to: RunId) -> Result<RunId, StoreError> {
        match self.how {
            Break::ServesOldRunId => Ok(to),
            _ => self.inner.raise_run_id(to).await,
        }
    }

    async fn feed(&self, from: &FeedFrom) -> Result<FeedBatch, StoreError> {
        self.inner.feed(from).await
    }
}
