//! What a renewal's refresh token is answered with.

use super::Family;
use crate::time::Timestamp;

/// What a request presented, as far as the protocol cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Presented {
    /// The generation of its refresh token.
    pub generation: u64,
    /// Whether the request has a body. Proxies that buffer bodies deliver such requests minutes
    /// late, so the predecessor with one is refused for a while before it is taken for reuse.
    pub with_body: bool,
}

/// The protocol's answer to a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The current generation, handed out so long ago that no older one can come any more: confirm
    /// it, and mint an access token for it.
    Confirm,
    /// Too early to confirm or to rotate: mint an access token for the current generation.
    Reissue,
    /// Rotate by compare-and-set. A request that loses the race reads the table again.
    Advance,
    /// The predecessor of a generation that was not confirmed more than a grace ago: served as the
    /// current one, once the record knows that it is [handed out again](Family::offer).
    Replay,
    /// The token is ahead of the store, which lost a write: catch up with it.
    FastForward,
    /// Refresh token reuse: revoke the session.
    Reuse,
    /// Refused, with nothing to write.
    Refuse(Refusal),
}

/// Why a session is not served. For operators; the caller never learns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no refresh token.
    NoToken,
    /// The refresh token is invalid, or there are two different ones.
    BadToken,
    /// Past the idle or the absolute timeout; for a bearer token, past its own lifetime.
    Expired,
    /// The store knows no such session.
    Unknown,
    /// The session has an older run ID.
    OtherRun,
    /// The session was revoked.
    Denylisted,
    /// Refresh token reuse: the session was revoked.
    Reuse,
    /// The access token's claims are out of date.
    Stale,
    /// The session's claims changed after the access token was minted, and there is no refresh token to
    /// renew it with.
    StaleClaims,
    /// The session's claims no longer parse.
    Claims,
    /// The request is cross-site, and those do not renew.
    CrossSite,
    /// The claims reload hook revoked the session.
    Application,
    /// The session is used from another origin, and `compare_origin` refused it.
    Origin,
}

/// The table of the [module](super): judges a refresh token by the session's record.
///
/// Whether the session is known and of this run was settled before. A confirmation "in the
/// future", by a clock that is ahead, counts as a confirmation now. All durations are those of the
/// record.
#[must_use]
pub fn rotate(presented: Presented, family: &Family, now: Timestamp) -> Rotation {
    if family.revoked {
        return Rotation::Refuse(Refusal::Denylisted);
    }
    if !family.is_live(now) {
        return Rotation::Refuse(Refusal::Expired);
    }
    let timing = &family.timing;
    let Presented { generation, with_body } = presented;
    let confirmed_for = family.confirmed_at.map(|at| now.since(at));
    match (family.generation.checked_sub(generation), confirmed_for) {
        (None, _) => Rotation::FastForward,
        (Some(0), None) if timing.confirms_by_refresh(family.offered_at, with_body, now) => Rotation::Confirm,
        (Some(0), Some(age)) if age >= timing.rotation_interval => Rotation::Advance,
        (Some(0), _) => Rotation::Reissue,
        (Some(1), None) => Rotation::Replay,
        (Some(1), Some(age)) if age <= timing.grace => Rotation::Replay,
        (Some(1), Some(age)) if with_body && age - timing.grace <= timing.late_body => {
            Rotation::Refuse(Refusal::Stale)
        }
        (Some(_), _) => Rotation::Reuse,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_000_000);

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// The defaults: G 45 s, W 60 s, C 35 s, L 600 s, M 240 s. The times are seconds ago.
    fn family(generation: u64, offered: u64, confirmed: Option<u64>) -> Family {
        Family {
            generation,
            offered_at: NOW - secs(offered),
            confirmed_at: confirmed.map(|ago| NOW - secs(ago)),
            ..Family::begin(NOW, secs(7200), secs(86400))
        }
    }

    fn table(presented: u64, generation: u64, confirmed: Option<u64>) -> Rotation {
        let presented = Presented { generation: presented, with_body: false };
        rotate(presented, &family(generation, 0, confirmed), NOW)
    }

    #[test]
    fn every_row_of_the_table() {
        assert_eq!(table(3, 3, None), Rotation::Reissue);
        assert_eq!(table(3, 3, Some(0)), Rotation::Reissue);
        assert_eq!(table(3, 3, Some(239)), Rotation::Reissue);
        assert_eq!(table(3, 3, Some(240)), Rotation::Advance);
        assert_eq!(table(2, 3, None), Rotation::Replay);
        assert_eq!(table(2, 3, Some(45)), Rotation::Replay);
        assert_eq!(table(2, 3, Some(46)), Rotation::Reuse);
        assert_eq!(table(1, 3, None), Rotation::Reuse);
        assert_eq!(table(4, 3, Some(9)), Rotation::FastForward);
        assert_eq!(table(u64::MAX, 0, None), Rotation::FastForward);
        assert_eq!(table(0, u64::MAX, None), Rotation::Reuse);
    }

    #[test]
    fn a_refresh_token_confirms_once_it_was_handed_out_long_enough_ago() {
        let asked = |offered, with_body| {
            rotate(Presented { generation: 3, with_body }, &family(3, offered, None), NOW)
        };
        // 45 + 60 + 35 + 2 * 45 s, and the lateness of a body.
        assert_eq!(asked(229, false), Rotation::Reissue);
        assert_eq!(asked(230, false), Rotation::Confirm);
        assert_eq!(asked(829, true), Rotation::Reissue);
        assert_eq!(asked(830, true), Rotation::Confirm);
    }

    #[test]
    fn without_a_crash_window_the_first_request_confirms() {
        for with_body in [false, true] {
            let mut family = family(3, 0, None);
            family.timing.crash_window = Duration::ZERO;
            assert_eq!(rotate(Presented { generation: 3, with_body }, &family, NOW), Rotation::Confirm);
        }
    }

    #[test]
    fn the_predecessor_with_a_body_is_refused_without_alarm_for_a_while() {
        let late = |presented, confirmed| {
            let presented = Presented { generation: presented, with_body: true };
            rotate(presented, &family(5, 0, confirmed), NOW)
        };
        assert_eq!(late(4, Some(45)), Rotation::Replay);
        assert_eq!(late(4, Some(46)), Rotation::Refuse(Refusal::Stale));
        assert_eq!(late(4, Some(645)), Rotation::Refuse(Refusal::Stale));
        assert_eq!(late(4, Some(646)), Rotation::Reuse);
        assert_eq!(late(3, Some(0)), Rotation::Reuse);
        assert_eq!(late(3, None), Rotation::Reuse);
    }

    #[test]
    fn the_records_durations_count_and_not_the_instances() {
        let mut family = family(3, 0, Some(100));
        family.timing.grace = secs(100);
        assert_eq!(rotate(Presented { generation: 2, with_body: false }, &family, NOW), Rotation::Replay);
        family.timing.rotation_interval = secs(100);
        assert_eq!(rotate(Presented { generation: 3, with_body: false }, &family, NOW), Rotation::Advance);
    }

    #[test]
    fn what_is_over_is_refused_before_anything_else() {
        let family = Family::begin(NOW, secs(7200), secs(86400));
        let ahead = Presented { generation: 9, with_body: false };
        let idle = NOW + secs(7200);
        assert_eq!(rotate(ahead, &family, idle), Rotation::Refuse(Refusal::Expired));
        let revoked = Family { revoked: true, ..family };
        assert_eq!(rotate(ahead, &revoked, idle), Rotation::Refuse(Refusal::Denylisted));
    }
}
