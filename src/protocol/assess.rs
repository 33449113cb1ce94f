//! Whether a verified access token is accepted now.

use super::Policy;
use crate::{id::SessionId, time::Timestamp};

/// The clock of another instance may be this far ahead. A token that was issued later than that is not used.
pub(crate) const LEEWAY: std::time::Duration = std::time::Duration::from_secs(5);

/// What a verified access token says about time.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// Its session.
    pub session: SessionId,
    /// When it was minted.
    pub issued: Timestamp,
    /// Before when it must not be used, if it says so.
    pub not_before: Option<Timestamp>,
    /// When it ends. Exact: an expired token is renewed, so no leeway is needed.
    pub expires: Timestamp,
}

/// What this instance knows of a token's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing against it.
    Good,
    /// The token has another run ID, or this instance does not know the run ID yet.
    OtherRunId,
    /// The session is on the denylist.
    Revoked,
    /// The session's claims changed after the token was minted.
    Stale,
}

/// What to do with a request's access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assessment {
    /// Accept it.
    Admit,
    /// It expires soon. Renew if that is possible now, or accept it.
    AdmitOrRenew,
    /// Do not use it. The refresh token decides.
    Renew,
}

/// Judges a verified access token. None stands for a missing or an unusable one.
#[must_use]
pub fn assess(policy: &Policy, access: Option<&Access>, standing: Standing, now: Timestamp) -> Assessment {
    let Some(access) = access else { return Assessment::Renew };
    match standing {
        Standing::Good => {}
        Standing::OtherRunId | Standing::Revoked | Standing::Stale => return Assessment::Renew,
    }
    let from_the_future =
        access.issued > now + LEEWAY || access.not_before.is_some_and(|at| at > now + LEEWAY);
    if now >= access.expires || from_the_future {
        Assessment::Renew
    } else if now >= policy.renew_early_from(&access.session, access.expires) {
        Assessment::AdmitOrRenew
    } else {
        Assessment::Admit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Timing;

    fn judge(now: u64, standing: Standing) -> Assessment {
        let policy = Policy::new(Timing::default()).expect("the defaults hold");
        let access = Access {
            session: SessionId::from_bytes([0; 32]),
            issued: Timestamp::from_secs(1000),
            not_before: None,
            expires: Timestamp::from_secs(1300),
        };
        assess(&policy, Some(&access), standing, Timestamp::from_secs(now))
    }

    #[test]
    fn a_token_is_admitted_then_renewed_early_then_renewed() {
        assert_eq!(judge(1000, Standing::Good), Assessment::Admit);
        assert_eq!(judge(1239, Standing::Good), Assessment::Admit);
        assert_eq!(judge(1240, Standing::Good), Assessment::AdmitOrRenew);
        assert_eq!(judge(1299, Standing::Good), Assessment::AdmitOrRenew);
        assert_eq!(judge(1300, Standing::Good), Assessment::Renew);
    }

    #[test]
    fn token_from_the_future_beyond_the_leeway_is_renewed() {
        assert_eq!(judge(995, Standing::Good), Assessment::Admit);
        assert_eq!(judge(994, Standing::Good), Assessment::Renew);
        assert_eq!(judge(0, Standing::Good), Assessment::Renew);
        assert_eq!(judge(u64::MAX, Standing::Good), Assessment::Renew);
    }

    #[test]
    fn any_other_standing_asks_the_refresh_token() {
        for standing in [Standing::OtherRunId, Standing::Revoked, Standing::Stale] {
            assert_eq!(judge(1000, standing), Assessment::Renew);
        }
    }
}
