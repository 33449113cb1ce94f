//! How much each event matters.

use super::kind::EventKind;
use crate::{protocol::Refusal, token::InvalidToken};

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// Clients can cause it at will, in most cases without a session.
    Debug,
    /// Normal operation.
    Info,
    /// An operator should know.
    Warning,
    /// A fault of the application, its configuration or its data, which stays until it is fixed. Requests get 500, or
    /// sessions are not renewed.
    Error,
    /// Refresh token reuse.
    Critical,
}

impl EventKind {
    /// How much it matters. An event that anyone can cause without a session is [`Severity::Debug`].
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::ReuseDetected => Severity::Critical,
            Self::StoreFailed { why: "configuration" | "corrupt" | "unsupported", .. }
            | Self::CookieTooLarge
            | Self::ClaimsUnreadable
            | Self::SigningFailed
            | Self::HookPanicked { .. }
            | Self::NoTimers
            | Self::InternalError { .. } => Severity::Error,
            Self::LostWriteRepaired
            | Self::RunIdRestored
            | Self::ReuseTolerated
            | Self::SuccessorUnconfirmed
            | Self::Refused(Refusal::LateBody)
            | Self::TooManySessions
            | Self::ReloadFailed
            | Self::OriginChanged(_)
            | Self::StoreFailed { .. }
            | Self::FeedGap
            | Self::FeedLagging
            | Self::ClockStepped { .. }
            | Self::InsecurePlainHttp
            | Self::SecureCookiesOverPlainHttp { .. }
            | Self::KeyFileFailed
            | Self::KeyPromotedEarly
            | Self::KeyFetchFailed
            | Self::KeysTooOld
            // Keys were rolled out in the wrong order.
            | Self::RefreshTokenInvalid(InvalidToken::NewKey)
            // A deploy with other claims, another realm or an empty store may have signed all users out.
            // Each of these has a good signature.
            | Self::AccessTokenInvalid(InvalidToken::Unreadable)
            | Self::RefreshTokenInvalid(InvalidToken::Audience)
            | Self::Refused(Refusal::UnreadableClaims | Refusal::OtherRunId) => Severity::Warning,
            Self::SignedIn
            | Self::Renewed(_)
            | Self::Revoked { .. }
            | Self::EverythingRevoked
            | Self::RevokedByApplication { .. }
            | Self::ClaimsUpdated
            | Self::MarkedStale
            | Self::Reauthenticated
            | Self::UpstreamRenewed { .. }
            | Self::LoggedOutByProvider { .. }
            | Self::DeviceRegistered
            | Self::DeviceConfirmed
            | Self::FeedRecovered => Severity::Info,
            // An accident looks the same as the answer to a leak.
            Self::KeysChanged { pulled, .. } if !pulled.is_empty() => Severity::Warning,
            Self::KeysChanged { .. } => Severity::Info,
            // `DeviceProofMissing` says the same, at most once a minute.
            Self::Refused(
                Refusal::NoToken | Refusal::BadToken | Refusal::CrossSite | Refusal::DeviceProofRequired,
            ) => Severity::Debug,
            Self::DeviceProofMissing => Severity::Warning,
            Self::DeviceProofInvalid { why: "other_key" | "bound" | "script" } => Severity::Info,
            Self::DeviceProofInvalid { .. } => Severity::Debug,
            Self::Refused(_) => Severity::Info,
            // Anyone can cause these.
            Self::OidcFailed { why: "attempt" | "issuer" | "provider" | "code" | "unavailable" } => Severity::Debug,
            Self::LogoutTokenRefused {
                why: "malformed" | "algorithm" | "type" | "unknown_key" | "signature",
            } => Severity::Debug,
            Self::OidcFailed { .. } | Self::LogoutTokenRefused { .. } | Self::UpstreamFailed { .. } => Severity::Warning,
            Self::AccessTokenInvalid(_)
            | Self::RefreshTokenInvalid(_)
            | Self::ConflictingCookies
            | Self::CrossSiteRefused => Severity::Debug,
        }
    }
}
