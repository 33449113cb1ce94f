//! Decides which cookies a response sets.

use super::{RotationTiming, SessionStatus};
use crate::time::Timestamp;

/// What is known of a renewed request when its response headers are sent.
#[derive(Clone, Copy, Debug)]
pub struct ResponseState {
    /// When the request arrived, or when its record was read if that was earlier: a shared renewal may have read it
    /// for another request. The write window counts from this time.
    pub arrived: Timestamp,
    /// The generation of the refresh token that the request presented.
    pub presented: u64,
    /// The generation of the tokens that the response may set: the current one, when the record was read.
    pub served: u64,
    /// The status of the session now, as far as this instance knows.
    pub status: SessionStatus,
    /// Whether the handler wrote the access cookie itself.
    pub access_written: bool,
    /// Whether the handler wrote the refresh cookie itself: it signed in or out.
    pub refresh_written: bool,
}

/// The cookies that the layer adds to a response. The layer never removes a cookie of the session; only a sign-out does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieDecision {
    /// No cookie. This is always safe: the client keeps its tokens, and the successor stays unconfirmed.
    LeaveAlone,
    /// An access token of the served generation, which is the presented one.
    WriteAccess,
    /// The refresh token of the served generation, which is newer than the presented one. The handler wrote the
    /// access cookie.
    WriteRefresh,
    /// Both tokens of the served generation, which is newer than the presented one.
    WriteBoth,
}

/// Decides which cookies the response to a renewed request sets. `timing` is from the session's record.
///
/// The refresh token is sent **only if its generation is newer than the presented one**. An access token of a
/// newer generation is never sent without it: with the access token alone, the browser would confirm a generation
/// whose refresh token it does not have.
#[must_use]
pub fn decide_cookies(timing: &RotationTiming, response: &ResponseState, now: Timestamp) -> CookieDecision {
    let too_late = now.since(response.arrived) > timing.write_window;
    let may_write = match response.status {
        SessionStatus::Valid => true,
        SessionStatus::OtherRunId | SessionStatus::Revoked => false,
        // Do not send outdated claims. If the handler wrote the access cookie, its claims are new. A refresh token
        // has no claims.
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

    const ARRIVED: Timestamp = Timestamp::from_secs(1000);

    fn decision_for(change: impl FnOnce(&mut ResponseState), after: u64) -> CookieDecision {
        let mut response = ResponseState {
            arrived: ARRIVED,
            presented: 4,
            served: 5,
            status: SessionStatus::Valid,
            access_written: false,
            refresh_written: false,
        };
        change(&mut response);
        decide_cookies(&RotationTiming::default(), &response, Timestamp::from_secs(1000 + after))
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
