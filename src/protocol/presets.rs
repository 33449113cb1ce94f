//! Settings for the authentication assurance levels (AAL) of NIST SP 800-63B-4.

use std::time::Duration;

use super::Timing;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Timing {
    /// Authentication assurance level 1 (NIST SP 800-63B-4, section 2.1.3). The user must sign in again after 30 days.
    ///
    /// NIST requires no idle timeout at this level. So the idle timeout is 30 days, too. The other settings are the
    /// defaults.
    #[must_use]
    pub fn aal1() -> Self {
        Self { idle_timeout: 30 * DAY, absolute_timeout: 30 * DAY, ..Self::default() }
    }

    /// Authentication assurance level 2 (NIST SP 800-63B-4, section 2.2.3). The user must sign in again after 24 hours,
    /// or after one hour without use. The other settings are the defaults.
    #[must_use]
    pub fn aal2() -> Self {
        Self { idle_timeout: HOUR, absolute_timeout: DAY, ..Self::default() }
    }

    /// Authentication assurance level 3 (NIST SP 800-63B-4, section 2.3.3). The user must sign in again after 12 hours,
    /// or after 15 minutes without use.
    ///
    /// Not every use is written to the record. So a session may expire less than 15 min after its last use. The
    /// difference is at most the access token's lifetime, the rotation interval and the write window together. With the
    /// defaults, this would be 10 of the 15 min. So this preset uses shorter values: 2 min, 2 min and 30 s. The grace
    /// period is 40 s. The other settings are the defaults.
    #[must_use]
    pub fn aal3() -> Self {
        Self {
            access_ttl: 2 * MINUTE,
            idle_timeout: 15 * MINUTE,
            absolute_timeout: 12 * HOUR,
            renew_before: None,
            grace: Duration::from_secs(40),
            crash_window: Duration::from_secs(35),
            late_body: Duration::from_secs(10 * 60),
            write_window: Duration::from_secs(30),
            rotation_interval: 2 * MINUTE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Policy;

    #[test]
    fn the_presets_are_accepted() {
        for timing in [Timing::aal1(), Timing::aal2(), Timing::aal3()] {
            assert!(Policy::new(timing).is_ok(), "{timing:?}");
        }
    }
}
