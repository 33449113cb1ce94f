//! Whether this instance has heard of the feed lately: every request can judge it.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    store::FeedPosition,
    time::{Clock as _, SystemClock, millis},
};

/// A follower that has not so much as asked the store for this long, beyond the bound, is stuck.
const STUCK: Duration = Duration::from_secs(5);

/// How far behind the feed this instance may be. All times are monotonic.
#[derive(Debug)]
pub(super) struct FeedHealth {
    /// The follower that runs has read the feed to its end at least once.
    current: AtomicBool,
    /// When the feed was last read to its end, in milliseconds.
    heard_at: AtomicU64,
    /// When the store was last asked, in milliseconds of the system's clock.
    asked_at: AtomicU64,
    /// The lag of this episode was reported.
    reported: AtomicBool,
    /// The feed failed, or had a gap: the store may have lost revocations.
    cut: AtomicBool,
    position: Mutex<Option<FeedPosition>>,
    bound: Duration,
    ask_when_lagging: bool,
}

impl FeedHealth {
    /// The lag counts from `now` on.
    pub(super) fn new(bound: Duration, ask_when_lagging: bool, now: Duration) -> Self {
        Self {
            current: AtomicBool::new(false),
            heard_at: AtomicU64::new(millis(now)),
            asked_at: AtomicU64::new(millis(SystemClock.monotonic())),
            reported: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            position: Mutex::default(),
            bound,
            ask_when_lagging,
        }
    }

    /// Whether the denylist holds all that was revoked, as far as the feed's bound allows.
    pub(super) fn is_current(&self, now: Duration) -> bool {
        self.current.load(Ordering::Acquire) && !(self.ask_when_lagging && self.lags(now))
    }

    pub(super) fn lags(&self, now: Duration) -> bool {
        millis(now).saturating_sub(self.heard_at.load(Ordering::Relaxed)) > millis(self.bound)
    }

    /// The follower that runs makes no progress, by the system's clock.
    pub(super) fn is_stuck(&self) -> bool {
        let asked_at = Duration::from_millis(self.asked_at.load(Ordering::Relaxed));
        SystemClock.monotonic().saturating_sub(asked_at) > self.bound.saturating_add(STUCK)
    }

    /// A first follower starts at `now`.
    pub(super) fn starts(&self, now: Duration) {
        if self.position.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            self.heard_at.store(millis(now), Ordering::Relaxed);
        }
        self.asks();
    }

    /// The follower asks the store.
    pub(super) fn asks(&self) {
        self.asked_at.store(millis(SystemClock.monotonic()), Ordering::Relaxed);
    }

    /// The feed was read to its end at `now`. Answers with whether a lag was reported before.
    pub(super) fn heard(&self, now: Duration) -> bool {
        self.heard_at.store(millis(now), Ordering::Relaxed);
        self.current.store(true, Ordering::Release);
        self.reported.swap(false, Ordering::Relaxed)
    }

    /// No follower runs.
    pub(super) fn stopped(&self) {
        self.current.store(false, Ordering::Release);
    }

    /// Whether a lag is still to be reported: once per episode.
    pub(super) fn is_news(&self, now: Duration) -> bool {
        self.lags(now) && !self.reported.swap(true, Ordering::Relaxed)
    }

    /// The store may have lost revocations.
    pub(super) fn was_cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
    }

    /// Whether the store may have lost revocations since this was last asked.
    pub(super) fn take_cut(&self) -> bool {
        self.cut.swap(false, Ordering::Relaxed)
    }

    /// Where to read on, also for a follower that takes the place of another.
    pub(super) fn position(&self) -> Option<FeedPosition> {
        self.position.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_position(&self, position: FeedPosition) {
        *self.position.lock().unwrap_or_else(PoisonError::into_inner) = Some(position);
    }
}
