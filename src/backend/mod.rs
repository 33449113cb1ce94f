//! The store as the engine uses it: each call has a deadline, and each failure is an event.

mod latest;
mod single_flight;
mod task;
mod writes;

pub(crate) use self::{
    latest::LatestGenerations, single_flight::SingleFlight, task::BackgroundTask, writes::Write,
};

pub(crate) use crate::timer::timer;

use std::{
    fmt,
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use self::writes::Writes;
#[cfg(any(feature = "oidc", feature = "vault"))]
use crate::store::{Value, ValueKey, ValueSnapshot};
use crate::{
    event::{EventKind, Events, caught},
    id::SessionId,
    store::{DynStore, Revoke, SessionKey, SessionRecord, Snapshot, StoreError, Subject},
    time::{Timestamp, millis},
};

/// The most calls of the store, or of a hook, that a renewal makes one after the other.
const MAX_CALLS: u32 = 8;

/// A store, and what one realm's requests to it share.
pub(crate) struct Backend {
    pub(crate) store: Arc<dyn DynStore>,
    pub(crate) has_feed: bool,
    pub(crate) events: Events,
    deadline: Duration,
    writes: Writes,
    /// A runtime without timers was reported.
    lacks_timers: AtomicBool,
    /// No access token is renewed early before this, by the monotonic clock in milliseconds: the store
    /// failed a moment ago.
    early_renewal_paused_until: AtomicU64,
    /// Generations whose confirmation was written, or is being written.
    pub(crate) confirmed: LatestGenerations,
    /// Generations that were handed out again after a grace period.
    pub(crate) handed_out: LatestGenerations,
    /// Sessions whose refresh token reuse was reported.
    pub(crate) reused: LatestGenerations,
    /// Sessions whose renewal without a proof of the device's key was reported, and in which minute.
    pub(crate) unproven: LatestGenerations,
}

impl Backend {
    pub(crate) fn new(store: Arc<dyn DynStore>, deadline: Duration, events: Events) -> Self {
        Self {
            has_feed: store.has_feed(),
            store,
            events,
            deadline,
            writes: Writes::default(),
            lacks_timers: AtomicBool::new(false),
            early_renewal_paused_until: AtomicU64::new(0),
            confirmed: LatestGenerations::new(),
            handed_out: LatestGenerations::new(),
            reused: LatestGenerations::new(),
            unproven: LatestGenerations::new(),
        }
    }

    pub(crate) async fn get(&self, key: &SessionKey) -> Result<Snapshot, StoreError> {
        self.ask("get", self.store.get(key)).await
    }

    pub(crate) async fn list(
        &self,
        subject: &Subject,
        now: Timestamp,
    ) -> Result<Vec<SessionRecord>, StoreError> {
        self.ask("list", self.store.list(subject, now)).await
    }

    pub(crate) async fn revoke(&self, what: &Revoke, now: Timestamp) -> Result<Vec<SessionId>, StoreError> {
        self.ask("revoke", self.store.revoke(what, now)).await
    }

    /// A value that belongs to no session.
    #[cfg(any(feature = "oidc", feature = "vault"))]
    pub(crate) async fn value(&self, key: &ValueKey, now: Timestamp) -> Result<ValueSnapshot, StoreError> {
        self.ask("value", self.store.value(key, now)).await
    }

    #[cfg(any(feature = "oidc", feature = "vault"))]
    pub(crate) async fn replace_value(
        &self,
        key: &ValueKey,
        version: u64,
        to: Option<&Value>,
        now: Timestamp,
    ) -> Result<ValueSnapshot, StoreError> {
        self.ask("replace_value", self.store.replace_value(key, version, to, now)).await
    }

    /// Waits for a store call until the deadline. Reports a failure.
    pub(crate) async fn ask<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.ask_within(self.deadline, operation, call).await
    }

    /// The same for a call that no request waits for, and whose caller must learn how far it came.
    pub(crate) async fn ask_at_length<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.ask_within(self.deadline.saturating_mul(MAX_CALLS), operation, call).await
    }

    async fn ask_within<T>(
        &self,
        deadline: Duration,
        operation: &'static str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let (why, error) = match self.within(deadline, unwinding(call)).await {
            Some(Ok(answer)) => return Ok(answer),
            Some(Err(error)) => (error.word(), error),
            None => ("late", StoreError::unavailable(too_late(deadline))),
        };
        self.events.failed(EventKind::StoreFailed { operation, why }, &error);
        Err(error)
    }

    pub(crate) fn too_late(&self) -> String {
        too_late(self.deadline)
    }

    /// Waits for something that a request needs, but no longer than for the store.
    pub(crate) fn in_time<F: Future>(&self, answer: F) -> impl Future<Output = Option<F::Output>> {
        self.within(self.deadline, answer)
    }

    /// The same for a run that other requests share, which makes several calls. Its runtime may have stopped.
    pub(crate) fn within_renewal_deadline<F: Future>(
        &self,
        run: F,
    ) -> impl Future<Output = Option<F::Output>> {
        self.within(self.deadline.saturating_mul(MAX_CALLS), run)
    }

    async fn within<F: Future>(&self, deadline: Duration, answer: F) -> Option<F::Output> {
        let mut answer = pin!(answer);
        // Some stores answer at once, and a timer costs more than they do.
        if let Poll::Ready(answer) = poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx))).await {
            return Some(answer);
        }
        // There is no deadline without a runtime, or without timers.
        let Some(deadline) = timer(deadline) else {
            self.report_no_timers();
            return Some(answer.await);
        };
        let mut deadline = pin!(deadline);
        poll_fn(|cx| match answer.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending => deadline.as_mut().poll(cx).map(|()| None),
        })
        .await
    }

    /// Reports a runtime without timers, once. No runtime at all may be a test or a command line tool.
    pub(crate) fn report_no_timers(&self) {
        let in_runtime = tokio::runtime::Handle::try_current().is_ok();
        if in_runtime && !self.lacks_timers.swap(true, Ordering::Relaxed) {
            self.events.note(EventKind::NoTimers);
        }
    }

    pub(crate) fn lacks_timers(&self) -> bool {
        self.lacks_timers.load(Ordering::Relaxed)
    }

    /// Runs `write` in the background, unless the same write is running for that session. Without a
    /// runtime it does not run.
    pub(crate) fn write_behind<F>(&self, session: SessionId, what: Write, write: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.writes.spawn((session, what), write);
    }

    /// As long as the guard is held, a shutdown waits. Each call has another number.
    #[cfg(feature = "vault")]
    pub(crate) fn hold(&self, number: u64) -> writes::Entry {
        self.writes.hold(number)
    }

    /// Waits until no background write runs.
    pub(crate) async fn finish_writes(&self) {
        self.writes.finish().await;
    }

    /// Stops early renewal for 1 to 5 s after a failure, so that a slow store does not slow down requests
    /// whose access token is still valid. `now` is a reading of the monotonic clock.
    pub(crate) fn pause_early_renewal(&self, session: &SessionId, now: Duration) {
        let pause = Duration::from_millis(1000 + u64::from(session.jitter()) * 4000 / 255);
        let until = millis(now.saturating_add(pause));
        self.early_renewal_paused_until.fetch_max(until, Ordering::Relaxed);
    }

    pub(crate) fn early_renewal_is_paused(&self, now: Duration) -> bool {
        millis(now) < self.early_renewal_paused_until.load(Ordering::Relaxed)
    }
}

fn too_late(deadline: Duration) -> String {
    format!("no answer within {deadline:?}")
}

/// A store call whose panic is an error, and ends nothing else.
pub(crate) async fn unwinding<T>(call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let mut call = pin!(call);
    let poll = |cx: &mut Context<'_>| {
        caught(|| call.as_mut().poll(cx))
            .unwrap_or_else(|panic| Poll::Ready(Err(StoreError::unavailable(panic))))
    };
    poll_fn(poll).await
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend").field("store", &self.store).finish_non_exhaustive()
    }
}
