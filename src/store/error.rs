//! What can go wrong with a store.

use std::{error::Error, io};

/// Why a store call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It did not answer, or not in time. Never a reason to refuse a session.
    #[error("the session store is unavailable")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// It is not set up correctly: an invalid address, an unknown host, a wrong password, or a missing right. The
    /// source says which. A retry does not help.
    #[error("the session store is not configured correctly")]
    Configuration(#[source] Box<dyn Error + Send + Sync>),
    /// It has no room for another session.
    #[error("the session store is full")]
    Full,
    /// It cannot do this at all.
    #[error("this session store does not support {0}")]
    Unsupported(&'static str),
    /// What it holds under a key is not a session record.
    #[error("the session store holds an unreadable record")]
    Corrupt(#[source] Box<dyn Error + Send + Sync>),
}

impl StoreError {
    /// The store did not answer, because of `source`.
    pub fn unavailable(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable(source.into())
    }

    /// The store is not set up correctly, because of `source`.
    pub fn configuration(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Configuration(source.into())
    }

    /// For the event.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::Configuration(_) => "configuration",
            Self::Full => "full",
            Self::Unsupported(_) => "unsupported",
            Self::Corrupt(_) => "corrupt",
        }
    }

    /// What it holds is not a session record, because of `source`.
    pub fn corrupt(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Corrupt(source.into())
    }
}

/// It did not answer.
impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self::unavailable(error)
    }
}

/// Why a session was not added.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// There is, or was, a session with this id.
    #[error("a session with this id exists")]
    Exists,
    /// The subject has as many sessions as it may have.
    #[error("the subject has too many sessions")]
    TooMany,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
