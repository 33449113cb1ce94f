//! Converts errors of sqlx to store errors.

use std::fmt;
#[cfg(feature = "postgres")]
use std::io;

use crate::store::StoreError;

/// An error of the database: its code and its message. The details are left out, because they may quote a row.
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

/// The store error for a failed statement. A value that cannot be read is [`StoreError::Corrupt`]. Every other error is
/// [`StoreError::Unavailable`], for example no connection, a full disk, a read-only or locked database, or missing
/// tables.
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

/// Whether a connection can be used again after a statement failed with this SQLSTATE. The connection is closed if only
/// another connection can help: the server is read-only now, is shutting down or starting, or has outdated prepared
/// statements.
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
/// The store error for a failure to open a store. An error that only the operator can fix is
/// [`StoreError::Configuration`].
pub(in crate::store) fn starting(error: sqlx::Error) -> StoreError {
    let code = match &error {
        // sqlx reports a closed connection as this answer. A proxy without a server behind it closes the connection at
        // once.
        sqlx::Error::Protocol(what) if what.starts_with("unexpected response from SSLRequest: 0x00") => {
            let message = "the connection was closed before the server answered";
            return StoreError::unavailable(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        // A server with another unexpected answer is not PostgreSQL, or requires an authentication method that sqlx
        // does not know.
        sqlx::Error::Configuration(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => {
            return StoreError::configuration(error);
        }
        // If rustls refuses a certificate, the kind is `InvalidData`. If a file of certificates cannot be read, the
        // kind is one of the other four.
        sqlx::Error::Io(io) if is_of_files(io.kind()) => return StoreError::configuration(error),
        sqlx::Error::Database(database) => database.code().unwrap_or_default().into_owned(),
        _ => return unavailable(error),
    };
    // 28: a wrong password or user. 3D and 3F: no such database or schema. 42: rights, tables or functions are missing.
    let is_config = ["28", "3D", "3F", "42"].iter().any(|class| code.starts_with(class)) && code != "42P05";
    match unavailable(error) {
        StoreError::Unavailable(source) if is_config => StoreError::Configuration(source),
        error => error,
    }
}
