//! A session's token family: its state in the record, and the changes of that state.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{RotationTiming, access::LEEWAY};
use crate::time::Timestamp;

/// A session's token family: which generation its refresh token is at, and how long it lives.
///
/// The methods that change it return whether they changed something. Except for [`revoke`](Self::revoke), they apply
/// only while the session is [live](Self::is_live), so none of them revives a revoked or expired session. The engine
/// calls them, and a store replaces the changed record by compare-and-set. Only [`advance`](Self::advance) and `revoke`
/// are operations of stores: a store calls them under a lock, or does the same in SQL or Lua.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Family {
    /// How many times the refresh token was rotated.
    pub generation: u64,
    /// When a request confirmed this generation. `None` while it is provisional.
    pub confirmed_at: Option<Timestamp>,
    /// When this generation was last handed out to a client that presented its predecessor. Later hand-outs within
    /// one grace period are not recorded. For generation 0: when the session began. Records of older versions have
    /// the epoch here.
    #[serde(default, rename = "offered_at")]
    pub handed_out_at: Timestamp,
    /// When the session began.
    pub created_at: Timestamp,
    /// The idle timeout.
    pub idle_timeout: Duration,
    /// When it expires, unless it is used before that.
    pub idle_deadline: Timestamp,
    /// When it expires in any case. Fixed at sign-in.
    pub absolute_deadline: Timestamp,
    /// Whether it was revoked. Never becomes false again.
    pub revoked: bool,
    /// The rotation settings of the sign-in. All instances use them for this session.
    #[serde(default)]
    pub timing: RotationTiming,
}

impl Family {
    /// A session that begins now, with the default [`RotationTiming`]: generation 0, confirmed.
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

    /// Whether it is neither revoked nor past one of its deadlines.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        !self.revoked && now < self.idle_deadline && now < self.absolute_deadline
    }

    /// Whether it is live under its own timeouts and under those of the current policy, which may be shorter.
    #[must_use]
    pub fn is_live_within(&self, now: Timestamp, idle_timeout: Duration, absolute_timeout: Duration) -> bool {
        self.is_live(now)
            && now < self.idle_deadline_within(idle_timeout)
            && now < self.absolute_deadline_within(absolute_timeout)
    }

    /// The idle deadline under its own idle timeout and under this one, which may be shorter.
    pub(crate) fn idle_deadline_within(&self, idle_timeout: Duration) -> Timestamp {
        // If the absolute deadline capped the idle deadline, do not shorten it again.
        if self.idle_deadline < self.absolute_deadline {
            self.idle_deadline - self.idle_timeout.saturating_sub(idle_timeout)
        } else {
            self.idle_deadline
        }
    }

    /// The absolute deadline under its own absolute timeout and under this one, which may be shorter.
    pub(crate) fn absolute_deadline_within(&self, absolute_timeout: Duration) -> Timestamp {
        self.absolute_deadline.min(self.created_at + absolute_timeout)
    }

    /// Caps each time that is too far in the future: an instance with a fast clock has written it. Returns whether
    /// there was one.
    ///
    /// The idle deadline is set to `now` plus the idle timeout, and a hand-out to `now`. A confirmation is removed,
    /// because by a right clock the generation may not be old enough. A later request confirms the generation
    /// again. A session that began in the future lives for at most `longest` from now, the absolute timeout of the
    /// policy.
    pub(crate) fn cap_ahead(&mut self, now: Timestamp, longest: Duration) -> bool {
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
        // The search covers clocks that differ by less than a grace period.
        let latest = now + self.timing.grace.max(LEEWAY);
        if self.handed_out_at > latest {
            self.handed_out_at = now;
        }
        if self.confirmed_at.is_some_and(|at| at > latest) {
            // Generation 0 has no predecessor.
            self.confirmed_at = (self.generation == 0).then_some(now);
            self.handed_out_at = now;
        }
        *self != before
    }

    /// A lower bound of the time since the predecessor was superseded. Counted from the confirmation of the current
    /// generation, or else from its last hand-out.
    #[must_use]
    pub fn superseded_for(&self, now: Timestamp) -> Duration {
        now.since(self.confirmed_at.unwrap_or(self.handed_out_at))
    }

    /// Rotates to the next generation, which is provisional. Applies if the current generation is `from`, and was
    /// confirmed at least one rotation interval ago. Counts as use.
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

    /// Confirms `generation`, if it is the current one and not confirmed. Counts as use.
    pub fn confirm(&mut self, generation: u64, at: Timestamp) -> bool {
        let applies = self.is_live(at) && self.generation == generation && self.confirmed_at.is_none();
        if applies {
            self.confirmed_at = Some(at);
            self.touch(at);
        }
        applies
    }

    /// Records that the current generation is handed out to a client that presented its predecessor. Must be written
    /// before the response is sent. Applies if [`handout_is_due`](Self::handout_is_due).
    pub fn record_handout(&mut self, at: Timestamp) -> bool {
        let applies = self.handout_is_due(at);
        if applies {
            self.handed_out_at = at;
        }
        applies
    }

    /// Whether a hand-out now must be recorded: the last recorded one was more than one grace period ago.
    #[must_use]
    pub fn handout_is_due(&self, now: Timestamp) -> bool {
        self.is_live(now) && self.confirmed_at.is_none() && now > self.handed_out_at + self.timing.grace
    }

    /// Counts as use: moves the idle deadline to a later time, up to the absolute deadline.
    pub fn touch(&mut self, at: Timestamp) -> bool {
        let deadline = self.idle_deadline_after(at);
        let applies = self.is_live(at) && deadline > self.idle_deadline;
        if applies {
            self.idle_deadline = deadline;
        }
        applies
    }

    /// Sets the generation of a valid token that is newer than the record: the store lost the rotation in a failover.
    /// The generation is provisional, unless there is no crash window.
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

    /// Revokes the session.
    pub fn revoke(&mut self) -> bool {
        !std::mem::replace(&mut self.revoked, true)
    }

    /// Whether use at `now` must be written: the idle deadline was last moved at least `interval` ago, or it can now
    /// be moved to the absolute deadline.
    #[must_use]
    pub fn touch_is_due(&self, now: Timestamp, interval: Duration) -> bool {
        self.idle_deadline_after(now).since(self.idle_deadline) >= interval
            || (self.idle_deadline_after(now) == self.absolute_deadline
                && self.idle_deadline < self.absolute_deadline)
    }

    /// When the session was last used, as exact as the idle deadline.
    #[must_use]
    pub fn last_seen(&self) -> Timestamp {
        (self.idle_deadline - self.idle_timeout).max(self.created_at)
    }

    /// Whether no request has [used](Self::touch) the session since it was last rotated or confirmed. Close to the absolute
    /// deadline this cannot be known, and the answer is no.
    #[must_use]
    pub(crate) fn is_unused_since_renewal(&self) -> bool {
        let renewed_at = self.confirmed_at.map_or(self.handed_out_at, |at| at.max(self.handed_out_at));
        self.idle_deadline < self.absolute_deadline && self.last_seen() <= renewed_at
    }

    fn idle_deadline_after(&self, at: Timestamp) -> Timestamp {
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
        assert!(!family.advance(1, at(20)), "it was not confirmed");
        assert!(!family.confirm(0, at(21)), "that is not the current generation");
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
        let live = |now, idle, absolute| family.is_live_within(at(now), secs(idle), secs(absolute));
        assert!(live(99, 100, 250) && !live(100, 100, 250));
        assert!(live(99, 500, 500) && !live(100, 500, 500), "longer ones do not");
        assert!(live(39, 40, 250) && !live(40, 40, 250));
        assert!(live(59, 100, 60) && !live(60, 100, 60));
    }

    #[test]
    fn times_of_a_clock_that_was_ahead_are_capped_once() {
        let (idle, absolute) = (Duration::from_secs(100), Duration::from_secs(250));
        let mut ahead = Family::begin(at(3600), idle, absolute);
        assert!(ahead.cap_ahead(at(0), absolute));
        let capped = Family {
            confirmed_at: Some(at(0)),
            handed_out_at: at(0),
            ..Family::begin(at(0), idle, absolute)
        };
        assert_eq!(ahead, Family { created_at: at(3600), ..capped });
        assert!(!ahead.cap_ahead(at(50), absolute));
        assert!(!family().cap_ahead(at(1), Duration::from_secs(1)), "it began on time");
        let mut used =
            Family { generation: 1, confirmed_at: Some(at(99)), idle_deadline: at(199), ..family() };
        assert!(used.cap_ahead(at(50), absolute));
        assert_eq!((used.confirmed_at, used.handed_out_at, used.idle_deadline), (None, at(50), at(150)));
        let mut a_little =
            Family { confirmed_at: Some(at(95)), handed_out_at: at(95), idle_deadline: at(155), ..family() };
        assert!(!a_little.cap_ahead(at(50), absolute), "clocks differ");
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
