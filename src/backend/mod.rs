//! The store as the engine uses it. Each call has a deadline. Each failure is an event. Parallel calls for the same key
//! can share one run ([`SingleFlight`]).

mod call;
mod latest;
mod single_flight;
mod task;
mod writes;

pub(crate) use self::{
    call::CatchPanic, latest::LatestGenerations, single_flight::SingleFlight, task::BackgroundTask,
    writes::Write,
};

pub(crate) use crate::timer::timer;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use self::{
    call::{Reports, StoreCall, Within, no_answer_within},
    writes::Writes,
};
#[cfg(any(feature = "oidc", feature = "vault"))]
use crate::store::{Value, ValueKey, ValueSnapshot};
use crate::{
    event::Events,
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
    reports: Reports,
    deadline: Duration,
    writes: Writes,
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
            reports: Reports::new(events),
            deadline,
            writes: Writes::default(),
            early_renewal_paused_until: AtomicU64::new(0),
            confirmed: LatestGenerations::new(),
            handed_out: LatestGenerations::new(),
            reused: LatestGenerations::new(),
            unproven: LatestGenerations::new(),
        }
    }

    pub(crate) fn events(&self) -> &Events {
        &self.reports.events
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
        StoreCall::new(&self.reports, self.deadline, operation, call)
    }

    /// The same for a call that no request waits for, and whose caller must learn how far it came.
    pub(crate) fn ask_at_length<F>(&self, operation: &'static str, call: F) -> StoreCall<'_, F> {
        StoreCall::new(&self.reports, self.deadline.saturating_mul(MAX_CALLS), operation, call)
    }

    pub(crate) fn too_late(&self) -> String {
        no_answer_within(self.deadline)
    }

    /// Waits for something that a request needs, but no longer than for the store.
    pub(crate) fn in_time<F>(&self, answer: F) -> Within<'_, F> {
        Within::new(&self.reports, self.deadline, answer)
    }

    /// The same for a run that other requests share, which makes several calls. Its runtime may have stopped.
    pub(crate) fn within_renewal_deadline<F>(&self, run: F) -> Within<'_, F> {
        Within::new(&self.reports, self.deadline.saturating_mul(MAX_CALLS), run)
    }

    /// Reports a runtime without timers, once.
    pub(crate) fn report_no_timers(&self) {
        self.reports.note_no_timers();
    }

    pub(crate) fn lacks_timers(&self) -> bool {
        self.reports.lacks_timers()
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

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend").field("store", &self.store).finish_non_exhaustive()
    }
}
