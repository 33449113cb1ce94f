//! The timing settings, and their validation.

use std::time::Duration;

use super::{PolicyError, RotationTiming};
use crate::{
    id::SessionId,
    time::{Timestamp, millis},
};

/// The durations of a policy. Each has a safe default. [`Policy::new`] checks the durations.
///
/// [`Policy::new`] compares the durations in whole milliseconds. The [module](super#letters) explains the letters `G`,
/// `W`, `C`, `M` and `L`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timing {
    /// The lifetime of an access token. Default 5 min. After a session was revoked, a service that only verifies tokens
    /// may accept an access token of the session for this time plus the write window.
    pub access_ttl: Duration,
    /// The idle timeout: a session expires after this time without use. Default 2 h. Each renewal checks the idle
    /// timeout. Not every use is written to the record, so a session may expire up to
    /// `access_ttl + rotation_interval + write_window` earlier.
    pub idle_timeout: Duration,
    /// The absolute timeout: a session expires this long after its sign-in, even if the session is in use. Default
    /// 24 h.
    pub absolute_timeout: Duration,
    /// How long before its expiry an access token may already be renewed. Default: a fifth of `access_ttl`. Zero turns
    /// early renewal off.
    ///
    /// Each session has its own value between half of this time and the whole time. So the sessions do not all renew at
    /// the same moment.
    pub renew_before: Option<Duration>,
    /// The grace period `G`: how long a refresh token stays valid after its successor was confirmed. Default 45 s.
    ///
    /// The grace period must be at least `D + S`. Here `D` is the longest time that a request without a body, or a
    /// response, is in transit. `S` is the largest difference between the clocks of two instances.
    pub grace: Duration,
    /// The crash window `C`: how old the cookies of a client may be after a crash. Default 35 s, because browsers write
    /// cookies to disk about every 30 s.
    ///
    /// With a crash window, a successor must reach a certain age before it is
    /// [confirmed](super#when-a-generation-is-confirmed). A copied predecessor stays usable until the confirmation, and
    /// for one grace period after the confirmation.
    ///
    /// With zero, the first request that carries the successor confirms the successor. A browser that crashes shortly
    /// after this request comes back with the predecessor, and looks like refresh token reuse.
    pub crash_window: Duration,
    /// `L`: an extra time after the grace period. If a request with a body presents the predecessor in this time, the
    /// request is refused, but does not count as reuse: a proxy may have buffered the body. Default 10 min.
    ///
    /// The time since the confirmation of the successor decides about such a request:
    /// - at most `grace` (45 s): the request is served;
    /// - at most `grace + late_body` (10 min 45 s): the request is refused, and the session is not revoked;
    /// - longer: the request is refresh token reuse.
    ///
    /// A longer `late_body` does not help a request that arrives after two rotations: its refresh token is two
    /// generations old, and the request is always reuse. The second rotation comes at the earliest
    /// `rotation_interval + crash_window + grace` after the request was sent (5 min 20 s by default). Without a crash
    /// window, it comes at the earliest `rotation_interval` minus `S` after the request was sent. If requests may be
    /// 10 min late, raise `rotation_interval` to 9 min.
    pub late_body: Duration,
    /// The write window `W`: how long after the arrival of a request its response may set cookies. Default 60 s. A
    /// later response sets no cookies. This is always safe.
    pub write_window: Duration,
    /// The rotation interval `M`: the shortest time from the confirmation of a generation to the next rotation. Default
    /// 4 min. Must be longer than `write_window + 2 * grace`: the [module](super#the-rotation-interval-is-long-enough)
    /// says why.
    pub rotation_interval: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            access_ttl: Duration::from_secs(5 * 60),
            idle_timeout: Duration::from_secs(2 * 60 * 60),
            absolute_timeout: Duration::from_secs(24 * 60 * 60),
            renew_before: None,
            grace: Duration::from_secs(45),
            crash_window: Duration::from_secs(35),
            late_body: Duration::from_secs(10 * 60),
            write_window: Duration::from_secs(60),
            rotation_interval: Duration::from_secs(4 * 60),
        }
    }
}

impl Timing {
    /// Sets [`access_ttl`](Self#structfield.access_ttl).
    #[must_use]
    pub const fn access_ttl(mut self, access_ttl: Duration) -> Self {
        self.access_ttl = access_ttl;
        self
    }

    /// Sets [`idle_timeout`](Self#structfield.idle_timeout).
    #[must_use]
    pub const fn idle_timeout(mut self, idle_timeout: Duration) -> Self {
        self.idle_timeout = idle_timeout;
        self
    }

    /// Sets [`absolute_timeout`](Self#structfield.absolute_timeout).
    #[must_use]
    pub const fn absolute_timeout(mut self, absolute_timeout: Duration) -> Self {
        self.absolute_timeout = absolute_timeout;
        self
    }

    /// Sets [`grace`](Self#structfield.grace).
    #[must_use]
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets [`crash_window`](Self#structfield.crash_window).
    #[must_use]
    pub const fn crash_window(mut self, crash_window: Duration) -> Self {
        self.crash_window = crash_window;
        self
    }

    /// Sets [`late_body`](Self#structfield.late_body).
    #[must_use]
    pub const fn late_body(mut self, late_body: Duration) -> Self {
        self.late_body = late_body;
        self
    }

    /// Sets [`write_window`](Self#structfield.write_window).
    #[must_use]
    pub const fn write_window(mut self, write_window: Duration) -> Self {
        self.write_window = write_window;
        self
    }

    /// Sets [`rotation_interval`](Self#structfield.rotation_interval).
    #[must_use]
    pub const fn rotation_interval(mut self, rotation_interval: Duration) -> Self {
        self.rotation_interval = rotation_interval;
        self
    }

    /// Sets [`renew_before`](Self#structfield.renew_before).
    #[must_use]
    pub const fn renew_before(mut self, renew_before: Duration) -> Self {
        self.renew_before = Some(renew_before);
        self
    }
}

/// A [`Timing`] that [`Policy::new`] has checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy(Timing);

impl Default for Policy {
    /// The policy of [`Timing::default`], which [`new`](Self::new) accepts.
    fn default() -> Self {
        Self(Timing::default())
    }
}

impl Policy {
    /// Checks `timing`.
    ///
    /// # Errors
    /// [`PolicyError`] if one of these conditions is not true:
    /// - `rotation_interval > write_window + 2 * grace`. Otherwise legitimate clients could be signed out.
    /// - `idle_timeout >= access_ttl + rotation_interval + write_window`. Otherwise a session in constant use could
    ///   expire: there are up to `access_ttl + write_window` between two renewals, and most uses are written only if
    ///   they move the idle deadline by at least `rotation_interval`.
    /// - `absolute_timeout >= idle_timeout`.
    /// - `renew_before < access_ttl`.
    /// - Each duration is at least 1 ms, except for `renew_before`, `crash_window` and `late_body`.
    pub fn new(timing: Timing) -> Result<Self, PolicyError> {
        let Timing {
            access_ttl, idle_timeout, absolute_timeout, grace, write_window, rotation_interval, ..
        } = timing;
        for (name, value) in [("access_ttl", access_ttl), ("grace", grace), ("write_window", write_window)] {
            if millis(value) == 0 {
                return Err(PolicyError::TooShort { name, value });
            }
        }
        let two_graces = millis(grace).saturating_mul(2);
        if millis(rotation_interval) <= millis(write_window).saturating_add(two_graces) {
            return Err(PolicyError::RotationIntervalTooShort { rotation_interval, write_window, grace });
        }
        let policy = Self(timing);
        policy.check_timeouts(idle_timeout, absolute_timeout)?;
        let renew_before = policy.renew_before();
        if millis(renew_before) >= millis(access_ttl) {
            return Err(PolicyError::RenewBeforeTooLong { renew_before, access_ttl });
        }
        Ok(policy)
    }

    /// The idle timeout and the absolute timeout of one session. `idle` and `absolute` are the timeouts that the
    /// sign-in asked for. If `absolute` is `None`, the policy's absolute timeout applies. If `idle` is `None`, the
    /// policy's idle timeout applies, or the session's absolute timeout, if that is shorter.
    ///
    /// # Errors
    /// [`PolicyError`] if a timeout is longer than the policy's, or too short for the other settings.
    pub(crate) fn session_timeouts(
        &self,
        idle: Option<Duration>,
        absolute: Option<Duration>,
    ) -> Result<(Duration, Duration), PolicyError> {
        let Timing { idle_timeout, absolute_timeout, .. } = self.0;
        let requested =
            [("idle_timeout", idle, idle_timeout), ("absolute_timeout", absolute, absolute_timeout)];
        for (name, value, longest) in requested {
            if let Some(value) = value.filter(|value| *value > longest) {
                return Err(PolicyError::LongerThanPolicy { name, value, longest });
            }
        }
        let absolute = absolute.unwrap_or(absolute_timeout);
        let idle = idle.unwrap_or(idle_timeout.min(absolute));
        self.check_timeouts(idle, absolute)?;
        Ok((idle, absolute))
    }

    fn check_timeouts(&self, idle_timeout: Duration, absolute_timeout: Duration) -> Result<(), PolicyError> {
        let Timing { access_ttl, rotation_interval, write_window, .. } = self.0;
        let parts = [access_ttl, rotation_interval, write_window].map(millis);
        let shortest_idle_timeout = parts.into_iter().fold(0, u64::saturating_add);
        if millis(idle_timeout) < shortest_idle_timeout {
            return Err(PolicyError::IdleTimeoutTooShort {
                idle_timeout,
                access_ttl,
                rotation_interval,
                write_window,
            });
        }
        if millis(absolute_timeout) < millis(idle_timeout) {
            return Err(PolicyError::AbsoluteTimeoutTooShort { absolute_timeout, idle_timeout });
        }
        Ok(())
    }

    /// An unchecked policy, for the search, which also covers settings that [`new`](Self::new) refuses.
    #[cfg(feature = "__search")]
    #[doc(hidden)]
    #[must_use]
    pub const fn dangerous_unchecked(timing: Timing) -> Self {
        Self(timing)
    }

    /// The settings for sessions that begin on this instance.
    ///
    /// A session may have begun with other settings: on another instance, or before a deployment. For such a session:
    /// - `grace`, `write_window`, `crash_window`, `late_body` and `rotation_interval` are from the session's record.
    ///   The sign-in wrote them, so all instances use the same values. There is one exception: if this policy's write
    ///   window is shorter, this instance uses the shorter write window. This is always safe.
    /// - `idle_timeout` and `absolute_timeout` are from the record or from this policy. The shorter value applies. If a
    ///   session has passed a shorter timeout of this policy, but not yet the timeout of its record, the next renewal
    ///   revokes the session, so that all instances refuse it.
    /// - `access_ttl` and `renew_before` are from this policy.
    #[must_use]
    pub const fn timing(&self) -> &Timing {
        &self.0
    }

    /// The rotation settings for the record of a new session.
    pub(crate) fn rotation_timing(&self) -> RotationTiming {
        RotationTiming::from(&self.0)
    }

    /// How long before its expiry an access token may already be renewed. The early renewal may begin later, by the
    /// session's jitter: see [`renew_early_from`](Self::renew_early_from).
    #[must_use]
    pub fn renew_before(&self) -> Duration {
        self.0.renew_before.unwrap_or(self.0.access_ttl / 5)
    }

    /// The expiry of an access token that is minted at `now`. Rounded up to a whole second, and never after `limit`.
    pub(crate) fn access_expiry(&self, now: Timestamp, limit: Timestamp) -> Timestamp {
        let rounded_up = (now + self.0.access_ttl).as_secs_ceil();
        Timestamp::from_secs(rounded_up.min(limit.as_secs()))
    }

    /// The longest time from the read of a record to the expiry of an access token that is minted from this record: a
    /// token is minted in the write window, and expires one `access_ttl` later. `access_expiry` may add up to a second.
    pub(crate) const fn longest_access(&self) -> Duration {
        self.0.access_ttl.saturating_add(self.0.write_window)
    }

    /// The time from which an access token of `session` is renewed early. The token expires at `expires`.
    ///
    /// This time is `expires` minus [`renew_before`](Self::renew_before), plus a jitter. The jitter is at most half of
    /// `renew_before`. It depends only on the session ID, so all instances compute the same time.
    #[must_use]
    pub fn renew_early_from(&self, session: &SessionId, expires: Timestamp) -> Timestamp {
        let renew_before = millis(self.renew_before());
        let jitter = renew_before.saturating_mul(u64::from(session.jitter())) / 512;
        Timestamp::from_millis(expires.as_millis().saturating_sub(renew_before - jitter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn the_default_timing_is_accepted() {
        assert!(Policy::new(Timing::default()).is_ok());
    }

    #[test]
    fn a_rotation_interval_at_the_bound_is_refused_with_its_numbers() {
        let timing = Timing {
            grace: secs(10),
            write_window: secs(20),
            rotation_interval: secs(40),
            ..Timing::default()
        };
        let refused = Policy::new(timing).expect_err("40 is not longer than 20 + 2 * 10");
        let numbers =
            "rotation_interval is 40s, but must be longer than write_window (20s) + 2 * grace (10s)";
        assert!(refused.to_string().starts_with(numbers), "{refused}");
        let above = Timing { rotation_interval: secs(40) + Duration::from_millis(1), ..timing };
        assert!(Policy::new(above).is_ok());
    }

    #[test]
    fn an_idle_timeout_that_fires_during_use_is_refused() {
        let timing = Timing { idle_timeout: secs(5 * 60 + 4 * 60 + 60), ..Timing::default() };
        assert!(Policy::new(timing).is_ok());
        let shorter = Timing { idle_timeout: timing.idle_timeout - Duration::from_millis(1), ..timing };
        assert!(matches!(Policy::new(shorter), Err(PolicyError::IdleTimeoutTooShort { .. })));
    }

    #[test]
    fn access_token_expires_at_a_whole_second_that_is_never_after_the_limit() {
        let policy = Policy::new(Timing::default()).expect("the defaults hold");
        let now = Timestamp::from_millis(1_800_000_000_001);
        let expiry = |limit: u64| policy.access_expiry(now, Timestamp::from_millis(limit)).as_millis();
        assert_eq!(expiry(u64::MAX), 1_800_000_301_000, "rounded up");
        assert_eq!(expiry(1_800_000_061_999), 1_800_000_061_000, "the limit, rounded down");
    }

    #[test]
    fn zero_and_overlong_durations_are_refused() {
        let default = Timing::default();
        for timing in [
            Timing { access_ttl: Duration::ZERO, ..default },
            Timing { grace: Duration::from_micros(999), ..default },
            Timing { write_window: Duration::ZERO, ..default },
            Timing { rotation_interval: Duration::ZERO, ..default },
            Timing { absolute_timeout: secs(60), ..default },
            Timing { renew_before: Some(secs(300)), ..default },
            Timing { grace: Duration::MAX, ..default },
            Timing { write_window: Duration::MAX, rotation_interval: Duration::MAX, ..default },
        ] {
            assert!(Policy::new(timing).is_err(), "{timing:?}");
        }
    }
}
