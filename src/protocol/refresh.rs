//! Decides what to do with a presented refresh token.

use super::Family;
use crate::time::Timestamp;

/// A request that presents a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PresentedToken {
    /// The generation of the token.
    pub generation: u64,
    /// Whether the request has a body. A proxy that buffers bodies may deliver such a request minutes late. So if such
    /// a request presents the predecessor shortly after the grace period, this is not reuse: see [`Refusal::LateBody`].
    pub with_body: bool,
}

/// What to do with a presented refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshDecision {
    /// Confirm the current generation, and mint an access token of the current generation. The presented token is of
    /// the current generation. With a crash window, the hand-out was so long ago that the client cannot send an older
    /// token any more.
    Confirm,
    /// Mint an access token of the current generation. The presented token is of the current generation. It is too
    /// early to confirm or to rotate this generation.
    Reissue,
    /// Rotate to the next generation. The presented token is of the current generation.
    ///
    /// A renewal asks the store to rotate before it calls [`decide_refresh`]. So a renewal gets this decision only if
    /// the store refused the rotation as too early, for example by the store's own clock. Then the renewal treats this
    /// decision as `Reissue`. Passive requests (which do not count as use of the session) and introspection never
    /// rotate, and also treat this decision as `Reissue`.
    Rotate,
    /// Serve the request, and hand out the tokens of the current generation. First, [record the
    /// hand-out](Family::record_handout). The presented token is the predecessor. The current generation is
    /// provisional, or was confirmed at most one grace period ago.
    ServePredecessor,
    /// Set the record to the generation of the presented token. This generation is newer than the record's generation,
    /// so the store has lost a write.
    FastForward,
    /// Refresh token reuse: by default, revoke the session.
    Reuse,
    /// Refuse the request, and write nothing to the store.
    Refuse(Refusal),
}

/// Why a request is not served with a session. This reason is for operators. Do not show the reason to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// The request has no refresh token. On a service that only verifies tokens: the request has no access token.
    NoToken,
    /// One of these cases:
    /// - The refresh token or the bearer token is invalid.
    /// - The cookies have tokens of more than one session, and the layer cannot tell which session to use.
    /// - There are too many cookies with the names of the session's cookies, or the request has more than 64 KB of
    ///   cookies.
    /// - The refresh token has a valid signature, but the times in the refresh token differ from the times in the
    ///   session's record. Only this case leads to an event with this reason.
    BadToken,
    /// The session is past its idle timeout or its absolute timeout, or the bearer token has expired.
    Expired,
    /// The store has no record of the session.
    Unknown,
    /// The run ID in the token differs from the run ID of the store.
    OtherRunId,
    /// The session was revoked.
    Revoked,
    /// Refresh token reuse. The session was revoked, unless the application [keeps such
    /// sessions](crate::SessionsBuilder::keep_session_on_reuse_at_recorded_origin).
    Reuse,
    /// A request with a body presented the predecessor after the grace period, but within
    /// [`late_body`](crate::protocol::Timing#structfield.late_body). A proxy may have delayed the request, so the
    /// session is not revoked.
    LateBody,
    /// The session's claims changed after the access token was minted, and the request has no refresh token for a
    /// renewal.
    StaleClaims,
    /// The claims in the session's record cannot be deserialized into the application's type.
    UnreadableClaims,
    /// The request needs a renewal, but the request is cross-site, or a preflight, or has two `Sec-Fetch-Site` headers.
    /// A cross-site request renews only if it is a navigation by a link, if it loads a frame in a page of a [trusted
    /// parent](crate::CookieOptions::trusted_parent), or if it comes from a trusted origin.
    CrossSite,
    /// The claims reload hook revoked the session.
    RevokedByApplication,
    /// The function of [`compare_origin`](crate::SessionsBuilder::compare_origin) refused the request, because of the
    /// client's origin.
    OriginRefused,
    /// The session is bound to a key of the client's device, and the request had no proof of this key. The session is
    /// not revoked.
    DeviceProofRequired,
    /// The session was not bound to a device in the time that `DeviceBound::required_within` allows.
    DeviceNotBound,
}

/// Judges a refresh token by the session's record. The [table](super#how-a-refresh-token-is-judged) of the module lists
/// the rules.
///
/// The caller must first check that the store has the record, and that the token has the store's run ID. All durations
/// are from the record. If a clock was ahead, the confirmation time may be later than `now`. Then the current
/// generation counts as confirmed now.
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
    let generations_behind = family.generation.checked_sub(generation);
    let since_confirmation = family.confirmed_at.map(|at| now.since(at));
    match (generations_behind, since_confirmation) {
        (None, _) => RefreshDecision::FastForward,
        (Some(0), None) if timing.confirms_by_refresh(family.handed_out_at, with_body, now) => {
            RefreshDecision::Confirm
        }
        (Some(0), Some(since)) if since >= timing.rotation_interval => RefreshDecision::Rotate,
        (Some(0), _) => RefreshDecision::Reissue,
        (Some(1), None) => RefreshDecision::ServePredecessor,
        (Some(1), Some(since)) if since <= timing.grace => RefreshDecision::ServePredecessor,
        (Some(1), Some(since)) if with_body && since - timing.grace <= timing.late_body => {
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

    /// A family with the default settings: `G` = 45 s, `W` = 60 s, `C` = 35 s, `L` = 600 s, `M` = 240 s. `handed_out`
    /// and `confirmed` are the seconds since the hand-out and since the confirmation.
    fn family(generation: u64, handed_out: u64, confirmed: Option<u64>) -> Family {
        Family {
            generation,
            handed_out_at: NOW - secs(handed_out),
            confirmed_at: confirmed.map(|ago| NOW - secs(ago)),
            ..Family::begin(NOW, secs(7200), secs(86400))
        }
    }

    fn decided(presented: u64, generation: u64, confirmed: Option<u64>) -> RefreshDecision {
        let presented = PresentedToken { generation: presented, with_body: false };
        decide_refresh(presented, &family(generation, 0, confirmed), NOW)
    }

    #[test]
    fn each_row_of_the_table_gives_its_answer() {
        assert_eq!(decided(3, 3, None), RefreshDecision::Reissue);
        assert_eq!(decided(3, 3, Some(0)), RefreshDecision::Reissue);
        assert_eq!(decided(3, 3, Some(239)), RefreshDecision::Reissue);
        assert_eq!(decided(3, 3, Some(240)), RefreshDecision::Rotate);
        assert_eq!(decided(2, 3, None), RefreshDecision::ServePredecessor);
        assert_eq!(decided(2, 3, Some(45)), RefreshDecision::ServePredecessor);
        assert_eq!(decided(2, 3, Some(46)), RefreshDecision::Reuse);
        assert_eq!(decided(1, 3, None), RefreshDecision::Reuse);
        assert_eq!(decided(4, 3, Some(9)), RefreshDecision::FastForward);
        assert_eq!(decided(u64::MAX, 0, None), RefreshDecision::FastForward);
        assert_eq!(decided(0, u64::MAX, None), RefreshDecision::Reuse);
    }

    #[test]
    fn a_refresh_token_confirms_once_it_was_handed_out_long_enough_ago() {
        let decided = |handed_out, with_body| {
            decide_refresh(PresentedToken { generation: 3, with_body }, &family(3, handed_out, None), NOW)
        };
        // 60 s + 35 s + 3 * 45 s = 230 s. With a body, 600 s more.
        assert_eq!(decided(229, false), RefreshDecision::Reissue);
        assert_eq!(decided(230, false), RefreshDecision::Confirm);
        assert_eq!(decided(829, true), RefreshDecision::Reissue);
        assert_eq!(decided(830, true), RefreshDecision::Confirm);
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
