//! What can go wrong with a provider's tokens. No message holds a token.

use std::{error::Error, fmt, sync::Arc};

use crate::store::StoreError;

/// Why there is no usable token.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// The vault keeps no tokens of this provider for the user. There never were any, or they were forgotten, or their
    /// age limit has passed.
    #[error("no tokens of this provider are kept")]
    Missing,
    /// **The user must sign in at the provider again**, for the reason given. The answer is the same until the
    /// application keeps new tokens; the provider is not asked again.
    #[error("the user must sign in at the provider again: {0}")]
    SignInAgain(Lost),
    /// The provider could not be asked, or did not answer in time. The tokens are kept; try again later.
    #[error("the provider is unavailable")]
    Unavailable(#[source] ProviderFailure),
    /// The session is revoked or expired, and so its tokens are gone.
    #[error("the session is revoked or expired")]
    Ended,
    /// The value does not open: no key of the ring sealed it, or it belongs to another session or user. It is kept: an
    /// instance with that key may open it.
    #[error("the tokens are sealed with a key that is not in the ring, or belong to another session or user")]
    Unreadable,
    /// The tokens are longer than 64 KiB.
    #[error("the tokens are longer than 64 KiB")]
    TooLong,
    /// No provider of this name was given to the vault.
    #[error("the vault has no provider of this name")]
    UnknownProvider,
    /// The provider's tokens are kept with sessions, and were asked for by subject.
    #[error("the tokens of this provider are kept with sessions: ask with a session")]
    NeedsSession,
    /// The provider's tokens are kept with subjects, and were given to a sign-in.
    #[error("the tokens of this provider are kept with subjects: give them to `keep_for_subject`")]
    NeedsSubject,
    /// The tokens could not be sealed: no random bytes, or the crypto library refuses to work.
    #[error("the tokens could not be sealed")]
    Sealing,
    /// The store failed. The tokens are kept.
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
    /// The provider refused the refresh token: it is revoked, expired or used up.
    Refused,
    /// The same, after a renewal that was interrupted: the provider did not answer, or an instance died or lost the
    /// store between the answer and its own write. The provider may have rotated the refresh token, and taken the old
    /// one for reuse.
    Interrupted,
    /// The access token has expired, and there is no way to renew it.
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

/// The error of the provider, or of the function that asks it, as text with its sources. Tokens are replaced by `***`.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct ProviderFailure(pub(super) Arc<str>);

/// Why a renewal failed: the answer of the function that asks the provider.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RefreshError {
    /// The provider refused the refresh token for good (`invalid_grant`).
    #[error("the provider refused the refresh token")]
    Refused,
    /// The provider could not be asked, or it failed. The tokens stay.
    #[error("the provider could not be asked")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
}

impl RefreshError {
    /// The provider could not be asked, or it failed.
    pub fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed(error.into())
    }
}
