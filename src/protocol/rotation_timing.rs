//! The rotation settings in a session's record.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Timing;
use crate::time::Timestamp;

/// The rotation settings of one session: those durations of a [`Timing`] that decide about rotation.
///
/// The sign-in copies the durations into the session's record. So all instances use the same durations for this
/// session, even if their own settings differ. Only the write window may be shorter on an instance. The record stores
/// whole milliseconds. The [module](super#letters)
/// explains the letters.
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
    /// `L`: the extra time after the grace period in which a late request with a body does not count as reuse.
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
    /// Whether the first request that carries a token of a generation confirms this generation. True if there is no
    /// crash window.
    #[must_use]
    pub const fn confirms_at_once(&self) -> bool {
        self.crash_window.is_zero()
    }

    /// How old an access token must be to confirm its generation: `W + C + 2·G`. With a body, `L` is added.
    ///
    /// With the default settings, this is 60 s + 35 s + 2 · 45 s = 185 s without a body, and 785 s with a body. The
    /// module [derives](super#the-waiting-time-is-long-enough) these sums.
    #[must_use]
    pub fn confirmation_age(&self, with_body: bool) -> Duration {
        let lateness = if with_body { self.late_body } else { Duration::ZERO };
        [self.write_window, self.crash_window, self.grace, self.grace]
            .into_iter()
            .fold(lateness, Duration::saturating_add)
    }

    /// Whether a request confirms the generation of its access token. The token may have expired.
    ///
    /// `latest_issue_time` is the latest time at which the token can have been issued: its `iat`, which has whole
    /// seconds, plus 1 s.
    #[must_use]
    pub fn confirms_by_access(&self, latest_issue_time: Timestamp, with_body: bool, now: Timestamp) -> bool {
        self.confirms_at_once() || now >= latest_issue_time + self.confirmation_age(with_body)
    }

    /// Whether a request confirms the generation of its refresh token. `handed_out_at` is the hand-out time in the
    /// record.
    ///
    /// The last hand-out may be up to one grace period later than `handed_out_at`, so one grace period is added to the
    /// [confirmation age](Self::confirmation_age). With the default settings, the sum is 230 s without a body.
    #[must_use]
    pub fn confirms_by_refresh(&self, handed_out_at: Timestamp, with_body: bool, now: Timestamp) -> bool {
        self.confirms_at_once() || now >= handed_out_at + self.grace + self.confirmation_age(with_body)
    }
}

impl RotationTiming {
    /// These settings, with a write window of at most `window`.
    ///
    /// An instance may use a shorter write window than the record has, because a response without cookies is always
    /// safe.
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
