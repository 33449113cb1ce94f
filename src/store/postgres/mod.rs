//! Sessions in PostgreSQL.
//!
//! Every operation is one statement: a query, or a call of a function that the migration brings
//! along. That makes it one round trip, and one transaction which the server begins and ends by
//! itself, so a caller that stops waiting leaves none open. Why each function is right however
//! many race is said where it is defined, in `migration_1.sql`.

mod migrate;
mod pool;
mod run;
mod store;
mod sweep;

use std::{fmt, str::FromStr as _, sync::Arc};

use sha2::{Digest as _, Sha256};
use sqlx::{
    PgPool, Row as _,
    postgres::{PgConnectOptions, PgRow},
};

use super::{
    Snapshot, StoreError, Subject,
    sql::{Columns, LastSweep, run_from, unavailable},
};
use crate::time::Timestamp;

/// The longest realm and subject together, in bytes: what an index of PostgreSQL takes.
const LONGEST: usize = 2048;

/// Keeps sessions in PostgreSQL (13 or later; tested with 15).
///
/// They survive restarts: only [rotating the run ID](super::SessionStore::rotate_run_id) ends them
/// all. What was acknowledged is as durable as the server's `synchronous_commit` and its replicas
/// make it. Clones share their connections. Every operation is one round trip, after a connection's
/// first use of it; a connection that lay idle for more than a second is tried before.
///
/// A live session of a 36-byte subject without claims takes about 350 bytes on the server's disk,
/// and more between two vacuums. Expired sessions are swept in the background as new ones are
/// created.
///
/// The feed is polled every 50 ms, and its events are kept for a day. They are written one
/// transaction at a time, so that no reader can miss one: the server ends no more sessions a second
/// than it can flush commits one by one. Renewals know no such limit, and transactions of others
/// do not hold the feed up, however long they run.
///
/// Table and function names all begin with `sliding_sessions`, and are found by the connection's
/// `search_path`. For TLS, enable one of [`sqlx`](super::sqlx)'s `tls-…` features.
///
/// Do not connect through a pooler in transaction mode (PgBouncer's `pool_mode = transaction`), also
/// not with `?statement-cache-capacity=0`: it can carry out one operation as another.
///
/// # Errors
/// [`StoreError::Unavailable`] for whatever the server or the way to it fails in, until it works
/// again. [`StoreError::Unsupported`] for a realm and subject of more than 2048 bytes together.
#[derive(Clone)]
pub struct PostgresStore(Arc<Inner>);

struct Inner {
    pool: PgPool,
    swept: LastSweep,
}

impl PostgresStore {
    /// Connects to a server (`postgres://user:password@host/database`), with up to 10 connections,
    /// and [migrates](Self::migrate) the database.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the URL is wrong, the server cannot be reached within 2
    /// seconds, or the user may not create tables that are not there yet.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(url).map_err(unavailable)?;
        let store = Self::new(pool::lazy(options));
        store.migrate().await?;
        Ok(store)
    }

    /// A store that uses a pool of the application's. [Migrate](Self::migrate) it before use.
    ///
    /// Unless the pool has `test_before_acquire(false)`, every operation costs a second round trip.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self(Arc::new(Inner { pool, swept: LastSweep::default() }))
    }

    /// Creates or updates the tables and functions, if that is needed. Any number of instances may
    /// do so at once. Where everything is there, it only reads.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the server cannot be reached, or does not let the user.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        migrate::migrate(&self.0.pool).await
    }

    /// Deletes what expired a minute ago or earlier, by the server's clock as well as by `now`, and
    /// events of the feed older than a day, a few hundred at a time. Answers with how many sessions.
    ///
    /// Creating sessions does this now and then; call it for a store in which none are.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the server cannot be reached.
    pub async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        sweep::sweep(&self.0.pool, now).await
    }
}

/// A subject as it is kept.
#[derive(Clone)]
struct Names {
    realm: Vec<u8>,
    name: Vec<u8>,
}

impl Names {
    fn of(subject: &Subject) -> Result<Self, StoreError> {
        if subject.realm.len() + subject.name.len() > LONGEST {
            return Err(StoreError::Unsupported("a realm and subject of more than 2048 bytes"));
        }
        Ok(Self { realm: subject.realm.as_bytes().to_vec(), name: subject.name.as_bytes().to_vec() })
    }

    /// The number of the subject's advisory lock. If two have the same, one waits for the other.
    fn lock(&self) -> i64 {
        let hash = Sha256::new()
            .chain_update(b"tower-sliding-sessions subject lock v1")
            .chain_update(self.realm.len().to_be_bytes())
            .chain_update(&self.realm)
            .chain_update(&self.name)
            .finalize();
        hash.iter().take(8).fold(0, |lock, byte| (lock << 8) | i64::from(*byte))
    }
}

fn snapshot(row: &PgRow) -> Result<Snapshot, StoreError> {
    let applied = row.try_get(0).map_err(unavailable)?;
    let run = run_from(row.try_get(1).map_err(unavailable)?)?;
    Ok(Snapshot { run, record: Columns::read(row, 2)?.map(Columns::record).transpose()?, applied })
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").finish_non_exhaustive()
    }
}
