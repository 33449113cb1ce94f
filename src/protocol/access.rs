//! Decides whether a verified access token is accepted now.

use super::Policy;
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
    /// The token has another run ID than the store, or this instance does not know the store's run ID yet.
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
}
