//! What a renewal's refresh token is answered with.

use super::{Advance, Family, Policy};
use crate::time::Timestamp;

/// What a request presented, as far as the protocol cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Presented {
    /// The generation of its refresh token.
    pub generation: u64,
    /// Whether the request has a body. Proxies that buffer bodies deliver such requests minutes
    /// late, so a stale token with one is refused but not taken for theft.
    pub with_body: bool,
}

impl Presented {
    /// The rotation that this token may ask the store for. Whether it applies is for the store to
    /// compare; [`rotate`] reads what came of it.
    #[must_use]
    pub const fn advance(&self, now: Timestamp) -> Advance {
        Advance { from: self.generation, at: now }
    }
}

/// The protocol's answer to a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The first sight of the current generation: confirm it, and mint an access token for it.
    Confirm,
    /// Too early to rotate: mint an access token for the current generation.
    Reissue,
    /// Rotate by compare-and-set. Whoever loses that race reads the table again.
    Advance,
    /// The predecessor of a generation that is not long in use: served as the current one.
    Replay,
    /// The token is ahead of the store, which lost a write: catch up with it.
    FastForward,
    /// A stolen copy is in use: revoke the session.
    Reuse,
    /// Refused, with nothing to write.
    Refuse(Refusal),
}

/// Why a session is not served. For operators; the caller never learns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no refresh token to decide.
    NoToken,
    /// The refresh token is not one of ours, or two different ones came under one name.
    BadToken,
    /// Past the idle or the absolute limit; of a bearer token, past its own end.
    Expired,
    /// The store knows no such session.
    Unknown,
    /// The session belongs to an earlier run of the store.
    OtherRun,
    /// The session was revoked.
    Denylisted,
    /// A stolen copy was used; the session ends with it.
    Reuse,
    /// A stale refresh token on a request with a body: late rather than stolen.
    Stale,
    /// The session's claims changed after the access token was minted, and there is no refresh token to
    /// renew it with.
    StaleClaims,
    /// The session's claims no longer parse.
    Claims,
    /// The request is cross-site, and those do not renew.
    CrossSite,
    /// The application said that the user may not go on; the session ends with it.
    Application,
    /// It is used from elsewhere than it was opened, and the application does not want that.
    Origin,
}

/// Reads the table of the [module](super): what a refresh token is worth against its record.
///
/// Whether the session is known and of this run was settled before. A confirmation "in the
/// future", by a clock that is ahead, counts as a confirmation now.
#[must_use]
pub fn rotate(policy: &Policy, presented: Presented, family: &Family, now: Timestamp) -> Rotation {
    if family.revoked {
        return Rotation::Refuse(Refusal::Denylisted);
    }
    if !family.is_live(now) {
        return Rotation::Refuse(Refusal::Expired);
    }
    let timing = policy.timing();
    let confirmed_for = family.confirmed_at.map(|at| now.since(at));
    match family.generation.checked_sub(presented.generation) {
        None => Rotation::FastForward,
        Some(0) => match confirmed_for {
            None => Rotation::Confirm,
            Some(age) if age < timing.rotation_interval => Rotation::Reissue,
            Some(_) => Rotation::Advance,
        },
        Some(1) if confirmed_for.is_none_or(|age| age <= timing.grace) => Rotation::Replay,
        Some(_) if presented.with_body => Rotation::Refuse(Refusal::Stale),
        Some(_) => Rotation::Reuse,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::protocol::Timing;

    const NOW: Timestamp = Timestamp::from_secs(1_000_000);

    /// The defaults: G 45 s, M 240 s. `confirmed` is seconds ago.
    fn table(presented: u64, generation: u64, confirmed: Option<u64>) -> Rotation {
        let policy = Policy::new(Timing::default()).expect("the defaults hold");
        let family = Family {
            generation,
            confirmed_at: confirmed.map(|secs| NOW - Duration::from_secs(secs)),
            ..Family::begin(NOW, Duration::from_secs(7200), Duration::from_secs(86400))
        };
        rotate(&policy, Presented { generation: presented, with_body: false }, &family, NOW)
    }

    #[test]
    fn every_row_of_the_table() {
        assert_eq!(table(3, 3, None), Rotation::Confirm);
        assert_eq!(table(3, 3, Some(0)), Rotation::Reissue);
        assert_eq!(table(3, 3, Some(239)), Rotation::Reissue);
        assert_eq!(table(3, 3, Some(240)), Rotation::Advance);
        assert_eq!(table(2, 3, None), Rotation::Replay);
        assert_eq!(table(2, 3, Some(45)), Rotation::Replay);
        assert_eq!(table(2, 3, Some(46)), Rotation::Reuse);
        assert_eq!(table(1, 3, None), Rotation::Reuse);
        assert_eq!(table(4, 3, Some(9)), Rotation::FastForward);
        assert_eq!(table(u64::MAX, 0, None), Rotation::FastForward);
        assert_eq!(table(0, u64::MAX, None), Rotation::Reuse);
    }

    #[test]
    fn a_stale_token_with_a_body_is_late_rather_than_stolen() {
        let policy = Policy::new(Timing::default()).expect("the defaults hold");
        let family = Family {
            generation: 5,
            ..Family::begin(NOW, Duration::from_secs(7200), Duration::from_secs(86400))
        };
        let late = Presented { generation: 2, with_body: true };
        assert_eq!(rotate(&policy, late, &family, NOW), Rotation::Refuse(Refusal::Stale));
    }

    #[test]
    fn what_is_over_is_refused_before_anything_else() {
        let policy = Policy::new(Timing::default()).expect("the defaults hold");
        let family = Family::begin(NOW, Duration::from_secs(7200), Duration::from_secs(86400));
        let stolen = Presented { generation: 9, with_body: false };
        let idle = NOW + Duration::from_secs(7200);
        assert_eq!(rotate(&policy, stolen, &family, idle), Rotation::Refuse(Refusal::Expired));
        let revoked = Family { revoked: true, ..family };
        assert_eq!(rotate(&policy, stolen, &revoked, idle), Rotation::Refuse(Refusal::Denylisted));
    }
}
