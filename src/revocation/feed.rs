//! The progress of reading the store's feed. Every request checks whether this instance has read the feed recently.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    store::StoreError,
    time::{Clock as _, SystemClock, millis},
};

/// A follower is stuck if it has not asked the store for longer than the lag bound plus this time.
const STUCK: Duration = Duration::from_secs(5);
/// The default pause. Without a pause, each instance would read each revocation separately: with a thousand revocations
/// per second and a thousand instances, the store would get a million reads per second.
pub(crate) const FEED_PAUSE: Duration = Duration::from_millis(50);

/// The settings for reading the feed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FeedConfig {
    /// The feed lags if this instance has not read it to its end for longer than this time.
    pub(crate) lag_bound: Duration,
    /// How long to wait after a batch with events before the feed is read again. A store in this process is read again
    /// without a pause.
    pub(crate) pause: Duration,
    /// Whether each request asks the store while the feed lags.
    pub(crate) ask_store_when_lagging: bool,
    pub(crate) access: StoreAccess,
}

/// The access of this instance to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreAccess {
    Full,
    /// This instance follows the feed and reads records, but does not write lost revocations again: the issuer's
    /// instances do.
    #[cfg_attr(not(feature = "verify"), expect(dead_code, reason = "for layers that only verify"))]
    ReadOnly,
    /// There is no store. Access tokens are accepted until they expire.
    None,
}

/// The progress of this instance in reading the feed. All times are of a monotonic clock.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) config: FeedConfig,
    /// Whether the current follower has read the feed to its end at least once.
    read_to_end: AtomicBool,
    /// When the feed was last read to its end, in milliseconds of the realm's monotonic clock.
    read_at: AtomicU64,
    /// When the follower last asked the store, in milliseconds of the system's monotonic clock.
    asked_at: AtomicU64,
    /// Whether the current lag was reported.
    reported: AtomicBool,
    /// Whether a read failed or had a gap. Then the store may have lost revocations.
    interrupted: AtomicBool,
    /// The first failure since the feed was last read to its end.
    failure: Mutex<Option<Arc<StoreError>>>,
    position: Mutex<Option<String>>,
}

impl Feed {
    /// Creates the state before the first read. The lag counts from `now` on.
    pub(super) fn new(config: FeedConfig, now: Duration) -> Self {
        Self {
            config,
            read_to_end: AtomicBool::new(false),
            read_at: AtomicU64::new(millis(now)),
            asked_at: AtomicU64::new(millis(SystemClock.monotonic())),
            reported: AtomicBool::new(false),
            interrupted: AtomicBool::new(false),
            failure: Mutex::default(),
            position: Mutex::default(),
        }
    }

    /// Whether the current follower has read the feed to its end at least once.
    pub(super) fn was_read_to_end(&self) -> bool {
        self.read_to_end.load(Ordering::Acquire)
    }

    /// How long to wait after a batch with events. `last` is the pause before the batch. If each read returns events,
    /// the pause doubles, up to eight times the configured pause. It is at most half of the lag bound, because a pause
    /// of the whole lag bound would count as a lag.
    pub(super) fn pause_after(&self, last: Duration) -> Duration {
        let first = self.config.pause;
        last.saturating_mul(2).clamp(first, first.saturating_mul(8)).min(self.config.lag_bound / 2)
    }

    /// Whether the feed was last read to its end longer ago than the lag bound.
    pub(super) fn lags(&self, now: Duration) -> bool {
        millis(now).saturating_sub(self.read_at.load(Ordering::Relaxed)) > millis(self.config.lag_bound)
    }

    /// Whether the follower makes no progress, by the system's monotonic clock.
    pub(super) fn is_stuck(&self) -> bool {
        let asked_at = Duration::from_millis(self.asked_at.load(Ordering::Relaxed));
        SystemClock.monotonic().saturating_sub(asked_at) > self.config.lag_bound.saturating_add(STUCK)
    }

    /// Notes that a follower starts at `now`. If no follower has read the feed before, the lag counts from `now` on.
    pub(super) fn starts(&self, now: Duration) {
        if self.position.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            self.read_at.store(millis(now), Ordering::Relaxed);
        }
        self.asks();
    }

    /// Notes that the follower asks the store now.
    pub(super) fn asks(&self) {
        self.asked_at.store(millis(SystemClock.monotonic()), Ordering::Relaxed);
    }

    /// Notes that the feed was read to its end at `now`. Returns whether a lag was reported before.
    pub(super) fn was_read(&self, now: Duration) -> bool {
        self.read_at.store(millis(now), Ordering::Relaxed);
        self.read_to_end.store(true, Ordering::Release);
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.reported.swap(false, Ordering::Relaxed)
    }

    /// Notes that no follower runs.
    pub(super) fn stopped(&self) {
        self.read_to_end.store(false, Ordering::Release);
    }

    /// Whether a lag must be reported now. A lag is reported once, until the feed was read to its end again.
    pub(super) fn is_news(&self, now: Duration) -> bool {
        self.lags(now) && !self.reported.swap(true, Ordering::Relaxed)
    }

    /// Notes that a read of the feed failed.
    pub(super) fn failed(&self, error: StoreError) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert_with(|| Arc::new(error));
    }

    /// The first failure since the feed was last read to its end, if there was a failure.
    pub(super) fn failure(&self) -> Option<Arc<StoreError>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes that the store may have lost revocations.
    pub(super) fn was_interrupted(&self) {
        self.interrupted.store(true, Ordering::Relaxed);
    }

    /// Whether the store may have lost revocations since the last call of this function.
    pub(super) fn take_interruption(&self) -> bool {
        self.interrupted.swap(false, Ordering::Relaxed)
    }

    /// The position from which to read. A follower that replaces another follower also reads from this position.
    pub(super) fn position(&self) -> Option<String> {
        self.position.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_position(&self, position: String) {
        *self.position.lock().unwrap_or_else(PoisonError::into_inner) = Some(position);
    }
}
