//! Sessions in an SQLite file.
//!
//! A change works as in the memory store: read the record, let the protocol change it, write it, under an exclusive
//! lock. Here the lock is SQLite's write lock, taken by `BEGIN IMMEDIATE`, which also holds between processes. A call
//! that would change nothing does not take the lock: this is checked first, with a snapshot that is no older than the
//! call.
//!
//! If the future of a transaction is dropped, the transaction is rolled back before the lock is released.

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
/// They survive restarts: only [raising the run ID](super::SessionStore::raise_run_id) revokes them
/// all. What was acknowledged is on the disk (`synchronous=FULL`). Clones share their connections.
///
/// A live session of a 36-byte subject without claims takes about 410 bytes of the file. Expired
/// sessions are deleted in the background as others are opened and renewed. A revoked one is kept until
/// its absolute deadline. Events of the feed are kept for a day; it is polled every 50 ms.
///
/// # Errors
/// Every failure of the open file is [`StoreError::Unavailable`]: a full disk, a read-only file, or a lock that another
/// process holds for more than 5 seconds. Calls succeed again after the cause is gone.
#[derive(Clone)]
pub struct SqliteStore(Arc<Inner>);

struct Inner {
    /// One connection, so that writers of this process wait for the connection, and not for the lock.
    writer: SqlitePool,
    readers: SqlitePool,
    swept: LastSweep,
}

impl SqliteStore {
    /// Opens a file, which is created if need be, and [migrates](Self::migrate) it.
    ///
    /// Takes a path, or a URL with sqlx's parameters: `sqlite:sessions.db?mode=ro` only reads, `mode=rw` does not
    /// create the file, `mode=rwc` is the default, `immutable=1` is for a file that no process changes, `vfs` selects
    /// an SQLite VFS. `cache=shared` has no effect. Percent-encode `?` and `%` in the path of a URL. An in-memory
    /// database is refused: use [`MemoryStore`](super::MemoryStore) instead.
    ///
    /// # Errors
    /// [`StoreError::Configuration`] with the path, if the file cannot be opened or written.
    /// [`StoreError::Unavailable`] if another process holds its lock, or the disk is full.
    pub async fn open(path_or_url: &str) -> Result<Self, StoreError> {
        let (writer, readers) = open::open(path_or_url).await?;
        let store = Self(Arc::new(Inner { writer, readers, swept: LastSweep::default() }));
        let path = path_or_url.trim_start_matches("sqlite:").trim_start_matches("//");
        store.migrate().await.map_err(|error| open::cannot_open(path, error))?;
        Ok(store)
    }

    /// A store in a database that is open already, perhaps beside the application's own tables
    /// (its own are all called `sliding_sessions…`). [Migrate](Self::migrate) it before use.
    ///
    /// Durability and timeouts are settings of the pool: WAL, `synchronous=FULL` and a busy timeout of some seconds are
    /// recommended.
    #[must_use]
    pub fn new(pool: SqlitePool) -> Self {
        Self(Arc::new(Inner { writer: pool.clone(), readers: pool, swept: LastSweep::default() }))
    }

    /// Creates or updates the tables, if that is needed. Any number of processes may do so at once.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the database cannot be written.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        migrate::migrate(&self.0.writer).await
    }

    /// Deletes what expired a minute ago or earlier, and events of the feed older than a day, a few
    /// hundred at a time. Returns how many sessions.
    ///
    /// Opening and renewing sessions does this now and then; call it for a store in which neither
    /// happens.
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

    /// Applies `change` to a record, with an event in the feed if it applied.
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

    /// Sweeps in the background, if it is time to.
    fn sweep_at_times(&self, now: Timestamp) {
        if self.0.swept.is_due(now) {
            let store = self.clone();
            // What fails now is tried again with the next sweep.
            tokio::spawn(async move { store.sweep(now).await });
        }
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}
