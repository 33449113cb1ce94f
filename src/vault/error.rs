//! Errors of the vault. No message contains a token.

use std::{error::Error, fmt, sync::Arc};

use crate::store::StoreError;

/// Why the vault did not return or keep tokens.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// The vault has no tokens of this provider for the user. The application never gave any, or it deleted them, or
    /// they reached their age limit.
    #[error("no tokens of this provider are kept")]
    Missing,
    /// **The user must sign in at the provider again**, for the given reason. The vault does not ask the provider
    /// again: calls get this error until the application gives new tokens.
    #[error("the user must sign in at the provider again: {0}")]
    SignInAgain(Lost),
    /// The provider could not be asked, did not answer in time, or failed. Or another instance is still renewing the
    /// tokens. The vault keeps the tokens: try again later.
    #[error("the provider is unavailable")]
    Unavailable(#[source] ProviderFailure),
    /// The session is revoked or expired, so its tokens are deleted.
    #[error("the session is revoked or expired")]
    Ended,
    /// The sealed value does not open: no key of the ring sealed it, or it belongs to another session or user. The
    /// value stays in the store, because an instance that has the key may open it.
    #[error("the tokens are sealed with a key that is not in the ring, or belong to another session or user")]
    Unreadable,
    /// The tokens are longer than 64 KiB.
    #[error("the tokens are longer than 64 KiB")]
    TooLong,
    /// The vault has no provider with this name.
    #[error("the vault has no provider of this name")]
    UnknownProvider,
    /// The provider's tokens are kept with sessions, but the call named a subject.
    #[error("the tokens of this provider are kept with sessions: ask with a session")]
    NeedsSession,
    /// The provider's tokens are kept with subjects, but the call gave them to a sign-in.
    #[error("the tokens of this provider are kept with subjects: give them to `keep_for_subject`")]
    NeedsSubject,
    /// The tokens could not be sealed: the operating system returned no random bytes, or the crypto library could not
    /// encrypt.
    #[error("the tokens could not be sealed")]
    Sealing,
    /// The store failed. The vault keeps the tokens.
    #[error(transparent)]
    Store(Arc<StoreError>),
}

impl From<StoreError> for VaultError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

/// Why tokens can no longer be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Lost {
    /// The provider refused the refresh token: the refresh token is revoked, expired or used up.
    Refused,
    /// The provider refused the refresh token after an interrupted renewal. In the interrupted renewal, the provider
    /// did not answer, or the instance crashed or lost the store before it had written the answer. The provider may
    /// have rotated the refresh token, and may treat the old refresh token as reuse.
    Interrupted,
    /// The access token has expired or was rejected, and the provider has no function that renews it.
    Expired,
}

impl Lost {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Interrupted => "interrupted",
            Self::Expired => "expired",
        }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "the provider refused the refresh token",
            Self::Interrupted => {
                "the provider refused the refresh token after a renewal that was interrupted"
            }
            Self::Expired => "the access token has expired and cannot be renewed",
        })
    }
}

/// The error of the provider, or of the function that asks the provider. The text contains the sources of the error,
/// with `***` in place of each token.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct ProviderFailure(pub(super) Arc<str>);

/// Why a renewal failed. The function that asks the provider returns this error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RefreshError {
    /// The provider refused the refresh token permanently (`invalid_grant`).
    #[error("the provider refused the refresh token")]
    Refused,
    /// The provider could not be asked, or it failed. The vault keeps the tokens.
    #[error("the provider could not be asked")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
}

impl RefreshError {
    /// Makes the error for a provider that could not be asked, or that failed.
    pub fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed(error.into())
    }
}
