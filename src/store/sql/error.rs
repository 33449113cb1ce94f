//! The store errors for errors of sqlx.

use std::fmt;
#[cfg(feature = "postgres")]
use std::io;

use crate::store::StoreError;

/// A failure as the database reports it: its code and its message, without the details, which may
/// quote a row.
#[derive(Debug)]
pub(in crate::store) struct DatabaseFailure {
    code: String,
    message: String,
}

#[cfg(feature = "sqlite")]
impl DatabaseFailure {
    pub(in crate::store) fn code(&self) -> &str {
        &self.code
    }
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

/// The error for a value that this crate cannot have written.
pub(in crate::store) fn corrupt(what: &'static str) -> StoreError {
    StoreError::corrupt(what)
}

/// Whether a connection on which a statement failed with this SQLSTATE can be used again. It is closed if only another
/// connection can help: the server is read-only now, is shutting down or starting, or has outdated prepared statements.
#[cfg(feature = "postgres")]
pub(in crate::store) fn keeps_connection(code: &str) -> bool {
    const CLASSES: [&str; 6] = ["08", "0A", "25", "26", "58", "XX"];
    !CLASSES.iter().any(|class| code.starts_with(class)) && !code.starts_with("57P") && code != "42P05"
}

#[cfg(feature = "postgres")]
const fn is_of_files(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{InvalidData, IsADirectory, NotADirectory, NotFound, PermissionDenied};
    matches!(kind, InvalidData | IsADirectory | NotADirectory | NotFound | PermissionDenied)
}

#[cfg(feature = "postgres")]
/// The error of opening a store. What only the operator can mend is a matter of configuration.
pub(in crate::store) fn starting(error: sqlx::Error) -> StoreError {
    let code = match &error {
        // sqlx takes the end of the connection for this answer. A proxy without a server behind it closes it at once.
        sqlx::Error::Protocol(what) if what.starts_with("unexpected response from SSLRequest: 0x00") => {
            let message = "the connection was closed before the server answered";
            return StoreError::unavailable(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        // What answers with something else is not PostgreSQL, or wants to authenticate in a way that sqlx does not
        // know.
        sqlx::Error::Configuration(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => {
            return StoreError::configuration(error);
        }
        // rustls refuses a certificate with the first; a file of certificates cannot be read with the others.
        sqlx::Error::Io(io) if is_of_files(io.kind()) => return StoreError::configuration(error),
        sqlx::Error::Database(database) => database.code().unwrap_or_default().into_owned(),
        _ => return unavailable(error),
    };
    // A wrong password or user, no such database or schema, and what is missing: rights, tables, functions.
    let is_config = ["28", "3D", "3F", "42"].iter().any(|class| code.starts_with(class)) && code != "42P05";
    match unavailable(error) {
        StoreError::Unavailable(source) if is_config => StoreError::Configuration(source),
        error => error,
    }
}
