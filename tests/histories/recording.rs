//! Records what an instance asks its store, and what the store answers.

use std::sync::Arc;

use tokio::sync::watch;
use tower_sliding_sessions::{
    RunId, SessionId, Timestamp,
    store::{
        Cap, CreateError, FeedBatch, FeedEvent, FeedFrom, Revoke, SessionKey, SessionRecord, SessionStore,
        Snapshot, StoreError, Subject,
    },
};

use crate::{
    history::{Answer, History, Process, Record, What},
    link::Mode,
};

#[derive(Clone)]
pub(crate) struct Recorder {
    pub(crate) history: Arc<History>,
    pub(crate) process: Process,
    /// For stores without a server.
    pub(crate) link: Option<watch::Receiver<Mode>>,
}

pub(crate) struct Recording<S> {
    pub(crate) inner: S,
    pub(crate) recorder: Recorder,
}

impl<S> std::fmt::Debug for Recording<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recording").finish_non_exhaustive()
    }
}

impl Recorder {
    /// Passes a call through the link.
    async fn pass<T, E: From<StoreError>>(&self, call: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let Some(link) = &self.link else { return call.await };
        let mut link = link.clone();
        let mode = *link.borrow();
        if mode == Mode::Silent {
            std::future::pending::<()>().await;
        }
        if mode == Mode::Cut {
            return Err(StoreError::unavailable("cut").into());
        }
        // A feed that waits for events loses its connection, too.
        let answer = tokio::select! {
            answer = call => answer,
            _ = link.wait_for(|mode| *mode == Mode::Cut) => return Err(StoreError::unavailable("cut").into()),
        };
        match mode {
            Mode::LosesAnswers => std::future::pending().await,
            Mode::Slow(by) => tokio::time::sleep(by).await,
            _ => {}
        }
        answer
    }

    async fn record(
        &self,
        session: SessionId,
        call: &'static str,
        answer: impl Future<Output = Result<Snapshot, StoreError>>,
    ) -> Result<Snapshot, StoreError> {
        let invoked = self.history.now();
        let answer = self.pass(answer).await;
        let seen = answer.as_ref().ok().map(|snapshot| Answer {
            run: snapshot.run,
            applied: snapshot.applied,
            record: snapshot
                .record
                .as_ref()
                .map(|record| Record { generation: record.generation(), revoked: record.is_revoked() }),
        });
        self.history.add(self.process, invoked, What::Store { session, call, answer: seen });
        answer
    }
}

impl<S: SessionStore> SessionStore for Recording<S> {
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
        let Recorder { history, process, .. } = &self.recorder;
        let invoked = history.now();
        let created = self.recorder.pass(self.inner.create(subject, record, cap)).await;
        let kept = Record { generation: record.generation(), revoked: false };
        let answer =
            created.as_ref().ok().map(|(run, _)| Answer { run: *run, applied: true, record: Some(kept) });
        history.add(*process, invoked, What::Store { session: record.id(), call: "create", answer });
        created
    }

    async fn advance(&self, key: &SessionKey, from: u64, at: Timestamp) -> Result<Snapshot, StoreError> {
        self.recorder.record(key.id, "advance", self.inner.advance(key, from, at)).await
    }

    async fn get(&self, key: &SessionKey) -> Result<Snapshot, StoreError> {
        self.recorder.record(key.id, "get", self.inner.get(key)).await
    }

    async fn replace(
        &self,
        key: &SessionKey,
        version: u64,
        record: &SessionRecord,
        event: Option<&FeedEvent>,
    ) -> Result<Snapshot, StoreError> {
        self.recorder.record(key.id, "replace", self.inner.replace(key, version, record, event)).await
    }

    async fn revoke(&self, what: &Revoke, at: Timestamp) -> Result<Vec<SessionId>, StoreError> {
        self.recorder.pass(self.inner.revoke(what, at)).await
    }

    async fn mark_stale(&self, event: &FeedEvent) -> Result<(), StoreError> {
        self.recorder.pass(self.inner.mark_stale(event)).await
    }

    async fn list(&self, subject: &Subject, now: Timestamp) -> Result<Vec<SessionRecord>, StoreError> {
        self.recorder.pass(self.inner.list(subject, now)).await
    }

    async fn raise_run_id(&self, to: RunId) -> Result<RunId, StoreError> {
        self.recorder.pass(self.inner.raise_run_id(to)).await
    }

    async fn feed(&self, from: &FeedFrom) -> Result<FeedBatch, StoreError> {
        self.recorder.pass(self.inner.feed(from)).await
    }
}
