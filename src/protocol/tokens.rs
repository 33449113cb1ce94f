//! Which tokens a client without cookies gets.

use super::{CookieDecision, Family, ResponseState, decide_cookies};
use crate::time::Timestamp;

/// The tokens of a response to a client without cookies, which uses the tokens of every response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenDecision {
    /// None: it is too late for any, or the session ended meanwhile. The client asks again.
    Nothing,
    /// An access token. The client keeps the refresh token that it presented (RFC 6749, section 6, lets a response leave
    /// it out), since another response may have a newer one.
    AccessOnly,
    /// Both.
    Both,
}

/// Decides about the tokens when an exchange is answered, for a session that was at `family` when
/// it was read at `read_at`.
///
/// It is [`decide_cookies`] with one difference: clients expect a refresh token in every response, so the
/// presented one is repeated **if no rotation can happen before the response arrives**: until `now + G` is
/// `M` after the confirmation. Later, it could overwrite its own successor.
///
/// Another instance may have confirmed the generation and not written it yet, so an unconfirmed one counts as confirmed
/// one grace period before the record was read. This needs one more assumption than the proof of the [module](super):
/// **a confirmation is written within `D`, or never**.
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
    fn a_newer_refresh_token_always_goes_out() {
        for confirmed in [None, Some(0), Some(45), Some(9999)] {
            assert_eq!(exchanged(4, confirmed, secs(60)), TokenDecision::Both);
        }
    }

    #[test]
    fn the_presented_one_is_repeated_while_the_answer_arrives_before_any_rotation() {
        assert_eq!(exchanged(5, Some(0), secs(60)), TokenDecision::Both);
        assert_eq!(exchanged(5, Some(194), secs(0)), TokenDecision::Both);
        assert_eq!(exchanged(5, Some(194), Duration::from_millis(999)), TokenDecision::Both);
        assert_eq!(exchanged(5, Some(194), secs(1)), TokenDecision::AccessOnly);
        assert_eq!(exchanged(5, Some(195), secs(0)), TokenDecision::AccessOnly);
    }

    #[test]
    fn one_that_is_not_known_to_be_confirmed_is_repeated_within_the_write_window() {
        assert_eq!(exchanged(5, None, secs(0)), TokenDecision::Both);
        assert_eq!(exchanged(5, None, secs(60)), TokenDecision::Both);
    }

    #[test]
    fn one_that_was_read_for_an_earlier_request_may_have_been_confirmed_a_grace_before_that() {
        // 240 - 45 - 45 = 150 s after it was read, that is.
        let read_ago = |ago| answer(&response(5), None, ARRIVED - secs(ago), ARRIVED);
        assert_eq!(read_ago(149), TokenDecision::Both);
        assert_eq!(read_ago(150), TokenDecision::AccessOnly);
    }

    #[test]
    fn nothing_goes_out_after_the_write_window_or_the_end_of_the_session() {
        for presented in [4, 5] {
            assert_eq!(exchanged(presented, Some(0), secs(61)), TokenDecision::Nothing);
            let ended = ResponseState { status: SessionStatus::Revoked, ..response(presented) };
            assert_eq!(answer(&ended, Some(0), ARRIVED, ARRIVED), TokenDecision::Nothing);
        }
    }
}
