//! Decides which tokens a client without cookies gets.

use super::{CookieDecision, Family, ResponseState, decide_cookies};
use crate::time::Timestamp;

/// The tokens of a response to a client without cookies. Such a client stores the tokens of each response, so
/// the last response to arrive wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenDecision {
    /// None: the write window is over, or the session was revoked meanwhile. The client asks again.
    Nothing,
    /// Only an access token: the presented refresh token could overwrite a newer one of another response. (RFC 6749,
    /// section 6, lets a response have no refresh token.)
    AccessOnly,
    /// An access token and a refresh token.
    Both,
}

/// Decides which tokens a response has. `family` is from the record, as it was read at `read_at`.
///
/// It is [`decide_cookies`] with one difference: clients expect a refresh token in every response. So the presented
/// one is repeated **if no rotation can happen before the response arrives**, that is while
/// `now + G < confirmed_at + M`.
///
/// If `confirmed_at` is `None`, another instance may have decided to confirm, and its write is not in the record yet.
/// So `None` is treated as: confirmed one grace period before `read_at`. This needs one more assumption than the
/// search of the [module](super): **a confirmation is written within `D`, or never**.
#[must_use]
pub fn decide_tokens(
    response: &ResponseState,
    family: &Family,
    read_at: Timestamp,
    now: Timestamp,
) -> TokenDecision {
    let timing = &family.timing;
    let confirmed_at = family.confirmed_at.unwrap_or(read_at - timing.grace);
    let rotation_due = confirmed_at + timing.rotation_interval;
    match decide_cookies(timing, response, now) {
        CookieDecision::WriteBoth => TokenDecision::Both,
        CookieDecision::WriteAccess if now + timing.grace < rotation_due => TokenDecision::Both,
        CookieDecision::WriteAccess => TokenDecision::AccessOnly,
        CookieDecision::LeaveAlone | CookieDecision::WriteRefresh => TokenDecision::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::protocol::SessionStatus;

    const ARRIVED: Timestamp = Timestamp::from_secs(1000);

    /// Served as generation 5.
    fn response(presented: u64) -> ResponseState {
        ResponseState {
            arrived: ARRIVED,
            presented,
            served: 5,
            status: SessionStatus::Valid,
            access_written: false,
            refresh_written: false,
        }
    }

    /// The defaults: G 45 s, W 60 s, M 240 s. `confirmed` is seconds before the record was read.
    fn answer(
        response: &ResponseState,
        confirmed: Option<u64>,
        read_at: Timestamp,
        now: Timestamp,
    ) -> TokenDecision {
        let family = Family {
            generation: 5,
            confirmed_at: confirmed.map(|ago| read_at - secs(ago)),
            ..Family::begin(ARRIVED, secs(7200), secs(86400))
        };
        decide_tokens(response, &family, read_at, now)
    }

    /// By a record that was read when the request arrived.
    fn exchanged(presented: u64, confirmed: Option<u64>, after: Duration) -> TokenDecision {
        answer(&response(presented), confirmed, ARRIVED, ARRIVED + after)
    }

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn newer_refresh_token_is_always_sent() {
        for confirmed in [None, Some(0), Some(45), Some(9999)] {
            assert_eq!(exchanged(4, confirmed, secs(60)), TokenDecision::Both);
        }
    }

    #[test]
    fn presented_refresh_token_is_repeated_if_the_response_arrives_before_any_rotation() {
        assert_eq!(exchanged(5, Some(0), secs(60)), TokenDecision::Both);
        assert_eq!(exchanged(5, Some(194), secs(0)), TokenDecision::Both);
        assert_eq!(exchanged(5, Some(194), Duration::from_millis(999)), TokenDecision::Both);
        assert_eq!(exchanged(5, Some(194), secs(1)), TokenDecision::AccessOnly);
        assert_eq!(exchanged(5, Some(195), secs(0)), TokenDecision::AccessOnly);
    }

    #[test]
    fn unconfirmed_refresh_token_is_repeated_within_the_write_window() {
        assert_eq!(exchanged(5, None, secs(0)), TokenDecision::Both);
        assert_eq!(exchanged(5, None, secs(60)), TokenDecision::Both);
    }

    #[test]
    fn unconfirmed_refresh_token_counts_as_confirmed_one_grace_period_before_the_record_was_read() {
        // The last time is 240 - 45 - 45 = 150 s after the record was read.
        let read_ago = |ago| answer(&response(5), None, ARRIVED - secs(ago), ARRIVED);
        assert_eq!(read_ago(149), TokenDecision::Both);
        assert_eq!(read_ago(150), TokenDecision::AccessOnly);
    }

    #[test]
    fn no_tokens_are_sent_after_the_write_window_or_a_revocation() {
        for presented in [4, 5] {
            assert_eq!(exchanged(presented, Some(0), secs(61)), TokenDecision::Nothing);
            let ended = ResponseState { status: SessionStatus::Revoked, ..response(presented) };
            assert_eq!(answer(&ended, Some(0), ARRIVED, ARRIVED), TokenDecision::Nothing);
        }
    }
}
