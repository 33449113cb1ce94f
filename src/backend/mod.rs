//! The store as the engine uses it. Each call has a deadline. Each failure is an event. Parallel calls for the same key
//! can share one run ([`SingleFlight`]).

mod highest;
mod single_flight;
mod task;
mod writes;

pub(crate) use self::{
    highest::HighestNumbers, single_flight::SingleFlight, task::BackgroundTask, writes::Write,
};

pub(crate) use crate::timer::timer;

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::{runtime::Handle, time::Sleep};

use self::writes::Writes;
#[cfg(any(feature = "oidc", feature = "vault"))]
use crate::store::{Value, ValueKey, ValueSnapshot};
use crate::{
    event::{EventKind, Events, caught},
    id::SessionId,
    store::{DynStore, Revoke, SessionKey, SessionRecord, SharedSnapshot, StoreError, Subject},
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
    /// A runtime without timers was reported.
    lacks_timers: AtomicBool,
    writes: Writes,
    /// After a failure of the store, no access token is renewed early until then. By the monotonic clock, in
    /// milliseconds.
    early_renewal_paused_until: AtomicU64,
    /// Generations whose confirmation was written, or is being written.
    pub(crate) confirmed: HighestNumbers,
    /// Generations that were handed out again after a grace period.
    pub(crate) handed_out: HighestNumbers,
    /// Sessions whose refresh token reuse was reported.
    pub(crate) reused: HighestNumbers,
    /// Sessions whose renewal without a proof of the device's key was reported, and in which minute.
    pub(crate) unproven: HighestNumbers,
}

impl Backend {
    pub(crate) fn new(store: Arc<dyn DynStore>, deadline: Duration, events: Events) -> Self {
        Self {
            has_feed: store.has_feed(),
            store,
            events,
            deadline,
            lacks_timers: AtomicBool::new(false),
            writes: Writes::default(),
            early_renewal_paused_until: AtomicU64::new(0),
            confirmed: HighestNumbers::new(),
            handed_out: HighestNumbers::new(),
            reused: HighestNumbers::new(),
            unproven: HighestNumbers::new(),
        }
    }

    pub(crate) async fn get(&self, key: &SessionKey) -> Result<SharedSnapshot, StoreError> {
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
    pub(crate) fn ask<F>(&self, operation: &'static str, call: F) -> StoreCall<'_, F> {
        StoreCall { answer: self.within(self.deadline, CatchPanic::new(call)), operation }
    }

    /// As [`ask`](Self::ask), with the deadline of [`MAX_CALLS`] calls: for a call whose caller must learn whether it
    /// succeeded.
    pub(crate) fn ask_at_length<F>(&self, operation: &'static str, call: F) -> StoreCall<'_, F> {
        let deadline = self.deadline.saturating_mul(MAX_CALLS);
        StoreCall { answer: self.within(deadline, CatchPanic::new(call)), operation }
    }

    pub(crate) fn too_late(&self) -> String {
        no_answer_within(self.deadline)
    }

    /// Waits for something that a request needs, but no longer than for the store.
    pub(crate) fn in_time<F>(&self, answer: F) -> Within<'_, F> {
        self.within(self.deadline, answer)
    }

    /// As [`in_time`](Self::in_time), with the deadline of [`MAX_CALLS`] calls: for a run that requests share. Its
    /// runtime may have stopped.
    pub(crate) fn within_renewal_deadline<F>(&self, run: F) -> Within<'_, F> {
        self.within(self.deadline.saturating_mul(MAX_CALLS), run)
    }

    fn within<F>(&self, deadline: Duration, answer: F) -> Within<'_, F> {
        Within { answer, deadline, timer: Timer::NotStarted, backend: self }
    }

    /// Reports a runtime without timers, once. A missing runtime is not reported: the caller may be a test or a command
    /// line tool.
    pub(crate) fn report_no_timers(&self) {
        let in_runtime = Handle::try_current().is_ok();
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

    /// A shutdown waits as long as the returned guard exists: for the answer of a provider, which must be stored.
    /// `number` identifies the guard, so pass a different number in each call.
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

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend").field("store", &self.store).finish_non_exhaustive()
    }
}

// These futures are written by hand, because an `async fn` stores each future that it is given twice: as an argument
// and as what it awaits. With four such functions around a store call, the future of one write had 8,000 bytes.

pin_project! {
    /// Waits for `answer` until a deadline. `None` at the deadline.
    pub(crate) struct Within<'a, F> {
        #[pin]
        answer: F,
        deadline: Duration,
        timer: Timer,
        backend: &'a Backend,
    }
}

enum Timer {
    NotStarted,
    Running(Pin<Box<Sleep>>),
    /// There is no runtime, or it has no timers. So there is no deadline.
    Missing,
}

impl<F: Future> Future for Within<'_, F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(answer) = this.answer.poll(cx) {
            return Poll::Ready(Some(answer));
        }
        // Not earlier: some stores answer at once, and a timer costs more than they do.
        if let Timer::NotStarted = this.timer {
            *this.timer = match timer(*this.deadline) {
                Some(sleep) => Timer::Running(Box::pin(sleep)),
                None => {
                    this.backend.report_no_timers();
                    Timer::Missing
                }
            };
        }
        match this.timer {
            Timer::Running(sleep) => sleep.as_mut().poll(cx).map(|()| None),
            Timer::NotStarted | Timer::Missing => Poll::Pending,
        }
    }
}

pin_project! {
    /// Turns a panic in a store call into an error.
    pub(crate) struct CatchPanic<F> {
        #[pin]
        call: F,
    }
}

impl<F> CatchPanic<F> {
    pub(crate) fn new(call: F) -> Self {
        Self { call }
    }
}

impl<T, F: Future<Output = Result<T, StoreError>>> Future for CatchPanic<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        caught(|| self.project().call.poll(cx))
            .unwrap_or_else(|panic| Poll::Ready(Err(StoreError::unavailable(panic))))
    }
}

pin_project! {
    /// A store call with a deadline. Reports a failure.
    pub(crate) struct StoreCall<'a, F> {
        #[pin]
        answer: Within<'a, CatchPanic<F>>,
        operation: &'static str,
    }
}

impl<T, F: Future<Output = Result<T, StoreError>>> Future for StoreCall<'_, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let (why, error) = match ready!(this.answer.as_mut().poll(cx)) {
            Some(Ok(answer)) => return Poll::Ready(Ok(answer)),
            Some(Err(error)) => (error.word(), error),
            None => ("late", StoreError::unavailable(no_answer_within(this.answer.deadline))),
        };
        let event = EventKind::StoreFailed { operation: this.operation, why };
        this.answer.backend.events.failed(event, &error);
        Poll::Ready(Err(error))
    }
}

fn no_answer_within(deadline: Duration) -> String {
    format!("no answer within {deadline:?}")
}
