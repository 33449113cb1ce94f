//! How much each event matters to an operator.

use super::kind::EventKind;
use crate::{protocol::Refusal, token::InvalidToken};

/// How much an event matters to an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// Clients can cause such an event as often as they like, in most cases without a session.
    Debug,
    /// Normal operation.
    Info,
    /// An operator should know of such an event.
    Warning,
    /// The application, its configuration or its data has a fault that stays until it is fixed. Requests get 500, or
    /// sessions are not renewed.
    Error,
    /// Refresh token reuse.
    Critical,
}

impl EventKind {
    /// How much the event matters. If every client can cause the event without a session, it is [`Severity::Debug`].
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
            // After a deploy with another claims type, another realm or an empty store, these events may mean that all
            // users are signed out. The tokens of these events have valid signatures.
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
            // A key that was removed by mistake looks the same as a key that was pulled after a leak.
            Self::KeysChanged { pulled, .. } if !pulled.is_empty() => Severity::Warning,
            Self::KeysChanged { .. } => Severity::Info,
            // `DeviceProofMissing` reports `DeviceProofRequired`, too, at most once a minute.
            Self::Refused(
                Refusal::NoToken | Refusal::BadToken | Refusal::CrossSite | Refusal::DeviceProofRequired,
            ) => Severity::Debug,
            Self::DeviceProofMissing => Severity::Warning,
            Self::DeviceProofInvalid { why: "other_key" | "bound" | "script" } => Severity::Info,
            Self::DeviceProofInvalid { .. } => Severity::Debug,
            Self::Refused(_) => Severity::Info,
            // Every client can cause these events.
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
