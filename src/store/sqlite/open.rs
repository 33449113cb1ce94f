//! Opens an SQLite file.

use std::{error::Error, fmt, str::FromStr as _, time::Duration};

use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::store::{
    StoreError,
    sql::{DatabaseFailure, unavailable},
};

/// The error for a file that cannot be opened, with the path of the file.
#[derive(Debug)]
struct CannotOpen {
    path: String,
    source: StoreError,
}

impl fmt::Display for CannotOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot open the SQLite file {:?}", self.path)?;
        match self.source.source() {
            Some(cause) => write!(f, ": {cause}"),
            None => Ok(()),
        }
    }
}

impl Error for CannotOpen {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

/// The store error for a file that cannot be opened or migrated, with its path. A locked file or a full disk is an
/// outage. Every other error that SQLite reports is a configuration error, because the operator must fix it.
pub(super) fn cannot_open(path: &str, source: StoreError) -> StoreError {
    let passes = |error: &StoreError| {
        let cause = error.source().and_then(|cause| cause.downcast_ref::<DatabaseFailure>());
        cause.is_none_or(|cause| is_busy(Some(cause.code())) || cause.code() == "13")
    };
    let is_outage = passes(&source);
    let error = CannotOpen { path: path.to_owned(), source };
    if is_outage { StoreError::unavailable(error) } else { StoreError::configuration(error) }
}

/// How long to wait for a lock of another process, or for a connection of this store.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
const READERS: u32 = 4;
/// How often to try to open a file that other processes are opening, and how long to wait between two tries.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// Opens one connection for writes, and up to 4 connections for reads.
pub(super) async fn open(path_or_url: &str) -> Result<(SqlitePool, SqlitePool), StoreError> {
    let options = if path_or_url.starts_with("sqlite:") {
        SqliteConnectOptions::from_str(path_or_url).map_err(StoreError::configuration)?
    } else {
        SqliteConnectOptions::new().filename(path_or_url)
    };
    let path = path_or_url.trim_start_matches("sqlite:").trim_start_matches("//");
    // Without a file name, SQLite would create a separate temporary database for each connection.
    if path.is_empty() || path.starts_with('?') {
        return Err(StoreError::Unsupported("databases without a file"));
    }
    if path_or_url.contains(":memory:") || path_or_url.contains("mode=memory") {
        return Err(StoreError::Unsupported("in-memory databases"));
    }
    let read_only = path_or_url.contains("mode=ro") || path_or_url.contains("immutable=");
    // A shared cache has additional locks, and SQLite does not wait for these locks.
    let mut options =
        options.synchronous(SqliteSynchronous::Full).busy_timeout(LOCK_TIMEOUT).shared_cache(false);
    if !read_only {
        options = options.create_if_missing(!creates_none(path_or_url)).journal_mode(SqliteJournalMode::Wal);
    }
    let pool = || {
        // Connections to a file do not age and do not break.
        SqlitePoolOptions::new()
            .acquire_timeout(LOCK_TIMEOUT)
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
    };
    let writer = pool().max_connections(1).connect_lazy_with(options.clone());
    let readers = pool().max_connections(READERS).connect_lazy_with(options);
    // The change to WAL needs a lock, and SQLite does not wait for this lock.
    for tries in 1.. {
        match writer.acquire().await {
            Ok(_) => break,
            Err(sqlx::Error::Database(error)) if tries < TRIES && is_busy(error.code().as_deref()) => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(cannot_open(path, unavailable(error))),
        }
    }
    Ok((writer, readers))
}

/// Whether the URL says that the file must exist.
fn creates_none(url: &str) -> bool {
    url.split_once('?').is_some_and(|(_, query)| query.split('&').any(|pair| pair == "mode=rw"))
}

/// Whether the low byte of the code is `SQLITE_BUSY` (5) or `SQLITE_LOCKED` (6).
fn is_busy(code: Option<&str>) -> bool {
    let code = code.and_then(|code| code.parse::<i32>().ok());
    code.is_some_and(|code| matches!(code & 0xff, 5 | 6))
}
