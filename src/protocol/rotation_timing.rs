//! The rotation settings that a session's record has.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Timing;
use crate::time::Timestamp;

/// The durations of a [`Timing`] that decide about rotation, as they were when the session began.
///
/// The session's record has them, so that instances with other settings use the same ones for this session.
/// They are stored as whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct RotationTiming {
    /// The grace period `G`.
    #[serde(with = "as_millis")]
    pub grace: Duration,
    /// The write window `W`.
    #[serde(with = "as_millis")]
    pub write_window: Duration,
    /// The crash window `C`.
    #[serde(with = "as_millis")]
    pub crash_window: Duration,
    /// How late (`L`) a request with a body may arrive.
    #[serde(with = "as_millis")]
    pub late_body: Duration,
    /// The rotation interval `M`.
    #[serde(with = "as_millis")]
    pub rotation_interval: Duration,
}

impl Default for RotationTiming {
    fn default() -> Self {
        Self::from(&Timing::default())
    }
}

impl From<&Timing> for RotationTiming {
    fn from(timing: &Timing) -> Self {
        let Timing { grace, write_window, crash_window, late_body, rotation_interval, .. } = *timing;
        Self { grace, write_window, crash_window, late_body, rotation_interval }
    }
}

impl RotationTiming {
    /// Whether the first request that carries a generation confirms it. True if there is no crash window.
    #[must_use]
    pub const fn confirms_at_once(&self) -> bool {
        self.crash_window.is_zero()
    }

    /// How old a token must be so that a request with it confirms the token's generation: `W + C + 2·G`. A client
    /// that sends a token of this age no longer sends tokens of an earlier generation.
    ///
    /// The response with the token is sent within `W` and arrives within `D`. From then on the client has
    /// it, except after a crash, when it may have tokens that it held less than `C` ago. A request that it
    /// sent before the crash arrives within `D`. The two `D` and the clock difference are at most two grace
    /// periods.
    ///
    /// A request with a body may have been sent up to `late_body` earlier, which is added.
    #[must_use]
    pub fn confirmation_age(&self, with_body: bool) -> Duration {
        let late = if with_body { self.late_body } else { Duration::ZERO };
        [self.write_window, self.crash_window, self.grace, self.grace]
            .into_iter()
            .fold(late, Duration::saturating_add)
    }

    /// Whether a request confirms the generation of the access token that it carries. The token was issued at
    /// `issued` at the latest. It may have expired.
    #[must_use]
    pub fn confirms_by_access(&self, issued: Timestamp, with_body: bool, now: Timestamp) -> bool {
        self.confirms_at_once() || now >= issued + self.confirmation_age(with_body)
    }

    /// Whether a request confirms the generation of the refresh token that it presents. `handed_out_at` is the record's
    /// hand-out time. The last hand-out may be up to one grace period later.
    #[must_use]
    pub fn confirms_by_refresh(&self, handed_out_at: Timestamp, with_body: bool, now: Timestamp) -> bool {
        self.confirms_at_once() || now >= handed_out_at + self.grace + self.confirmation_age(with_body)
    }
}

impl RotationTiming {
    /// These settings, but with `window` as the write window if that is shorter. A response that sets no
    /// cookie is always safe, so an instance may use a shorter write window than the record's.
    #[must_use]
    pub fn with_write_window_at_most(self, window: Duration) -> Self {
        Self { write_window: self.write_window.min(window), ..self }
    }
}

mod as_millis {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::time::millis;

    pub(super) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(millis(*duration))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}
