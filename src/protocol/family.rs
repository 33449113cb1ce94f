//! A session's token family: the rotation state in the session's record.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{RotationTiming, request::LEEWAY};
use crate::time::Timestamp;

/// A session's token family: the current generation, the deadlines, and whether the session is revoked.
///
/// A method that changes the family returns whether the change applied. [`revoke`](Self::revoke) applies to each
/// session that is not yet revoked. The other methods apply only while the session is [live](Self::is_live). So no
/// method makes a revoked or expired session valid again.
///
/// The engine calls the methods, and asks the store to replace the record by compare-and-set. Two methods are also
/// operations of a store: [`advance`](Self::advance) and `revoke`. A store calls these two methods under a lock, or
/// makes the same change in SQL or Lua.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Family {
    /// The current generation: how many times the refresh token was rotated.
    pub generation: u64,
    /// When a request confirmed the current generation. `None` while the generation is provisional.
    pub confirmed_at: Option<Timestamp>,
    /// The hand-out time: the latest recorded time at which the current generation was handed out to a client that
    /// presented the predecessor.
    ///
    /// The first hand-out is the rotation. While the generation is provisional, a later hand-out is recorded if it
    /// comes more than one grace period after the recorded hand-out. So the last hand-out before the confirmation is at
    /// most one grace period later than this time. After the confirmation, hand-outs are not recorded.
    ///
    /// In four cases, this is another time:
    /// - Generation 0: the time at which the session began.
    /// - After a [fast-forward](Self::fast_forward): the time of the fast-forward.
    /// - After `cap_future_times` corrected this time or the confirmation time: the time of the correction.
    /// - A record from an older version of this crate: the Unix epoch.
    #[serde(default, rename = "offered_at")]
    pub handed_out_at: Timestamp,
    /// When the session began.
    pub created_at: Timestamp,
    /// The idle timeout of the session.
    pub idle_timeout: Duration,
    /// When the session expires, unless the session is used before this time.
    pub idle_deadline: Timestamp,
    /// When the session expires even if the session is in use. The sign-in sets this time.
    pub absolute_deadline: Timestamp,
    /// Whether the session was revoked. This never becomes false again.
    pub revoked: bool,
    /// The rotation settings of the sign-in. All instances use these settings for this session. Only the write window
    /// may be shorter on an instance.
    #[serde(default)]
    pub timing: RotationTiming,
}

impl Family {
    /// The family of a session that begins now. The family has the default [`RotationTiming`]. The current generation
    /// is 0, and is confirmed.
    #[must_use]
    pub fn begin(now: Timestamp, idle_timeout: Duration, absolute_timeout: Duration) -> Self {
        let absolute_deadline = now + absolute_timeout;
        Self {
            generation: 0,
            confirmed_at: Some(now),
            handed_out_at: now,
            created_at: now,
            idle_timeout,
            idle_deadline: (now + idle_timeout).min(absolute_deadline),
            absolute_deadline,
            revoked: false,
            timing: RotationTiming::default(),
        }
    }

    /// Whether the session is live: not revoked, and not past one of its deadlines.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        !self.revoked && now < self.idle_deadline && now < self.absolute_deadline
    }

    /// Whether the session is live by its own timeouts, and would also be live by the given timeouts. So the shorter
    /// timeouts decide.
    #[must_use]
    pub fn is_live_with_timeouts_at_most(
        &self,
        now: Timestamp,
        idle_timeout: Duration,
        absolute_timeout: Duration,
    ) -> bool {
        self.is_live(now)
            && now < self.idle_deadline_with_timeout_at_most(idle_timeout)
            && now < self.absolute_deadline_with_timeout_at_most(absolute_timeout)
    }

    /// The idle deadline, computed from the shorter of two timeouts: the session's idle timeout and `idle_timeout`.
    ///
    /// The idle deadline is never later than the absolute deadline. If the two are equal, the idle deadline may have
    /// been shortened, and the last use cannot be computed from it. Then the argument `idle_timeout` does not count.
    pub(crate) fn idle_deadline_with_timeout_at_most(&self, idle_timeout: Duration) -> Timestamp {
        if self.idle_deadline < self.absolute_deadline {
            self.idle_deadline - self.idle_timeout.saturating_sub(idle_timeout)
        } else {
            self.idle_deadline
        }
    }

    /// The absolute deadline, computed from the shorter of two timeouts: the session's absolute timeout and
    /// `absolute_timeout`.
    pub(crate) fn absolute_deadline_with_timeout_at_most(&self, absolute_timeout: Duration) -> Timestamp {
        self.absolute_deadline.min(self.created_at + absolute_timeout)
    }

    /// Corrects deadlines, the hand-out time and the confirmation time if they are too far in the future: an instance
    /// whose clock was ahead has written them. Returns whether a time was corrected.
    ///
    /// - **Idle deadline**: if it is later than `now` plus the idle timeout plus [`LEEWAY`], it becomes `now` plus the
    ///   idle timeout.
    /// - **Absolute deadline**: checked only if the session began in the future. Otherwise the deadline is right, even
    ///   if this instance's policy has a shorter absolute timeout now. If the deadline is later than `now` plus
    ///   `longest` plus [`LEEWAY`], it becomes `now` plus `longest`. `longest` is the policy's absolute timeout.
    /// - **Hand-out time**: if it is later than `now` plus the grace period (or plus [`LEEWAY`], if that is longer), it
    ///   becomes `now`.
    /// - **Confirmation time**: if it is too late by the same rule, the confirmation is removed, because by a correct
    ///   clock the generation may be too young for a confirmation. A later request confirms the generation again.
    ///   Generation 0 stays confirmed, because it has no predecessor, and its confirmation time becomes `now`. In both
    ///   cases, the hand-out time becomes `now`.
    pub(crate) fn cap_future_times(&mut self, now: Timestamp, longest: Duration) -> bool {
        if !self.is_live(now) {
            return false;
        }
        let before = *self;
        let cap = |time: &mut Timestamp, latest: Timestamp| {
            if *time > latest + LEEWAY {
                *time = latest;
            }
        };
        if self.created_at > now + LEEWAY {
            cap(&mut self.absolute_deadline, now + longest);
        }
        cap(&mut self.idle_deadline, now + self.idle_timeout);
        self.idle_deadline = self.idle_deadline.min(self.absolute_deadline);
        // Clocks differ by less than one grace period (`S < G`), and the search covers this difference.
        let latest = now + self.timing.grace.max(LEEWAY);
        if self.handed_out_at > latest {
            self.handed_out_at = now;
        }
        if self.confirmed_at.is_some_and(|at| at > latest) {
            self.confirmed_at = (self.generation == 0).then_some(now);
            self.handed_out_at = now;
        }
        *self != before
    }

    /// A lower bound of the time since the current generation replaced its predecessor.
    ///
    /// The time counts from the confirmation of the current generation. If the current generation is provisional, the
    /// time counts from the hand-out time. Neither is earlier than the rotation, except for the hand-out time in a
    /// record from an older version of this crate.
    #[must_use]
    pub fn min_time_since_rotation(&self, now: Timestamp) -> Duration {
        now.since(self.confirmed_at.unwrap_or(self.handed_out_at))
    }

    /// Rotates to the next generation. The new generation is provisional. The rotation counts as use of the session.
    ///
    /// Applies if the current generation is `from`, and if `from` was confirmed at least one rotation interval before
    /// `at`.
    pub fn advance(&mut self, from: u64, at: Timestamp) -> bool {
        let interval = self.timing.rotation_interval;
        let due = self.confirmed_at.is_some_and(|confirmed_at| confirmed_at + interval <= at);
        let applies = self.is_live(at) && self.generation == from && due;
        if applies {
            self.generation = self.generation.saturating_add(1);
            self.confirmed_at = None;
            self.handed_out_at = at;
            self.touch(at);
        }
        applies
    }

    /// Confirms `generation`. The confirmation counts as use of the session.
    ///
    /// Applies if `generation` is the current generation, and is provisional.
    pub fn confirm(&mut self, generation: u64, at: Timestamp) -> bool {
        let applies = self.is_live(at) && self.generation == generation && self.confirmed_at.is_none();
        if applies {
            self.confirmed_at = Some(at);
            self.touch(at);
        }
        applies
    }

    /// Records that the current generation is handed out to a client that presented the predecessor. The caller must
    /// write the record before the response is sent. Applies if [`must_record_handout`](Self::must_record_handout) is
    /// true.
    pub fn record_handout(&mut self, at: Timestamp) -> bool {
        let applies = self.must_record_handout(at);
        if applies {
            self.handed_out_at = at;
        }
        applies
    }

    /// Whether a hand-out at `now` must be recorded: the current generation is provisional, and the hand-out time is
    /// more than one grace period before `now`.
    #[must_use]
    pub fn must_record_handout(&self, now: Timestamp) -> bool {
        self.is_live(now) && self.confirmed_at.is_none() && now > self.handed_out_at + self.timing.grace
    }

    /// Records a use of the session at `at`: moves the idle deadline to `at` plus the idle timeout, but not past the
    /// absolute deadline. Applies if the new idle deadline is later than the old one.
    pub fn touch(&mut self, at: Timestamp) -> bool {
        let deadline = self.idle_deadline_after_use(at);
        let applies = self.is_live(at) && deadline > self.idle_deadline;
        if applies {
            self.idle_deadline = deadline;
        }
        applies
    }

    /// Sets the current generation to `to`, the generation of a valid refresh token. Applies if `to` is newer than the
    /// record's generation: the store lost the rotation, for example in a failover.
    ///
    /// With a crash window, generation `to` is provisional. Without a crash window, generation `to` is confirmed at
    /// once.
    pub fn fast_forward(&mut self, to: u64, at: Timestamp) -> bool {
        let applies = self.is_live(at) && self.generation < to;
        if applies {
            self.generation = to;
            self.confirmed_at = self.timing.confirms_at_once().then_some(at);
            self.handed_out_at = at;
            self.touch(at);
        }
        applies
    }

    /// Revokes the session. Applies if the session is not yet revoked.
    pub fn revoke(&mut self) -> bool {
        !std::mem::replace(&mut self.revoked, true)
    }

    /// Whether a use at `now` must be written to the store.
    ///
    /// True if the use would move the idle deadline by at least `interval`. Also true if the use would move the idle
    /// deadline to the absolute deadline: no later use moves the idle deadline further.
    #[must_use]
    pub fn touch_is_due(&self, now: Timestamp, interval: Duration) -> bool {
        let new_deadline = self.idle_deadline_after_use(now);
        new_deadline.since(self.idle_deadline) >= interval
            || (new_deadline == self.absolute_deadline && self.idle_deadline < self.absolute_deadline)
    }

    /// When the session was last used, or an earlier time. Computed from the idle deadline, so a use that was not
    /// written does not count. If the idle deadline was cut to the absolute deadline, the last use was later than this
    /// time.
    #[must_use]
    pub fn last_seen(&self) -> Timestamp {
        (self.idle_deadline - self.idle_timeout).max(self.created_at)
    }

    /// Whether no [use](Self::touch) was written after the last rotation, hand-out or confirmation.
    ///
    /// If the idle deadline equals the absolute deadline, it may have been cut, so the last use is unknown. Then this
    /// is false.
    #[must_use]
    pub(crate) fn is_unused_since_handout_or_confirmation(&self) -> bool {
        let renewed_at = self.confirmed_at.map_or(self.handed_out_at, |at| at.max(self.handed_out_at));
        self.idle_deadline < self.absolute_deadline && self.last_seen() <= renewed_at
    }

    fn idle_deadline_after_use(&self, at: Timestamp) -> Timestamp {
        (at + self.idle_timeout).min(self.absolute_deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn family() -> Family {
        let timing =
            RotationTiming { rotation_interval: Duration::from_secs(10), ..RotationTiming::default() };
        Family { timing, ..Family::begin(at(0), Duration::from_secs(100), Duration::from_secs(250)) }
    }

    #[test]
    fn a_rotation_is_provisional_until_it_is_confirmed() {
        let mut family = family();
        assert!(family.advance(0, at(20)));
        assert_eq!((family.generation, family.confirmed_at), (1, None));
        assert_eq!(family.handed_out_at, at(20));
        assert!(!family.advance(1, at(20)), "generation 1 is not confirmed");
        assert!(!family.confirm(0, at(21)), "generation 0 is not the current generation");
        assert!(family.confirm(1, at(21)));
        assert!(!family.confirm(1, at(22)), "only the first confirmation counts");
        assert_eq!(family.confirmed_at, Some(at(21)));
    }

    #[test]
    fn a_rotation_needs_its_generation_confirmed_a_rotation_interval_ago() {
        let mut family = family();
        assert!(!family.advance(1, at(20)));
        family.confirmed_at = Some(at(11));
        assert!(!family.advance(0, at(20)));
        assert!(family.advance(0, at(21)));
    }

    #[test]
    fn use_moves_the_idle_deadline_but_never_past_the_absolute_timeout() {
        let mut family = family();
        assert!(family.touch(at(90)));
        assert_eq!(family.idle_deadline, at(190));
        assert!(!family.touch(at(80)), "time does not go back");
        assert!(family.touch(at(180)));
        assert_eq!(family.idle_deadline, at(250));
        assert!(!family.is_live(at(250)));
    }

    #[test]
    fn shorter_timeouts_of_a_policy_count() {
        let (secs, family) = (Duration::from_secs, family());
        let live =
            |now, idle, absolute| family.is_live_with_timeouts_at_most(at(now), secs(idle), secs(absolute));
        assert!(live(99, 100, 250) && !live(100, 100, 250));
        assert!(live(99, 500, 500) && !live(100, 500, 500), "longer timeouts do not count");
        assert!(live(39, 40, 250) && !live(40, 40, 250));
        assert!(live(59, 100, 60) && !live(60, 100, 60));
    }

    #[test]
    fn times_of_a_clock_that_was_ahead_are_capped_once() {
        let (idle, absolute) = (Duration::from_secs(100), Duration::from_secs(250));
        let mut ahead = Family::begin(at(3600), idle, absolute);
        assert!(ahead.cap_future_times(at(0), absolute));
        let capped = Family {
            confirmed_at: Some(at(0)),
            handed_out_at: at(0),
            ..Family::begin(at(0), idle, absolute)
        };
        assert_eq!(ahead, Family { created_at: at(3600), ..capped });
        assert!(!ahead.cap_future_times(at(50), absolute));
        assert!(!family().cap_future_times(at(1), Duration::from_secs(1)), "the session began in the past");
        let mut confirmed_later =
            Family { generation: 1, confirmed_at: Some(at(99)), idle_deadline: at(199), ..family() };
        assert!(confirmed_later.cap_future_times(at(50), absolute));
        assert_eq!(
            (confirmed_later.confirmed_at, confirmed_later.handed_out_at, confirmed_later.idle_deadline),
            (None, at(50), at(150))
        );
        let mut slightly_ahead =
            Family { confirmed_at: Some(at(95)), handed_out_at: at(95), idle_deadline: at(155), ..family() };
        assert!(
            !slightly_ahead.cap_future_times(at(50), absolute),
            "a small difference between clocks is normal"
        );
    }

    #[test]
    fn revoked_or_expired_family_never_changes() {
        let revoked = Family { revoked: true, ..family() };
        for (mut family, now) in [(family(), at(100)), (revoked, at(1))] {
            let before = family;
            assert!(!family.advance(0, now));
            assert!(!family.touch(now) && !family.confirm(0, now) && !family.fast_forward(9, now));
            assert_eq!(family, before);
        }
    }
}
