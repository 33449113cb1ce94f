//! The outcomes of events, and their names.

use crate::{protocol::Refusal, token::InvalidToken};

/// How a session was renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Renewed {
    /// The refresh token was rotated.
    Rotated,
    /// A new access token was minted. The refresh token stays.
    Reissued,
    /// A new access token was minted, and the current generation was confirmed. The refresh token stays.
    Confirmed,
    /// The request presented the predecessor of the current refresh token, and was handed out the current refresh
    /// token.
    PredecessorServed,
    /// The store had lost a rotation. The record was set to the generation of the presented refresh token.
    FastForwarded,
}

pub(super) const fn renewed(how: Renewed) -> &'static str {
    match how {
        Renewed::Rotated => "rotated",
        Renewed::Reissued => "reissued",
        Renewed::Confirmed => "confirmed",
        Renewed::PredecessorServed => "predecessor_served",
        Renewed::FastForwarded => "fast_forwarded",
    }
}

pub(super) const fn refusal(why: Refusal) -> &'static str {
    match why {
        Refusal::NoToken => "no_token",
        Refusal::BadToken => "bad_token",
        Refusal::Expired => "expired",
        Refusal::Unknown => "unknown",
        Refusal::OtherRunId => "other_run_id",
        Refusal::Revoked => "revoked",
        Refusal::Reuse => "reuse",
        Refusal::LateBody => "late_body",
        Refusal::StaleClaims => "stale_claims",
        Refusal::UnreadableClaims => "unreadable_claims",
        Refusal::CrossSite => "cross_site",
        Refusal::RevokedByApplication => "revoked_by_application",
        Refusal::OriginRefused => "origin_refused",
        Refusal::DeviceProofRequired => "device_proof_required",
        Refusal::DeviceNotBound => "device_not_bound",
    }
}

pub(super) const fn invalid(why: InvalidToken) -> &'static str {
    match why {
        InvalidToken::TooLong => "too_long",
        InvalidToken::Malformed => "malformed",
        InvalidToken::Header => "header",
        InvalidToken::UnknownKey => "unknown_key",
        InvalidToken::NewKey => "new_key",
        InvalidToken::Signature => "signature",
        InvalidToken::Claims => "claims",
        InvalidToken::Unreadable => "unreadable",
        InvalidToken::Audience => "audience",
    }
}
