//! Decides about one request: whether its access token is accepted, and which cookies its response sets.

use super::{Policy, RotationTiming};
use crate::{id::SessionId, time::Timestamp};

/// How far the `iat` and the `nbf` of an access token may be in the future.
pub(crate) const LEEWAY: std::time::Duration = std::time::Duration::from_secs(5);

/// The times and the session ID in a verified access token.
#[derive(Clone, Copy, Debug)]
pub struct AccessTokenTimes {
    /// The session ID.
    pub session: SessionId,
    /// `iat`: when the token was issued.
    pub issued: Timestamp,
    /// `nbf`: the token is not valid before this time. `None` if the token has no `nbf`.
    pub not_before: Option<Timestamp>,
    /// `exp`: when the token expires. No leeway is added to this time, because an expired token is renewed.
    pub expires: Timestamp,
}

/// What this instance knows about a token's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionStatus {
    /// This instance knows no reason to refuse the session.
    Valid,
    /// The token has another [run ID](crate::Sessions::revoke_everything) than the store, or this instance does not
    /// know the store's run ID yet. All sessions of an older run ID are invalid.
    OtherRunId,
    /// The session is on the denylist.
    Revoked,
    /// The session's claims changed after the token was minted.
    Stale,
}

/// What to do with a request's access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessDecision {
    /// Accept the token.
    Accept,
    /// The token expires soon. Renew the session. If a renewal is not possible now, accept the token.
    AcceptOrRenew,
    /// Do not use the token. The refresh token decides.
    Renew,
}

/// Decides whether a verified access token is accepted. `access` is `None` if the request has no usable access token.
#[must_use]
pub fn decide_access(
    policy: &Policy,
    access: Option<&AccessTokenTimes>,
    status: SessionStatus,
    now: Timestamp,
) -> AccessDecision {
    let Some(access) = access else { return AccessDecision::Renew };
    match status {
        SessionStatus::Valid => {}
        SessionStatus::OtherRunId | SessionStatus::Revoked | SessionStatus::Stale => {
            return AccessDecision::Renew;
        }
    }
    let is_from_the_future =
        access.issued > now + LEEWAY || access.not_before.is_some_and(|at| at > now + LEEWAY);
    if now >= access.expires || is_from_the_future {
        AccessDecision::Renew
    } else if now >= policy.renew_early_from(&access.session, access.expires) {
        AccessDecision::AcceptOrRenew
    } else {
        AccessDecision::Accept
    }
}

/// The state of a request that renewed its session, when its response headers are sent.
#[derive(Clone, Copy, Debug)]
pub struct ResponseState {
    /// The start of the write window: the arrival of the request, or the read of the record, if the read was earlier.
    ///
    /// The read may be earlier than the arrival, because parallel requests share one read of the record. The engine
    /// measures the time since the arrival with the monotonic clock, and computes the arrival as `now` minus this time.
    pub write_window_start: Timestamp,
    /// The generation of the refresh token that the request presented.
    pub presented: u64,
    /// The generation of the tokens that the response may set: the current generation of the record that the store
    /// returned. If the renewal rotated, this is the generation after the rotation.
    pub served: u64,
    /// What this instance knows about the session now.
    pub status: SessionStatus,
    /// Whether the handler wrote the access cookie itself.
    pub access_written: bool,
    /// Whether the handler wrote the refresh cookie itself, by a sign-in or a sign-out.
    pub refresh_written: bool,
}

/// The cookies that the layer adds to a response. The layer never removes a cookie of the session. Only a sign-out
/// removes these cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieDecision {
    /// No cookie. This is always safe: the client keeps the cookies that it has, or gets those of the handler. Valid
    /// tokens stay valid.
    LeaveAlone,
    /// The access cookie. The served generation is the presented generation.
    WriteAccess,
    /// The refresh cookie. The served generation is newer than the presented generation. The handler already wrote the
    /// access cookie.
    WriteRefresh,
    /// The access cookie and the refresh cookie. The served generation is newer than the presented generation.
    WriteBoth,
}

/// Decides which cookies the response sets, if the request renewed its session. `timing` is from the session's record.
/// If this instance's own write window is shorter, the caller has put it into `timing`.
///
/// The refresh cookie is set **only if the served generation is newer than the presented generation**.
///
/// An access token of a newer generation is never sent without the refresh token of this generation. With the access
/// token alone, the browser would confirm a generation, but would not have the refresh token of this generation.
#[must_use]
pub fn decide_cookies(timing: &RotationTiming, response: &ResponseState, now: Timestamp) -> CookieDecision {
    let too_late = now.since(response.write_window_start) > timing.write_window;
    let may_write = match response.status {
        SessionStatus::Valid => true,
        SessionStatus::OtherRunId | SessionStatus::Revoked => false,
        // The access token of this renewal has outdated claims, so it is not sent. If the handler wrote the access
        // cookie, the cookie has the new claims. Then the refresh cookie may be set, because it contains no claims.
        SessionStatus::Stale => response.access_written,
    };
    if response.refresh_written || !may_write || too_late {
        return CookieDecision::LeaveAlone;
    }
    match (response.served > response.presented, response.access_written) {
        (true, false) => CookieDecision::WriteBoth,
        (true, true) => CookieDecision::WriteRefresh,
        (false, false) => CookieDecision::WriteAccess,
        (false, true) => CookieDecision::LeaveAlone,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Timing;

    fn decided(now: u64, status: SessionStatus) -> AccessDecision {
        let policy = Policy::new(Timing::default()).expect("the defaults hold");
        let access = AccessTokenTimes {
            session: SessionId::from_bytes([0; 32]),
            issued: Timestamp::from_secs(1000),
            not_before: None,
            expires: Timestamp::from_secs(1300),
        };
        decide_access(&policy, Some(&access), status, Timestamp::from_secs(now))
    }

    #[test]
    fn a_token_is_admitted_then_renewed_early_then_renewed() {
        assert_eq!(decided(1000, SessionStatus::Valid), AccessDecision::Accept);
        assert_eq!(decided(1239, SessionStatus::Valid), AccessDecision::Accept);
        assert_eq!(decided(1240, SessionStatus::Valid), AccessDecision::AcceptOrRenew);
        assert_eq!(decided(1299, SessionStatus::Valid), AccessDecision::AcceptOrRenew);
        assert_eq!(decided(1300, SessionStatus::Valid), AccessDecision::Renew);
    }

    #[test]
    fn token_from_the_future_beyond_the_leeway_is_renewed() {
        assert_eq!(decided(995, SessionStatus::Valid), AccessDecision::Accept);
        assert_eq!(decided(994, SessionStatus::Valid), AccessDecision::Renew);
        assert_eq!(decided(0, SessionStatus::Valid), AccessDecision::Renew);
        assert_eq!(decided(u64::MAX, SessionStatus::Valid), AccessDecision::Renew);
    }

    #[test]
    fn token_of_a_revoked_stale_or_other_session_is_renewed() {
        for status in [SessionStatus::OtherRunId, SessionStatus::Revoked, SessionStatus::Stale] {
            assert_eq!(decided(1000, status), AccessDecision::Renew);
        }
    }

    const ARRIVED: Timestamp = Timestamp::from_secs(1000);

    fn decision_for(change: impl FnOnce(&mut ResponseState), seconds_later: u64) -> CookieDecision {
        let mut response = ResponseState {
            write_window_start: ARRIVED,
            presented: 4,
            served: 5,
            status: SessionStatus::Valid,
            access_written: false,
            refresh_written: false,
        };
        change(&mut response);
        decide_cookies(&RotationTiming::default(), &response, Timestamp::from_secs(1000 + seconds_later))
    }

    #[test]
    fn the_refresh_token_is_written_only_when_it_is_newer_than_the_presented_one() {
        assert_eq!(decision_for(|_| (), 0), CookieDecision::WriteBoth);
        assert_eq!(decision_for(|d| d.served = 4, 0), CookieDecision::WriteAccess);
    }

    #[test]
    fn nothing_is_written_after_the_write_window() {
        assert_eq!(decision_for(|_| (), 60), CookieDecision::WriteBoth);
        assert_eq!(decision_for(|_| (), 61), CookieDecision::LeaveAlone);
    }

    #[test]
    fn cookies_of_the_handler_are_not_overwritten() {
        assert_eq!(decision_for(|d| d.refresh_written = true, 0), CookieDecision::LeaveAlone);
        assert_eq!(decision_for(|d| d.access_written = true, 0), CookieDecision::WriteRefresh);
        assert_eq!(decision_for(|d| (d.access_written, d.served) = (true, 4), 0), CookieDecision::LeaveAlone);
    }

    #[test]
    fn revoked_session_gets_no_cookies() {
        for status in [SessionStatus::Revoked, SessionStatus::OtherRunId] {
            assert_eq!(decision_for(|d| d.status = status, 0), CookieDecision::LeaveAlone);
            assert_eq!(
                decision_for(|d| (d.status, d.access_written) = (status, true), 0),
                CookieDecision::LeaveAlone
            );
        }
    }

    #[test]
    fn stale_claims_are_not_sent_but_a_refresh_token_beside_new_claims_is() {
        let stale = |written, served| {
            decision_for(
                |d| (d.status, d.access_written, d.served) = (SessionStatus::Stale, written, served),
                0,
            )
        };
        assert_eq!(stale(false, 5), CookieDecision::LeaveAlone);
        assert_eq!(stale(true, 5), CookieDecision::WriteRefresh);
        assert_eq!(stale(true, 4), CookieDecision::LeaveAlone);
    }
}
