//! What the protocol knows of one session, and the writes a store makes atomic.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// A session's token family: which generation its refresh token is at, and how long it lives.
///
/// The methods that change it apply only while the session is [live](Self::is_live). None of them
/// revives a revoked or expired session, and none moves time backwards. They run here, and a store
/// replaces the record they changed by compare-and-set; only [`advance`](Self::advance) is an
/// operation of stores, which may call it under a lock or say the same in their own language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Family {
    /// How often the refresh token was rotated.
    pub generation: u64,
    /// When a request was first seen to carry this generation; none while it is provisional.
    pub confirmed_at: Option<Timestamp>,
    /// When the current generation was last handed out to a client that presented its predecessor;
    /// at generation 0, when the session began. (The epoch in records of earlier versions.)
    #[serde(default)]
    pub offered_at: Timestamp,
    /// When the session began.
    pub created_at: Timestamp,
    /// How long this session may lie unused.
    pub idle_timeout: Duration,
    /// When it dies unless it is used before.
    pub idle_deadline: Timestamp,
    /// When it dies in any case. Fixed at sign-in.
    pub absolute_deadline: Timestamp,
    /// Whether it was revoked. Final.
    pub revoked: bool,
    /// The durations that all instances must judge it by. Fixed at sign-in.
    #[serde(default)]
    pub timing: RotationTiming,
}

/// The durations of rotation that all instances must agree on: a session keeps those of its
/// sign-in, so instances with other settings judge it in the same way.
///
/// In whole milliseconds, on the wire too. [`Timing`](super::Timing) describes each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct RotationTiming {
    /// The grace period.
    #[serde(with = "as_millis")]
    pub grace: Duration,
    /// The write window.
    #[serde(with = "as_millis")]
    pub write_window: Duration,
    /// How far back a client's storage may go when it crashes.
    #[serde(with = "as_millis")]
    pub crash_window: Duration,
    /// How late a request with a body may come.
    #[serde(with = "as_millis")]
    pub late_body: Duration,
    /// The rotation interval.
    #[serde(with = "as_millis")]
    pub rotation_interval: Duration,
}

impl Default for RotationTiming {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(45),
            write_window: Duration::from_secs(60),
            crash_window: Duration::from_secs(35),
            late_body: Duration::from_secs(10 * 60),
            rotation_interval: Duration::from_secs(4 * 60),
        }
    }
}

mod as_millis {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::time::millis;

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(millis(*duration))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

/// A rotation, as data: what the store compares, and what it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advance {
    /// The generation it must be at.
    pub from: u64,
    /// The time of the rotation.
    pub at: Timestamp,
}

impl Family {
    /// A session that begins now: generation 0, confirmed; with the default timing.
    #[must_use]
    pub fn begin(now: Timestamp, idle_timeout: Duration, absolute_timeout: Duration) -> Self {
        let absolute_deadline = now + absolute_timeout;
        Self {
            generation: 0,
            confirmed_at: Some(now),
            offered_at: now,
            created_at: now,
            idle_timeout,
            idle_deadline: (now + idle_timeout).min(absolute_deadline),
            absolute_deadline,
            revoked: false,
            timing: RotationTiming::default(),
        }
    }

    /// Neither revoked nor past one of its limits.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        !self.revoked && now < self.idle_deadline && now < self.absolute_deadline
    }

    /// Rotates: one generation further, provisional, if the session is live, is at `from`, and its
    /// generation was confirmed a rotation interval ago by its own timing. Counts as use.
    pub fn advance(&mut self, advance: &Advance) -> bool {
        let due = self.confirmed_at.is_some_and(|at| at + self.timing.rotation_interval <= advance.at);
        let applies = self.is_live(advance.at) && self.generation == advance.from && due;
        if applies {
            self.generation = self.generation.saturating_add(1);
            self.confirmed_at = None;
            self.offered_at = advance.at;
            self.touch(advance.at);
        }
        applies
    }

    /// Notes that `generation` was seen in use, if it is the current one and was not seen before.
    /// Counts as use.
    pub fn confirm(&mut self, generation: u64, at: Timestamp) -> bool {
        let applies = self.is_live(at) && self.generation == generation && self.confirmed_at.is_none();
        if applies {
            self.confirmed_at = Some(at);
            self.touch(at);
        }
        applies
    }

    /// Counts as use: moves the idle deadline on, never back and never past the absolute one.
    pub fn touch(&mut self, at: Timestamp) -> bool {
        let deadline = self.idle_deadline_after(at);
        let applies = self.is_live(at) && deadline > self.idle_deadline;
        if applies {
            self.idle_deadline = deadline;
        }
        applies
    }

    /// Catches up with a generation that a failover forgot, which its token proves: confirmed now.
    pub fn fast_forward(&mut self, to: u64, at: Timestamp) -> bool {
        let applies = self.is_live(at) && self.generation < to;
        if applies {
            self.generation = to;
            self.confirmed_at = Some(at);
            self.touch(at);
        }
        applies
    }

    /// Ends the session.
    pub fn revoke(&mut self) -> bool {
        !std::mem::replace(&mut self.revoked, true)
    }

    /// Whether use at `now` is worth a write: the idle deadline was last moved `interval` ago.
    #[must_use]
    pub fn touch_is_due(&self, now: Timestamp, interval: Duration) -> bool {
        self.idle_deadline_after(now).since(self.idle_deadline) >= interval
            || (self.idle_deadline_after(now) == self.absolute_deadline
                && self.idle_deadline < self.absolute_deadline)
    }

    /// When the session was last seen in use, no finer than its idle deadline is moved.
    #[must_use]
    pub fn last_seen(&self) -> Timestamp {
        (self.idle_deadline - self.idle_timeout).max(self.created_at)
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
        let advance = Advance { from: 0, at: at(20) };
        assert!(family.advance(&advance));
        assert_eq!((family.generation, family.confirmed_at), (1, None));
        assert_eq!(family.offered_at, at(20));
        assert!(!family.advance(&Advance { from: 1, ..advance }), "it was not confirmed");
        assert!(!family.confirm(0, at(21)), "that is not the current generation");
        assert!(family.confirm(1, at(21)));
        assert!(!family.confirm(1, at(22)), "the first sight counts");
        assert_eq!(family.confirmed_at, Some(at(21)));
    }

    #[test]
    fn a_rotation_needs_its_generation_confirmed_a_rotation_interval_ago() {
        let mut family = family();
        assert!(!family.advance(&Advance { from: 1, at: at(20) }));
        family.confirmed_at = Some(at(11));
        assert!(!family.advance(&Advance { from: 0, at: at(20) }));
    }

    #[test]
    fn use_moves_the_idle_deadline_but_never_past_the_absolute_limit() {
        let mut family = family();
        assert!(family.touch(at(90)));
        assert_eq!(family.idle_deadline, at(190));
        assert!(!family.touch(at(80)), "time does not go back");
        assert!(family.touch(at(180)));
        assert_eq!(family.idle_deadline, at(250));
        assert!(!family.is_live(at(250)));
    }

    #[test]
    fn nothing_revives_what_is_over() {
        let revoked = Family { revoked: true, ..family() };
        for (mut family, now) in [(family(), at(100)), (revoked, at(1))] {
            let before = family;
            assert!(!family.advance(&Advance { from: 0, at: now }));
            assert!(!family.touch(now) && !family.confirm(0, now) && !family.fast_forward(9, now));
            assert_eq!(family, before);
        }
    }
}
