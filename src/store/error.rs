//! What can go wrong with a store.

use std::error::Error;

use crate::id::EntropyError;

/// A store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It did not answer, or not in time. Never a reason to refuse a session.
    #[error("the session store is unavailable")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// Its settings cannot work: a bad address, a wrong password, missing rights. Comes from opening a
    /// store, not from its operations.
    #[error("the session store is misconfigured")]
    Config(#[source] Box<dyn Error + Send + Sync>),
    /// It holds no more sessions.
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

    /// The store cannot be used as it is configured, because of `source`.
    pub fn config(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Config(source.into())
    }

    /// For the event.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::Config(_) => "misconfigured",
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

impl From<EntropyError> for StoreError {
    fn from(error: EntropyError) -> Self {
        Self::unavailable(error)
    }
}

/// A session could not be added.
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
