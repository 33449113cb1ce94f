//! The errors of session stores.

use std::{error::Error, io};

/// Why a store call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store did not answer, or not in time. This is never a reason to refuse a session.
    #[error("the session store is unavailable")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// The store is not configured correctly: an invalid address, an unknown host, a wrong password, or a missing
    /// right. The error's source says which. A retry does not help.
    #[error("the session store is not configured correctly")]
    Configuration(#[source] Box<dyn Error + Send + Sync>),
    /// The store has no room for another session.
    #[error("the session store is full")]
    Full,
    /// The store does not support this operation.
    #[error("this session store does not support {0}")]
    Unsupported(&'static str),
    /// The store holds something under a key that is not a session record.
    #[error("the session store holds an unreadable record")]
    Corrupt(#[source] Box<dyn Error + Send + Sync>),
}

impl StoreError {
    /// The store did not answer, because of `source`.
    pub fn unavailable(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable(source.into())
    }

    /// The store is not configured correctly, because of `source`.
    pub fn configuration(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Configuration(source.into())
    }

    /// The word for this error in a [`StoreFailed`](crate::EventKind::StoreFailed) event.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::Configuration(_) => "configuration",
            Self::Full => "full",
            Self::Unsupported(_) => "unsupported",
            Self::Corrupt(_) => "corrupt",
        }
    }

    /// The store holds something that is not a session record, because of `source`.
    pub fn corrupt(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Corrupt(source.into())
    }
}

/// An I/O error means that the store did not answer.
impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self::unavailable(error)
    }
}

/// Why a session was not added.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// A session with this ID exists, or existed.
    #[error("a session with this id exists")]
    Exists,
    /// The subject already has the maximum number of sessions.
    #[error("the subject has too many sessions")]
    TooMany,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
