//! Whether this instance has read the store's feed lately. Every request checks it.

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

/// A follower that has not asked the store for this long, beyond the bound, is stuck.
const STUCK: Duration = Duration::from_secs(5);
/// The default pause. Without one, each instance would read each revocation separately: a thousand a second by a
/// thousand instances would be a million reads.
pub(crate) const FEED_PAUSE: Duration = Duration::from_millis(50);

/// How a lagging feed is handled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FeedConfig {
    /// How long the feed may be silent before this instance reports that it lags.
    pub(crate) lag_bound: Duration,
    /// How long to wait after events before a store outside of this process is asked again.
    pub(crate) pause: Duration,
    /// Whether each request asks the store while the feed lags.
    pub(crate) ask_store_when_lagging: bool,
    pub(crate) access: StoreAccess,
}

/// What this instance may do with the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreAccess {
    Full,
    /// It follows the feed and reads records. Instances of the issuer write lost revocations again.
    #[cfg_attr(not(feature = "verify"), expect(dead_code, reason = "for layers that only verify"))]
    ReadOnly,
    /// There is no store. Tokens are accepted until they expire.
    None,
}

/// How far this instance has read the feed. All times are monotonic.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) config: FeedConfig,
    /// The follower that runs has read the feed to its end at least once.
    read_to_end: AtomicBool,
    /// When the feed was last read to its end, in milliseconds.
    read_at: AtomicU64,
    /// When the store was last asked, in milliseconds of the system's clock.
    asked_at: AtomicU64,
    /// The current lag was reported.
    reported: AtomicBool,
    /// The feed failed, or had a gap: the store may have lost revocations.
    interrupted: AtomicBool,
    /// The first failure since the feed was last read to its end.
    failure: Mutex<Option<Arc<StoreError>>>,
    position: Mutex<Option<String>>,
}

impl Feed {
    /// The lag counts from `now` on.
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

    /// Whether the follower that runs has read the feed to its end at least once.
    pub(super) fn was_read_to_end(&self) -> bool {
        self.read_to_end.load(Ordering::Acquire)
    }

    /// How long to wait after events. `last` is the pause before they were read: if each read finds some, the pause
    /// doubles, up to eight times the first. A pause of the lag bound would be taken for a lag.
    pub(super) fn pause_after(&self, last: Duration) -> Duration {
        let first = self.config.pause;
        last.saturating_mul(2).clamp(first, first.saturating_mul(8)).min(self.config.lag_bound / 2)
    }

    /// Whether the feed was last read to its end longer ago than the lag bound.
    pub(super) fn lags(&self, now: Duration) -> bool {
        millis(now).saturating_sub(self.read_at.load(Ordering::Relaxed)) > millis(self.config.lag_bound)
    }

    /// The follower that runs makes no progress, by the system's clock.
    pub(super) fn is_stuck(&self) -> bool {
        let asked_at = Duration::from_millis(self.asked_at.load(Ordering::Relaxed));
        SystemClock.monotonic().saturating_sub(asked_at) > self.config.lag_bound.saturating_add(STUCK)
    }

    /// A first follower starts at `now`.
    pub(super) fn starts(&self, now: Duration) {
        if self.position.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            self.read_at.store(millis(now), Ordering::Relaxed);
        }
        self.asks();
    }

    /// The follower asks the store.
    pub(super) fn asks(&self) {
        self.asked_at.store(millis(SystemClock.monotonic()), Ordering::Relaxed);
    }

    /// The feed was read to its end at `now`. Returns whether a lag was reported before.
    pub(super) fn was_read(&self, now: Duration) -> bool {
        self.read_at.store(millis(now), Ordering::Relaxed);
        self.read_to_end.store(true, Ordering::Release);
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.reported.swap(false, Ordering::Relaxed)
    }

    /// No follower runs.
    pub(super) fn stopped(&self) {
        self.read_to_end.store(false, Ordering::Release);
    }

    /// Whether a lag is to be reported: once, until the feed was read again.
    pub(super) fn is_news(&self, now: Duration) -> bool {
        self.lags(now) && !self.reported.swap(true, Ordering::Relaxed)
    }

    /// A read failed.
    pub(super) fn failed(&self, error: StoreError) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert_with(|| Arc::new(error));
    }

    /// Why the feed was not read to its end, if a read has failed since it was.
    pub(super) fn failure(&self) -> Option<Arc<StoreError>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The store may have lost revocations.
    pub(super) fn was_interrupted(&self) {
        self.interrupted.store(true, Ordering::Relaxed);
    }

    /// Whether the store may have lost revocations since this was last asked.
    pub(super) fn take_interruption(&self) -> bool {
        self.interrupted.swap(false, Ordering::Relaxed)
    }

    /// Where to read on, also for a follower that takes the place of another.
    pub(super) fn position(&self) -> Option<String> {
        self.position.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_position(&self, position: String) {
        *self.position.lock().unwrap_or_else(PoisonError::into_inner) = Some(position);
    }
}
