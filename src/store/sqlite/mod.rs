//! Sessions in an SQLite file.
//!
//! Changes are made as the memory store makes them: read the record, let the protocol change it,
//! write it, under a lock that nobody else holds. Here the lock is SQLite's write lock, taken by
//! `BEGIN IMMEDIATE`, which holds between processes as well. What would change nothing is found out
//! before, without the lock, from a snapshot that is no older than the call.
//!
//! A transaction whose future is dropped is undone before anybody else gets the lock.

mod migrate;
mod open;
mod rows;
mod store;
mod sweep;
mod write;

use std::{fmt, sync::Arc};

use sqlx::{SqliteConnection, SqlitePool};

use self::write::Write;
use super::{
    SessionKey, SessionRecord, Snapshot, StoreError, Subject,
    sql::{Kind, LastSweep, time_to, unavailable},
};
use crate::{id::SessionId, time::Timestamp};

/// Keeps sessions in an SQLite file, which several processes of one machine may share.
///
/// They survive restarts: only [rotating the run ID](super::SessionStore::rotate_run_id) ends them
/// all. What was acknowledged is on the disk (`synchronous=FULL`). Clones share their connections.
///
/// A live session of a 36-byte subject without claims takes about 260 bytes of the file. Expired
/// sessions are swept in the background as new ones are created. Events of the feed are kept for a
/// day; it is polled every 50 ms.
///
/// # Errors
/// Whatever the file cannot do is [`StoreError::Unavailable`]: a full disk, a read-only file, a
/// lock that another process does not let go for 5 seconds. The next call after that has passed
/// succeeds.
#[derive(Clone)]
pub struct SqliteStore(Arc<Inner>);

struct Inner {
    /// One connection, so that writers of this process wait in line rather than for the lock.
    writer: SqlitePool,
    readers: SqlitePool,
    swept: LastSweep,
}

impl SqliteStore {
    /// Opens a file, which is created if need be, and [migrates](Self::migrate) it.
    ///
    /// Takes a path, or a URL with sqlx's parameters such as `sqlite:sessions.db?mode=ro`. An
    /// in-memory database is refused; that is what [`MemoryStore`](super::MemoryStore) is for.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the file cannot be opened or written.
    pub async fn open(path_or_url: &str) -> Result<Self, StoreError> {
        let (writer, readers) = open::open(path_or_url).await?;
        let store = Self(Arc::new(Inner { writer, readers, swept: LastSweep::default() }));
        store.migrate().await?;
        Ok(store)
    }

    /// A store in a database that is open already, perhaps beside the application's own tables
    /// (its own are all called `sliding_sessions…`). [Migrate](Self::migrate) it before use.
    ///
    /// How durable and how patient it is are the pool's settings: WAL, `synchronous=FULL` and a
    /// busy timeout of some seconds are recommended.
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
    /// hundred at a time. Answers with how many sessions.
    ///
    /// Creating sessions does this now and then; call it for a store in which none are.
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
        let (run, record) = rows::read(&mut reader, key).await?;
        Ok(Snapshot { run, record, applied: false })
    }

    /// Applies `change` to a record, and marks the session stale from `stale` on if it applied.
    async fn change(
        &self,
        key: &SessionKey,
        stale: Option<Timestamp>,
        change: impl Fn(&mut SessionRecord) -> bool + Send + Sync,
    ) -> Result<Snapshot, StoreError> {
        let snapshot = self.get_record(key).await?;
        if !snapshot.record.clone().is_some_and(|mut record| change(&mut record)) {
            return Ok(snapshot);
        }
        let mut transaction = self.begin().await?;
        let (run, mut record) = rows::read(&mut transaction, key).await?;
        let applied = record.as_mut().is_some_and(&change);
        if let Some(record) = record.as_ref().filter(|_| applied) {
            rows::update(&mut transaction, &key.subject, record).await?;
            if let Some(at) = stale.map(time_to) {
                let id = Some(record.id.as_bytes().as_slice());
                rows::publish(&mut transaction, Kind::SessionStale, at, Some(&key.subject), id).await?;
            }
            transaction.commit().await?;
        } else {
            transaction.rollback().await?;
        }
        Ok(Snapshot { run, record, applied })
    }
}

/// Ends sessions that were not ended yet, and says so in the feed.
async fn end(
    connection: &mut SqliteConnection,
    subject: &Subject,
    records: impl IntoIterator<Item = SessionRecord> + Send,
    at: Timestamp,
) -> Result<Vec<SessionId>, StoreError> {
    let records: Vec<_> = records.into_iter().collect();
    let mut ended = Vec::new();
    for mut record in records {
        if record.family.revoke() {
            // The denylist needs the id and the limit only.
            (record.claims, record.origin) = ("null".into(), None);
            rows::update(connection, subject, &record).await?;
            let id = Some(record.id.as_bytes().as_slice());
            rows::publish(connection, Kind::Revoked, time_to(at), Some(subject), id).await?;
            ended.push(record.id);
        }
    }
    Ok(ended)
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}
