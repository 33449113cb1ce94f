//! Which cookies leave with a response.

use super::{RotationTiming, SessionStatus};
use crate::time::Timestamp;

/// What is known of a renewed request when the head of its response leaves.
#[derive(Clone, Copy, Debug)]
pub struct ResponseState {
    /// When the request arrived, or when the record was read that it is served by, if that was
    /// earlier.
    pub arrived: Timestamp,
    /// The generation it presented.
    pub presented: u64,
    /// The generation it was served as.
    pub served: u64,
    /// What has come to be known of its session since its record was read.
    pub status: SessionStatus,
    /// Whether the handler wrote the access cookie itself.
    pub access_written: bool,
    /// Whether the handler wrote the refresh cookie itself: it signed in or out.
    pub refresh_written: bool,
}

/// The cookies that the layer adds to a response. It never removes one; only signing out does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieDecision {
    /// None, which is always safe: an unwritten successor is an unconfirmed one.
    LeaveAlone,
    /// An access token of the served generation, which is the presented one.
    WriteAccess,
    /// The refresh token of the served generation, which is newer than the presented one; the
    /// handler wrote the access cookie.
    WriteRefresh,
    /// Both tokens of the served generation, which is newer than the presented one.
    WriteBoth,
}

/// Decides about cookies when the head of a renewed request's response leaves, by the durations of
/// the session's record.
///
/// The refresh token goes out **only if its generation is newer than the one presented**, and an
/// access token of a newer generation never goes out without it: it would confirm a generation
/// that the browser does not hold.
#[must_use]
pub fn decide_cookies(timing: &RotationTiming, response: &ResponseState, now: Timestamp) -> CookieDecision {
    let too_late = now.since(response.arrived) > timing.write_window;
    let may_write = match response.status {
        SessionStatus::Valid => true,
        SessionStatus::OtherRunId | SessionStatus::Revoked => false,
        // Old claims must not leave. Those that the handler wrote are newer; a refresh token has none.
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

    fn settled(change: impl FnOnce(&mut ResponseState), after: u64) -> CookieDecision {
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
        assert_eq!(settled(|_| (), 0), CookieDecision::WriteBoth);
        assert_eq!(settled(|d| d.served = 4, 0), CookieDecision::WriteAccess);
    }

    #[test]
    fn nothing_is_written_after_the_write_window() {
        assert_eq!(settled(|_| (), 60), CookieDecision::WriteBoth);
        assert_eq!(settled(|_| (), 61), CookieDecision::LeaveAlone);
    }

    #[test]
    fn the_handlers_word_wins() {
        assert_eq!(settled(|d| d.refresh_written = true, 0), CookieDecision::LeaveAlone);
        assert_eq!(settled(|d| d.access_written = true, 0), CookieDecision::WriteRefresh);
        assert_eq!(settled(|d| (d.access_written, d.served) = (true, 4), 0), CookieDecision::LeaveAlone);
    }

    #[test]
    fn a_session_that_ended_meanwhile_is_not_written_back() {
        for status in [SessionStatus::Revoked, SessionStatus::OtherRunId] {
            assert_eq!(settled(|d| d.status = status, 0), CookieDecision::LeaveAlone);
            assert_eq!(
                settled(|d| (d.status, d.access_written) = (status, true), 0),
                CookieDecision::LeaveAlone
            );
        }
    }

    #[test]
    fn old_claims_do_not_leave_but_the_refresh_token_does_beside_new_ones() {
        let stale = |written, served| {
            settled(|d| (d.status, d.access_written, d.served) = (SessionStatus::Stale, written, served), 0)
        };
        assert_eq!(stale(false, 5), CookieDecision::LeaveAlone);
        assert_eq!(stale(true, 5), CookieDecision::WriteRefresh);
        assert_eq!(stale(true, 4), CookieDecision::LeaveAlone);
    }
}
