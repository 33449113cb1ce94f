//! Decides which tokens a client without cookies gets.

use super::{CookieDecision, Family, ResponseState, decide_cookies};
use crate::time::Timestamp;

/// The tokens of a response to a client without cookies.
///
/// Such a client stores the tokens of each response. So the tokens of the last response to arrive replace all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenDecision {
    /// No token, because the write window is over, or because the session was revoked, its claims changed or the
    /// store's run ID changed after the record was read. The client may send the request again.
    Nothing,
    /// Only an access token. If the response repeated the presented refresh token, the client could overwrite a newer
    /// refresh token with the presented one. RFC 6749, section 6, allows a response without a refresh token.
    AccessOnly,
    /// An access token and a refresh token.
    Both,
}

/// Decides which tokens a response to a client without cookies has. `family` is from the record. If this instance's own
/// write window is shorter, the caller has put it into `family`. The record was read at `read_at`.
///
/// The decision is that of [`decide_cookies`], with one difference: a response may repeat the presented refresh token,
/// because clients expect a refresh token in every response. The presented refresh token is repeated only **if no
/// rotation can happen before the response arrives**. The response is in transit for at most `D`, and another
/// instance's clock may be ahead by `S`. Because of `D + S <= G`, that clock shows at most `now + G` when the response
/// arrives. The next rotation is due at `confirmed_at + M`. So the condition is `now + G < confirmed_at + M`. The
/// [module](super#letters) explains the letters.
///
/// For example, with the default settings, `G` is 45 s and `M` is 240 s. If the generation was confirmed at 0 s, the
/// presented refresh token is repeated until just before 195 s.
///
/// If `confirmed_at` is `None`, another instance may already have decided to confirm the generation. The confirmation
/// may not be in the record yet. This function assumes, as the search does, that **a confirmation is in the record at
/// most `D` after the arrival of the request that confirms, or never**. If the request that confirms had arrived more
/// than `D` before the read of the record, its confirmation would be in the record, or would never be written. So this
/// request arrived at most `D` before the read, or later. The other instance's clock may be behind by `S`. So the
/// confirmation time is at most `D + S` before `read_at`, and `D + S <= G`. Therefore `None` counts as a confirmation
/// at `read_at - G`. Because of `M > W + 2·G`, the presented refresh token is then repeated in the whole write window.
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
        // `WriteRefresh` does not occur: only a handler of a request with cookies writes an access cookie.
        CookieDecision::LeaveAlone | CookieDecision::WriteRefresh => TokenDecision::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::protocol::SessionStatus;

    const ARRIVED: Timestamp = Timestamp::from_secs(1000);

    /// A response that serves generation 5.
    fn response(presented: u64) -> ResponseState {
        ResponseState {
            write_window_start: ARRIVED,
            presented,
            served: 5,
            status: SessionStatus::Valid,
            access_written: false,
            refresh_written: false,
        }
    }

    /// The decision with the default settings: `G` = 45 s, `W` = 60 s, `M` = 240 s. `confirmed` is the time from the
    /// confirmation to the read of the record, in seconds.
    fn decided_by(
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

    /// The decision `after` the arrival of the request. The record was read at the arrival.
    fn decided(presented: u64, confirmed: Option<u64>, after: Duration) -> TokenDecision {
        decided_by(&response(presented), confirmed, ARRIVED, ARRIVED + after)
    }

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn newer_refresh_token_is_always_sent() {
        for confirmed in [None, Some(0), Some(45), Some(9999)] {
            assert_eq!(decided(4, confirmed, secs(60)), TokenDecision::Both);
        }
    }

    #[test]
    fn presented_refresh_token_is_repeated_if_the_response_arrives_before_any_rotation() {
        assert_eq!(decided(5, Some(0), secs(60)), TokenDecision::Both);
        assert_eq!(decided(5, Some(194), secs(0)), TokenDecision::Both);
        assert_eq!(decided(5, Some(194), Duration::from_millis(999)), TokenDecision::Both);
        assert_eq!(decided(5, Some(194), secs(1)), TokenDecision::AccessOnly);
        assert_eq!(decided(5, Some(195), secs(0)), TokenDecision::AccessOnly);
    }

    #[test]
    fn unconfirmed_refresh_token_is_repeated_within_the_write_window() {
        assert_eq!(decided(5, None, secs(0)), TokenDecision::Both);
        assert_eq!(decided(5, None, secs(60)), TokenDecision::Both);
    }

    #[test]
    fn unconfirmed_refresh_token_counts_as_confirmed_one_grace_period_before_the_record_was_read() {
        // The refresh token is repeated for less than 240 s - 45 s - 45 s = 150 s after the read of the record.
        let read_ago = |ago| decided_by(&response(5), None, ARRIVED - secs(ago), ARRIVED);
        assert_eq!(read_ago(149), TokenDecision::Both);
        assert_eq!(read_ago(150), TokenDecision::AccessOnly);
    }

    #[test]
    fn no_tokens_are_sent_after_the_write_window_or_a_revocation() {
        for presented in [4, 5] {
            assert_eq!(decided(presented, Some(0), secs(61)), TokenDecision::Nothing);
            let revoked = ResponseState { status: SessionStatus::Revoked, ..response(presented) };
            assert_eq!(decided_by(&revoked, Some(0), ARRIVED, ARRIVED), TokenDecision::Nothing);
        }
    }
}
