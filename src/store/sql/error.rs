//! Errors of sqlx, told as errors of a store.

use std::fmt;

use crate::store::StoreError;

/// What a database said of a failure: its code and its message, and none of the details that may
/// quote a row.
#[derive(Debug)]
struct DatabaseFailure {
    code: String,
    message: String,
}

impl fmt::Display for DatabaseFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the database says: {} (code {})", self.message, self.code)
    }
}

impl std::error::Error for DatabaseFailure {}

/// The error of a statement. What cannot be read is corrupt; all else is an outage of some kind:
/// no connection, a full disk, a read-only or locked database, tables that are not there.
pub(in crate::store) fn unavailable(error: sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::TypeNotFound { .. } => StoreError::corrupt(error),
        sqlx::Error::RowNotFound => StoreError::unavailable("the store's tables are empty; was it migrated?"),
        sqlx::Error::Database(database) => StoreError::unavailable(DatabaseFailure {
            code: database.code().unwrap_or_default().into_owned(),
            message: database.message().to_owned(),
        }),
        other => StoreError::unavailable(other),
    }
}

/// The error of a value that is not one of ours.
pub(in crate::store) fn corrupt(what: &'static str) -> StoreError {
    StoreError::corrupt(what)
}
