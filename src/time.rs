//! Points in time, and the clocks that tell them.
//!
//! This file is the only place of the crate that asks the system for the time; everything else is
//! handed a [`Clock`] or a [`Timestamp`].

use std::{
    fmt,
    ops::{Add, Sub},
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// A point in time: milliseconds since the Unix epoch.
///
/// All arithmetic saturates, so no input and no jump of a clock can make it panic or wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The Unix epoch.
    pub const EPOCH: Self = Self(0);

    /// The point `millis` milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// The point `secs` seconds after the Unix epoch, saturating.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// Whole seconds since the Unix epoch, rounded up.
    #[must_use]
    pub const fn as_secs_ceil(self) -> u64 {
        self.0.div_ceil(1000)
    }

    /// How long after `earlier` this is; zero if it is not after it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }
}

/// A duration in whole milliseconds, saturating.
pub(crate) fn millis(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1000).saturating_add(u64::from(duration.subsec_millis()))
}

/// Tells the time.
///
/// The builder takes one, so that tests need not wait: see [`ManualClock`].
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The time now, by the wall clock. It may step, ahead or back.
    fn now(&self) -> Timestamp;

    /// The time since a fixed point in the past. It never goes back, and no step of the wall clock
    /// changes it. Intervals are measured by it. Default: the system's monotonic clock.
    fn monotonic(&self) -> Duration {
        SystemClock.monotonic()
    }
}

/// Both readings of a clock, taken one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) wall: Timestamp,
    pub(crate) monotonic: Duration,
}

impl Reading {
    pub(crate) fn of(clock: &dyn Clock) -> Self {
        Self { wall: clock.now(), monotonic: clock.monotonic() }
    }

    /// How long ago `earlier` was, whatever the wall clock did in between.
    pub(crate) fn since(&self, earlier: &Self) -> Duration {
        self.monotonic.saturating_sub(earlier.monotonic)
    }
}

/// The system's clock; the default. A time before 1970 reads as the epoch.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the system")]
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(millis(since_epoch))
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that asks the system")]
    fn monotonic(&self) -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        START.elapsed()
    }
}

/// A clock that stands still until it is moved, for tests.
///
/// ```
/// # use std::time::Duration;
/// # use tower_sliding_sessions::{Clock as _, ManualClock, Timestamp};
/// let clock = ManualClock::new(Timestamp::from_secs(1_800_000_000));
/// // Time passes.
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.monotonic(), Duration::from_secs(60));
/// // The wall clock is set back by an hour, and no time passes.
/// clock.set(clock.now() - Duration::from_secs(3600));
/// assert_eq!(clock.monotonic(), Duration::from_secs(60));
/// ```
#[derive(Debug, Default)]
pub struct ManualClock(Mutex<Hands>);

#[derive(Debug, Default)]
struct Hands {
    wall: Timestamp,
    monotonic: Duration,
}

impl ManualClock {
    /// A clock that shows `now`.
    #[must_use]
    pub const fn new(now: Timestamp) -> Self {
        Self(Mutex::new(Hands { wall: now, monotonic: Duration::ZERO }))
    }

    /// Lets `duration` pass, saturating: moves the wall clock and the
    /// [monotonic](Clock::monotonic) one.
    pub fn advance(&self, duration: Duration) {
        let mut hands = self.hands();
        hands.wall = hands.wall + duration;
        hands.monotonic = hands.monotonic.saturating_add(duration);
    }

    /// Steps the wall clock, ahead or back. No time passes: the [monotonic](Clock::monotonic) clock
    /// does not move.
    pub fn set(&self, now: Timestamp) {
        self.hands().wall = now;
    }

    fn hands(&self) -> MutexGuard<'_, Hands> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.hands().wall
    }

    fn monotonic(&self) -> Duration {
        self.hands().monotonic
    }
}
