//! Detects steps of the wall clock, ahead or back. Access tokens are judged by the wall clock.
//!
//! The denylist keeps a revocation for as long as an access token can be valid, by the monotonic clock. If the wall
//! clock is set back, expired access tokens become valid again, after the denylist has forgotten the revocations of
//! their sessions. So after a step, access tokens of such times are *doubtful*: the store is asked once about each of
//! them. The tokens of another instance whose clock is ahead are also doubtful.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    protocol::LEEWAY,
    time::{Clock, Reading, Timestamp, millis},
};

/// An access token from the future makes other tokens doubtful, too: those that were issued up to this long before it.
/// This bound limits the cost of one request with a token from a clock that was a year ahead.
const FAR: Duration = Duration::from_secs(25 * 60 * 60);
/// The maximum number of time ranges that are kept.
const MOST_RANGES: usize = 16;

/// A step of the wall clock by more than the leeway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Ahead(Duration),
    Back(Duration),
}

#[derive(Debug)]
pub(super) struct WallClock {
    /// The wall clock minus the monotonic clock, after the last step. In milliseconds.
    offset: AtomicI64,
    /// An access token that was issued later than this is not doubtful. In milliseconds.
    doubtful_until: AtomicU64,
    history: Mutex<History>,
}

#[derive(Debug)]
struct History {
    /// The time of the wall clock after the last step.
    since: Timestamp,
    /// The times that the wall clock showed before the last step, since the start of this instance.
    shown: Ranges,
    /// Access tokens that were issued at these times are doubtful.
    doubtful: Ranges,
}

impl WallClock {
    pub(super) fn new(now: Reading) -> Self {
        let history = History { since: now.wall, shown: Ranges::default(), doubtful: Ranges::default() };
        Self {
            offset: AtomicI64::new(offset(now)),
            doubtful_until: AtomicU64::new(0),
            history: Mutex::new(history),
        }
    }

    /// Checks for a step of the wall clock since the last call. Returns the step, if there was one.
    pub(super) fn look(&self, now: Reading, clock: &dyn Clock) -> Option<Step> {
        let moved = offset(now).abs_diff(self.offset.load(Ordering::Relaxed));
        if moved <= millis(LEEWAY) { None } else { self.stepped(clock) }
    }

    #[cold]
    fn stepped(&self, clock: &dyn Clock) -> Option<Step> {
        let mut history = self.lock();
        // Read the clocks again: the thread may have been suspended between the two readings.
        let now = steady(clock)?;
        let before = self.offset.load(Ordering::Relaxed);
        let by = Duration::from_millis(offset(now).abs_diff(before));
        if by <= LEEWAY {
            return None;
        }
        let step = if offset(now) > before { Step::Ahead(by) } else { Step::Back(by) };
        let showed = match step {
            Step::Ahead(by) => now.wall - by,
            Step::Back(by) => now.wall + by,
        };
        let History { since, shown, doubtful } = &mut *history;
        shown.add(*since, showed + LEEWAY);
        *since = now.wall;
        // While its clock was wrong, this instance may have ignored events as too old.
        doubtful.add(Timestamp::EPOCH, showed.min(now.wall) + LEEWAY);
        // The clock has shown these times, and will show them again.
        for (from, to) in shown.0.clone() {
            if to > now.wall {
                doubtful.add(from.max(now.wall), to);
            }
        }
        self.publish(&history);
        self.offset.store(offset(now), Ordering::Relaxed);
        Some(step)
    }

    /// Notes that the clock of another instance is or was ahead: that instance issued an access token at `time`. It may
    /// have issued other tokens before `time`, and until `access_ttl` after `time`.
    pub(super) fn is_ahead_elsewhere(&self, time: Timestamp, access_ttl: Duration, now: Timestamp) {
        if time <= now + LEEWAY {
            return;
        }
        let mut history = self.lock();
        history.doubtful.add((time - FAR).max(now), time + access_ttl);
        self.publish(&history);
    }

    /// Whether the denylist may have forgotten the revocation of an access token that was issued at `issued`.
    pub(super) fn is_doubtful(&self, issued: Timestamp) -> bool {
        issued.as_millis() <= self.doubtful_until.load(Ordering::Acquire)
            && self.lock().doubtful.contains(issued)
    }

    fn publish(&self, history: &History) {
        let until = history.doubtful.0.last().map_or(0, |(_, to)| to.as_millis());
        self.doubtful_until.store(until, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn offset(now: Reading) -> i64 {
    let (wall, monotonic) = (i64::try_from(now.wall.as_millis()), i64::try_from(millis(now.monotonic)));
    wall.unwrap_or(i64::MAX).saturating_sub(monotonic.unwrap_or(i64::MAX))
}

/// Reads both clocks within a second of each other. Returns `None` if eight tries fail.
fn steady(clock: &dyn Clock) -> Option<Reading> {
    (0..8).find_map(|_| {
        let before = clock.monotonic();
        let now = Reading::of(clock);
        (now.monotonic.saturating_sub(before) < Duration::from_secs(1)).then_some(now)
    })
}

/// Time ranges in ascending order that do not overlap. Both ends belong to a range.
#[derive(Clone, Debug, Default)]
struct Ranges(Vec<(Timestamp, Timestamp)>);

impl Ranges {
    fn add(&mut self, from: Timestamp, to: Timestamp) {
        let (mut from, mut to) = (from, to.max(from));
        self.0.retain(|(other_from, other_to)| {
            let apart = *other_to < from || to < *other_from;
            if !apart {
                (from, to) = (from.min(*other_from), to.max(*other_to));
            }
            apart
        });
        let index = self.0.partition_point(|(other, _)| *other < from);
        self.0.insert(index, (from, to));
        if self.0.len() > MOST_RANGES {
            self.join_the_nearest();
        }
    }

    fn join_the_nearest(&mut self) {
        let gaps = self.0.iter().zip(self.0.iter().skip(1));
        let nearest = gaps.enumerate().min_by_key(|(_, ((_, end), (start, _)))| start.since(*end));
        let Some((index, ((from, _), (_, to)))) = nearest else { return };
        let joined = (*from, *to);
        self.0.splice(index..index + 2, [joined]);
    }

    fn contains(&self, time: Timestamp) -> bool {
        self.0.iter().any(|(from, to)| (*from..=*to).contains(&time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::ManualClock;

    const HOUR: Duration = Duration::from_secs(3600);
    const NOON: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn clock() -> (ManualClock, WallClock) {
        let clock = ManualClock::new(NOON);
        let wall = WallClock::new(Reading::of(&clock));
        (clock, wall)
    }

    fn look(clock: &ManualClock, wall: &WallClock) -> Option<Step> {
        wall.look(Reading::of(clock), clock)
    }

    #[test]
    fn time_that_passes_is_no_step_and_small_corrections_are_none() {
        let (clock, wall) = clock();
        clock.advance(HOUR * 24);
        assert_eq!(look(&clock, &wall), None);
        clock.set(clock.now() - LEEWAY);
        assert_eq!(look(&clock, &wall), None);
        assert!(!wall.is_doubtful(NOON));
        clock.set(clock.now() - Duration::from_millis(1));
        assert!(look(&clock, &wall).is_some(), "corrections add up");
        assert!(wall.is_doubtful(NOON));
    }

    #[test]
    fn a_clock_that_goes_back_makes_all_doubtful_that_it_showed_before() {
        let (clock, wall) = clock();
        clock.advance(HOUR * 2);
        clock.set(clock.now() - HOUR);
        assert_eq!(look(&clock, &wall), Some(Step::Back(HOUR)));
        assert_eq!(look(&clock, &wall), None, "once");
        assert!(wall.is_doubtful(NOON) && wall.is_doubtful(NOON + HOUR * 2));
        assert!(!wall.is_doubtful(NOON + HOUR * 2 + LEEWAY * 2));
    }

    #[test]
    fn a_clock_that_was_ahead_for_a_minute_makes_that_minute_doubtful() {
        let (clock, wall) = clock();
        clock.set(clock.now() + HOUR * 24 * 365);
        assert_eq!(look(&clock, &wall), Some(Step::Ahead(HOUR * 24 * 365)));
        clock.advance(Duration::from_secs(60));
        clock.set(NOON + Duration::from_secs(60));
        assert_eq!(look(&clock, &wall), Some(Step::Back(HOUR * 24 * 365)));
        assert!(wall.is_doubtful(NOON));
        assert!(!wall.is_doubtful(NOON + HOUR) && !wall.is_doubtful(NOON + HOUR * 24 * 364));
        assert!(wall.is_doubtful(NOON + HOUR * 24 * 365 + Duration::from_secs(30)));
    }

    #[test]
    fn tokens_from_the_future_are_doubtful_when_their_time_comes() {
        let (_, wall) = clock();
        wall.is_ahead_elsewhere(NOON + LEEWAY, HOUR, NOON);
        assert!(!wall.is_doubtful(NOON + LEEWAY), "that is no future");
        wall.is_ahead_elsewhere(NOON + HOUR * 3, HOUR, NOON);
        assert!(wall.is_doubtful(NOON + HOUR * 4) && wall.is_doubtful(NOON + HOUR));
        assert!(!wall.is_doubtful(NOON - HOUR) && !wall.is_doubtful(NOON + HOUR * 5));
        wall.is_ahead_elsewhere(NOON + HOUR * 1000, HOUR, NOON);
        assert!(wall.is_doubtful(NOON + HOUR * 999) && !wall.is_doubtful(NOON + HOUR * 900));
    }

    #[test]
    fn many_ranges_become_few() {
        let mut ranges = Ranges::default();
        for n in 0..100 {
            ranges.add(Timestamp::from_secs(n * n * 10), Timestamp::from_secs(n * n * 10 + 5));
            assert!(ranges.0.len() <= MOST_RANGES);
            assert!(ranges.0.is_sorted());
        }
        assert!((0..100).all(|n| ranges.contains(Timestamp::from_secs(n * n * 10 + 3))));
        ranges.add(Timestamp::EPOCH, Timestamp::from_secs(u64::MAX));
        assert_eq!(ranges.0.len(), 1);
    }
}
