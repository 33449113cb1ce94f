//! Sessions in an SQLite file.
//!
//! A change of a record works as in the memory store: under an exclusive lock, the store reads the record, the protocol
//! changes the record, and the store writes the record. The lock is SQLite's write lock. `BEGIN IMMEDIATE` takes this
//! lock, which also excludes other processes. If the record would not change, the call does not take the lock. The
//! store checks this first, with a snapshot that is no older than the call.
//!
//! If the future of a call is dropped during a transaction, the transaction is rolled back before the lock is released.

mod migrate;
mod open;
mod rows;
mod store;
mod sweep;
mod values;
mod write;

use std::{fmt, sync::Arc};

use sqlx::SqlitePool;

use self::write::Write;
use super::{
    FeedEvent, SessionKey, SessionRecord, Snapshot, StoreError,
    sql::{LastSweep, time_to, unavailable},
};
use crate::time::Timestamp;

/// Keeps sessions in an SQLite file, which several processes of one machine may share.
///
/// Sessions survive restarts. Only [raising the run ID](super::SessionStore::raise_run_id) revokes all sessions. A
/// write that was acknowledged is on the disk (`synchronous=FULL`). Clones of the store share their connections.
///
/// A live session of a 36-byte subject without claims takes about 410 bytes of the file. When sessions are created and
/// renewed, the store deletes expired sessions in the background. A revoked session is kept until its absolute
/// deadline. The store keeps events of the feed for a day, and polls the feed every 50 ms.
///
/// # Errors
/// Once the file is open, every failure of the file is [`StoreError::Unavailable`]: a full disk, a read-only file, or a
/// lock that another process holds for more than 5 seconds. Calls succeed again once the cause is gone.
#[derive(Clone)]
pub struct SqliteStore(Arc<Inner>);

struct Inner {
    /// One connection, so that writers of this process wait for the connection, and not for the lock.
    writer: SqlitePool,
    readers: SqlitePool,
    swept: LastSweep,
}

impl SqliteStore {
    /// Opens an SQLite file, and [migrates](Self::migrate) it. By default, creates the file if it does not exist.
    ///
    /// Takes a path, or a URL with sqlx's parameters. `sqlite:sessions.db?mode=ro` only reads, `mode=rw` does not
    /// create the file, `mode=rwc` is the default, `immutable=1` is for a file that no process changes, and `vfs`
    /// selects an SQLite VFS. `cache=shared` has no effect. Percent-encode `?` and `%` in the path of a URL. In-memory
    /// databases are refused: use [`MemoryStore`](super::MemoryStore) instead.
    ///
    /// # Errors
    /// [`StoreError::Configuration`] if the URL is not valid, or, with the path, if the file cannot be opened or
    /// written. [`StoreError::Unavailable`] if another process holds the lock of the file, or the disk is full.
    /// [`StoreError::Unsupported`] for an in-memory database, or without a path.
    pub async fn open(path_or_url: &str) -> Result<Self, StoreError> {
        let (writer, readers) = open::open(path_or_url).await?;
        let store = Self(Arc::new(Inner { writer, readers, swept: LastSweep::default() }));
        let path = path_or_url.trim_start_matches("sqlite:").trim_start_matches("//");
        store.migrate().await.map_err(|error| open::cannot_open(path, error))?;
        Ok(store)
    }

    /// Creates a store in a database that is already open. The database may also contain tables of the application: the
    /// names of all tables of the store begin with `sliding_sessions`. [Migrate](Self::migrate) the store before use.
    ///
    /// The settings of the pool decide the durability and the timeouts. Recommended settings are WAL,
    /// `synchronous=FULL` and a busy timeout of some seconds.
    #[must_use]
    pub fn new(pool: SqlitePool) -> Self {
        Self(Arc::new(Inner { writer: pool.clone(), readers: pool, swept: LastSweep::default() }))
    }

    /// Creates or updates the tables, if needed. Any number of processes may call this at the same time.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the database cannot be written.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        migrate::migrate(&self.0.writer).await
    }

    /// Deletes sessions and values that expired a minute ago or earlier, and events of the feed that are older than a
    /// day. One transaction deletes at most 500 rows. Returns the number of deleted sessions.
    ///
    /// From time to time, creating and renewing sessions starts a sweep in the background. Call `sweep` for a store in
    /// which no sessions are created or renewed.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the database cannot be written.
    pub async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        sweep::sweep(&self.0.writer, now).await
    }

    async fn begin(&self) -> Result<Write, StoreError> {
        Write::begin(&self.0.writer).await
    }

    async fn get_record(&self, key: &SessionKey) -> Result<Snapshot, StoreError> {
        let mut reader = self.0.readers.acquire().await.map_err(unavailable)?;
        rows::read(&mut reader, key).await
    }

    /// Applies `change` to a record. If `change` returns a record, writes the record, and appends `event` to the feed.
    async fn change(
        &self,
        key: &SessionKey,
        event: Option<&FeedEvent>,
        change: impl Fn(&Snapshot) -> Option<SessionRecord> + Send + Sync,
    ) -> Result<Snapshot, StoreError> {
        let snapshot = self.get_record(key).await?;
        if change(&snapshot).is_none() {
            return Ok(snapshot);
        }
        let mut transaction = self.begin().await?;
        let mut snapshot = rows::read(&mut transaction, key).await?;
        if let Some(record) = change(&snapshot)
            && rows::replace(&mut transaction, key, snapshot.version, &record).await?
        {
            if let Some(event) = event {
                rows::publish(&mut transaction, event, time_to(event.time())).await?;
            }
            snapshot = Snapshot { applied: true, ..rows::read(&mut transaction, key).await? };
            transaction.commit().await?;
        } else {
            transaction.rollback().await?;
        }
        Ok(snapshot)
    }

    /// Starts a sweep in the background, if a sweep is due.
    fn sweep_at_times(&self, now: Timestamp) {
        if self.0.swept.is_due(now) {
            let store = self.clone();
            // If the sweep fails, the next sweep tries again.
            tokio::spawn(async move { store.sweep(now).await });
        }
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}
