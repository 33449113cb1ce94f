//! Decides what to do with a presented refresh token.

use super::Family;
use crate::time::Timestamp;

/// A request that presents a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PresentedToken {
    /// The generation of the token.
    pub generation: u64,
    /// Whether the request has a body. Proxies that buffer bodies deliver such requests minutes late, so
    /// a late predecessor with a body is refused first, and treated as reuse only later.
    pub with_body: bool,
}

/// What to do with a presented refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshDecision {
    /// It is of the current generation, which was handed out so long ago that the client cannot send an
    /// older one: confirm it, and mint an access token for it.
    Confirm,
    /// Too early to confirm or to rotate: mint an access token for the current generation.
    Reissue,
    /// A rotation is due. The engine asks the store to rotate before it decides, so it only gets this decision if the
    /// store judged by another clock.
    Rotate,
    /// The predecessor of a generation that is unconfirmed, or was confirmed at most one grace period
    /// ago. Served as the current generation, after the [hand-out is recorded](Family::record_handout).
    ServePredecessor,
    /// The token is ahead of the store, which lost a write: catch up with it.
    FastForward,
    /// Refresh token reuse: revoke the session.
    Reuse,
    /// Refused, with nothing to write.
    Refuse(Refusal),
}

/// Why a session is not served. For operators: do not show it to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no refresh token.
    NoToken,
    /// The refresh or bearer token is invalid, or the cookies have tokens of two sessions.
    BadToken,
    /// Past the idle or the absolute timeout; for a bearer token, past its own lifetime.
    Expired,
    /// The store knows no such session.
    Unknown,
    /// The session has another run ID than the store.
    OtherRunId,
    /// The session was revoked.
    Revoked,
    /// Refresh token reuse. The session was revoked, unless the application keeps such sessions.
    Reuse,
    /// The predecessor of the current refresh token came with a request body, which may be late. The
    /// session is not revoked.
    LateBody,
    /// The session's claims changed after the access token was minted, and there is no refresh token to
    /// renew it with.
    StaleClaims,
    /// The claims in the session's record cannot be read as the application's type.
    UnreadableClaims,
    /// The request is cross-site, and cross-site requests do not renew.
    CrossSite,
    /// The claims reload hook revoked the session.
    RevokedByApplication,
    /// The session is used from another origin, and
    /// [`compare_origin`](crate::SessionsBuilder::compare_origin) refused the request.
    OriginRefused,
    /// The session is bound to a device, and the request had no proof of the device's key. The session is not revoked.
    DeviceProofRequired,
    /// The session is not bound to a device, and has to be by now: `DeviceBound::required_within`.
    DeviceNotBound,
}

/// Judges a refresh token by the session's record: the table of the [module](super).
///
/// The caller has checked that the store has the session and that the run ID matches. A confirmation "in the
/// future", by a clock that is ahead, counts as a confirmation now. All durations are those of the record.
#[must_use]
pub fn decide_refresh(presented: PresentedToken, family: &Family, now: Timestamp) -> RefreshDecision {
    if family.revoked {
        return RefreshDecision::Refuse(Refusal::Revoked);
    }
    if !family.is_live(now) {
        return RefreshDecision::Refuse(Refusal::Expired);
    }
    let timing = &family.timing;
    let PresentedToken { generation, with_body } = presented;
    let confirmed_for = family.confirmed_at.map(|at| now.since(at));
    match (family.generation.checked_sub(generation), confirmed_for) {
        (None, _) => RefreshDecision::FastForward,
        (Some(0), None) if timing.confirms_by_refresh(family.handed_out_at, with_body, now) => {
            RefreshDecision::Confirm
        }
        (Some(0), Some(age)) if age >= timing.rotation_interval => RefreshDecision::Rotate,
        (Some(0), _) => RefreshDecision::Reissue,
        (Some(1), None) => RefreshDecision::ServePredecessor,
        (Some(1), Some(age)) if age <= timing.grace => RefreshDecision::ServePredecessor,
        (Some(1), Some(age)) if with_body && age - timing.grace <= timing.late_body => {
            RefreshDecision::Refuse(Refusal::LateBody)
        }
        (Some(_), _) => RefreshDecision::Reuse,
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
            handed_out_at: NOW - secs(offered),
            confirmed_at: confirmed.map(|ago| NOW - secs(ago)),
            ..Family::begin(NOW, secs(7200), secs(86400))
        }
    }

    fn table(presented: u64, generation: u64, confirmed: Option<u64>) -> RefreshDecision {
        let presented = PresentedToken { generation: presented, with_body: false };
        decide_refresh(presented, &family(generation, 0, confirmed), NOW)
    }

    #[test]
    fn each_row_of_the_table_gives_its_answer() {
        assert_eq!(table(3, 3, None), RefreshDecision::Reissue);
        assert_eq!(table(3, 3, Some(0)), RefreshDecision::Reissue);
        assert_eq!(table(3, 3, Some(239)), RefreshDecision::Reissue);
        assert_eq!(table(3, 3, Some(240)), RefreshDecision::Rotate);
        assert_eq!(table(2, 3, None), RefreshDecision::ServePredecessor);
        assert_eq!(table(2, 3, Some(45)), RefreshDecision::ServePredecessor);
        assert_eq!(table(2, 3, Some(46)), RefreshDecision::Reuse);
        assert_eq!(table(1, 3, None), RefreshDecision::Reuse);
        assert_eq!(table(4, 3, Some(9)), RefreshDecision::FastForward);
        assert_eq!(table(u64::MAX, 0, None), RefreshDecision::FastForward);
        assert_eq!(table(0, u64::MAX, None), RefreshDecision::Reuse);
    }

    #[test]
    fn a_refresh_token_confirms_once_it_was_handed_out_long_enough_ago() {
        let asked = |offered, with_body| {
            decide_refresh(PresentedToken { generation: 3, with_body }, &family(3, offered, None), NOW)
        };
        // 45 + 60 + 35 + 2 * 45 s, and the lateness of a body.
        assert_eq!(asked(229, false), RefreshDecision::Reissue);
        assert_eq!(asked(230, false), RefreshDecision::Confirm);
        assert_eq!(asked(829, true), RefreshDecision::Reissue);
        assert_eq!(asked(830, true), RefreshDecision::Confirm);
    }

    #[test]
    fn without_a_crash_window_the_first_request_confirms() {
        for with_body in [false, true] {
            let mut family = family(3, 0, None);
            family.timing.crash_window = Duration::ZERO;
            assert_eq!(
                decide_refresh(PresentedToken { generation: 3, with_body }, &family, NOW),
                RefreshDecision::Confirm
            );
        }
    }

    #[test]
    fn the_predecessor_with_a_body_is_refused_without_alarm_for_a_while() {
        let late = |presented, confirmed| {
            let presented = PresentedToken { generation: presented, with_body: true };
            decide_refresh(presented, &family(5, 0, confirmed), NOW)
        };
        assert_eq!(late(4, Some(45)), RefreshDecision::ServePredecessor);
        assert_eq!(late(4, Some(46)), RefreshDecision::Refuse(Refusal::LateBody));
        assert_eq!(late(4, Some(645)), RefreshDecision::Refuse(Refusal::LateBody));
        assert_eq!(late(4, Some(646)), RefreshDecision::Reuse);
        assert_eq!(late(3, Some(0)), RefreshDecision::Reuse);
        assert_eq!(late(3, None), RefreshDecision::Reuse);
    }

    #[test]
    fn rotation_uses_the_settings_of_the_record() {
        let mut family = family(3, 0, Some(100));
        family.timing.grace = secs(100);
        assert_eq!(
            decide_refresh(PresentedToken { generation: 2, with_body: false }, &family, NOW),
            RefreshDecision::ServePredecessor
        );
        family.timing.rotation_interval = secs(100);
        assert_eq!(
            decide_refresh(PresentedToken { generation: 3, with_body: false }, &family, NOW),
            RefreshDecision::Rotate
        );
    }

    #[test]
    fn a_revoked_or_expired_session_is_refused_for_any_generation() {
        let family = Family::begin(NOW, secs(7200), secs(86400));
        let ahead = PresentedToken { generation: 9, with_body: false };
        let idle = NOW + secs(7200);
        assert_eq!(decide_refresh(ahead, &family, idle), RefreshDecision::Refuse(Refusal::Expired));
        let revoked = Family { revoked: true, ..family };
        assert_eq!(decide_refresh(ahead, &revoked, idle), RefreshDecision::Refuse(Refusal::Revoked));
    }
}
