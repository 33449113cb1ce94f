//! Waiting for a store call, or for something else that a request needs: the deadline, and what happens at a panic.
//!
//! These futures are written by hand, because an `async fn` stores each future that it is given twice: as an argument
//! and as what it awaits. With four such functions around a store call, the future of one write had 8,000 bytes.

use std::{
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::{runtime::Handle, time::Sleep};

use crate::{
    event::{EventKind, Events, caught},
    store::StoreError,
    timer::timer,
};

/// What the calls of one realm report.
pub(super) struct Reports {
    pub(super) events: Events,
    /// A runtime without timers was reported.
    lacks_timers: AtomicBool,
}

impl Reports {
    pub(super) fn new(events: Events) -> Self {
        Self { events, lacks_timers: AtomicBool::new(false) }
    }

    /// Reports a runtime without timers, once. No runtime at all may be a test or a command line tool.
    pub(super) fn note_no_timers(&self) {
        let in_runtime = Handle::try_current().is_ok();
        if in_runtime && !self.lacks_timers.swap(true, Ordering::Relaxed) {
            self.events.note(EventKind::NoTimers);
        }
    }

    pub(super) fn lacks_timers(&self) -> bool {
        self.lacks_timers.load(Ordering::Relaxed)
    }
}

pin_project! {
    /// Waits for `answer` until a deadline. `None` at the deadline.
    pub(crate) struct Within<'a, F> {
        #[pin]
        answer: F,
        deadline: Duration,
        timer: Timer,
        reports: &'a Reports,
    }
}

enum Timer {
    NotStarted,
    Running(Pin<Box<Sleep>>),
    /// There is no runtime, or it has no timers. So there is no deadline.
    Missing,
}

impl<'a, F> Within<'a, F> {
    pub(super) fn new(reports: &'a Reports, deadline: Duration, answer: F) -> Self {
        Self { answer, deadline, timer: Timer::NotStarted, reports }
    }
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
                    this.reports.note_no_timers();
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
    /// A store call whose panic is an error, and ends nothing else.
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

impl<'a, F> StoreCall<'a, F> {
    pub(super) fn new(reports: &'a Reports, deadline: Duration, operation: &'static str, call: F) -> Self {
        Self { answer: Within::new(reports, deadline, CatchPanic::new(call)), operation }
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
        this.answer.reports.events.failed(event, &error);
        Poll::Ready(Err(error))
    }
}

pub(super) fn no_answer_within(deadline: Duration) -> String {
    format!("no answer within {deadline:?}")
}
