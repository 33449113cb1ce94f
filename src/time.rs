//! Points in time, and clocks.
//!
//! Only this file of the crate asks the system for the time. All other code gets a [`Clock`] or a [`Timestamp`].

use std::{
    fmt,
    ops::{Add, Sub},
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// A point in time: milliseconds since the Unix epoch.
///
/// All arithmetic saturates, so no input and no step of a clock can make it panic or wrap around.
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

    /// The time from `earlier` to `self`. Zero if `self` is not after `earlier`.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Times before 1970 become the Unix epoch.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        Self(millis(time.duration_since(UNIX_EPOCH).unwrap_or_default()))
    }
}

/// Times after the year 9999 become the last millisecond of the year 9999.
impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        UNIX_EPOCH + Duration::from_millis(time.0.min(253_402_300_799_999))
    }
}

/// RFC 3339 in UTC, with milliseconds: `2027-01-15T08:00:00.000Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, millis) = (self.0 / 86_400_000, self.0 % 86_400_000);
        let (year, month, day) = date(days);
        let (secs, millis) = (millis / 1000, millis % 1000);
        let (hour, minute, second) = (secs / 3600, secs / 60 % 60, secs % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

/// The Gregorian date of the day that comes `days` days after 1970-01-01. The calculation counts years from March, in
/// cycles of 400 years.
const fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (cycle, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (cycle * 400 + year + next, month, day)
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
/// The builder accepts a clock, so that tests do not have to wait: see [`ManualClock`].
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The time of the wall clock. The wall clock may step, ahead or back.
    fn now(&self) -> Timestamp;

    /// The time since a fixed point in the past, by a monotonic clock. It never goes back, and no step of the wall
    /// clock changes it. It is used to measure intervals. Default: the system's monotonic clock.
    fn monotonic(&self) -> Duration {
        SystemClock.monotonic()
    }

    /// The times of both clocks. Each request reads them. Default: calls [`now`](Self::now) and then
    /// [`monotonic`](Self::monotonic).
    fn both(&self) -> (Timestamp, Duration) {
        (self.now(), self.monotonic())
    }
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }

    fn monotonic(&self) -> Duration {
        (**self).monotonic()
    }

    fn both(&self) -> (Timestamp, Duration) {
        (**self).both()
    }
}

/// A reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) wall: Timestamp,
    pub(crate) monotonic: Duration,
}

impl Reading {
    pub(crate) fn of(clock: &dyn Clock) -> Self {
        let (wall, monotonic) = clock.both();
        Self { wall, monotonic }
    }

    /// The time since `earlier`, by the monotonic clock. Steps of the wall clock have no effect.
    pub(crate) fn since(&self, earlier: &Self) -> Duration {
        self.monotonic.saturating_sub(earlier.monotonic)
    }
}

/// The system's clock. This is the default. Times before 1970 become the Unix epoch.
///
/// [`both`](Clock::both) reads the monotonic clock at each call, but the wall clock at most four times per second.
/// Between two readings of the wall clock, it adds the elapsed monotonic time to the last one. So it notices a step of
/// the wall clock up to 250 ms later.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the system")]
    fn now(&self) -> Timestamp {
        SystemTime::now().into()
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that asks the system")]
    fn monotonic(&self) -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        START.elapsed()
    }

    fn both(&self) -> (Timestamp, Duration) {
        /// The time of the wall clock at the zero point of the monotonic clock, in milliseconds.
        static WALL_AT_START: AtomicU64 = AtomicU64::new(0);
        /// When `WALL_AT_START` was measured, by the monotonic clock in milliseconds, plus one. Zero for never.
        static MEASURED_AT: AtomicU64 = AtomicU64::new(0);

        let monotonic = self.monotonic();
        let (passed, measured_at) = (millis(monotonic), MEASURED_AT.load(Ordering::Acquire));
        if measured_at == 0 || passed.saturating_sub(measured_at) >= WALL_CLOCK_INTERVAL {
            let wall = self.now();
            WALL_AT_START.store(wall.0.wrapping_sub(passed), Ordering::Relaxed);
            MEASURED_AT.store(passed.saturating_add(1), Ordering::Release);
            return (wall, monotonic);
        }
        (Timestamp(WALL_AT_START.load(Ordering::Relaxed).wrapping_add(passed)), monotonic)
    }
}

/// How long [`SystemClock::both`] uses one reading of the wall clock, in milliseconds.
const WALL_CLOCK_INTERVAL: u64 = 250;

/// A clock for tests. It stands still until a test moves it.
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

    /// Lets `duration` pass: moves the wall clock and the [monotonic](Clock::monotonic) clock ahead. Saturates.
    pub fn advance(&self, duration: Duration) {
        let mut hands = self.hands();
        hands.wall = hands.wall + duration;
        hands.monotonic = hands.monotonic.saturating_add(duration);
    }

    /// Steps the wall clock, ahead or back. No time passes: the [monotonic](Clock::monotonic) clock does not move.
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
