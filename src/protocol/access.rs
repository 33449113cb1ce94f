//! Whether a verified access token is accepted now.

use super::Policy;
use crate::{id::SessionId, time::Timestamp};

/// How far in the future the times of an access token may be. A token whose `iat` or `nbf` is more than this in the
/// future is not used.
pub(crate) const LEEWAY: std::time::Duration = std::time::Duration::from_secs(5);

/// The times in a verified access token, and its session.
#[derive(Clone, Copy, Debug)]
pub struct AccessTokenTimes {
    /// Its session.
    pub session: SessionId,
    /// `iat`.
    pub issued: Timestamp,
    /// `nbf`, if the token has it.
    pub not_before: Option<Timestamp>,
    /// `exp`. There is no leeway, because an expired token is renewed.
    pub expires: Timestamp,
}

/// What this instance knows of a token's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionStatus {
    /// The session is valid, as far as this instance knows.
    Valid,
    /// The token has another run ID, or this instance does not know the run ID yet.
    OtherRunId,
    /// The session is on the denylist.
    Revoked,
    /// The session's claims changed after the token was minted.
    Stale,
}

/// What to do with a request's access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessDecision {
    /// Accept it.
    Accept,
    /// It expires soon. Renew if that is possible now, or accept it.
    AcceptOrRenew,
    /// Do not use it. The refresh token decides.
    Renew,
}

/// Decides about a verified access token. `access` is `None` if there is no token, or none that can be used.
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
    let from_the_future =
        access.issued > now + LEEWAY || access.not_before.is_some_and(|at| at > now + LEEWAY);
    if now >= access.expires || from_the_future {
        AccessDecision::Renew
    } else if now >= policy.renew_early_from(&access.session, access.expires) {
        AccessDecision::AcceptOrRenew
    } else {
        AccessDecision::Accept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Timing;

    fn judge(now: u64, status: SessionStatus) -> AccessDecision {
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
        assert_eq!(judge(1000, SessionStatus::Valid), AccessDecision::Accept);
        assert_eq!(judge(1239, SessionStatus::Valid), AccessDecision::Accept);
        assert_eq!(judge(1240, SessionStatus::Valid), AccessDecision::AcceptOrRenew);
        assert_eq!(judge(1299, SessionStatus::Valid), AccessDecision::AcceptOrRenew);
        assert_eq!(judge(1300, SessionStatus::Valid), AccessDecision::Renew);
    }

    #[test]
    fn token_from_the_future_beyond_the_leeway_is_renewed() {
        assert_eq!(judge(995, SessionStatus::Valid), AccessDecision::Accept);
        assert_eq!(judge(994, SessionStatus::Valid), AccessDecision::Renew);
        assert_eq!(judge(0, SessionStatus::Valid), AccessDecision::Renew);
        assert_eq!(judge(u64::MAX, SessionStatus::Valid), AccessDecision::Renew);
    }

    #[test]
    fn token_of_a_revoked_stale_or_other_session_is_renewed() {
        for status in [SessionStatus::OtherRunId, SessionStatus::Revoked, SessionStatus::Stale] {
            assert_eq!(judge(1000, status), AccessDecision::Renew);
        }
    }
}
