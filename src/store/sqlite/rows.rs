//! The statements of the SQLite store.

use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};

use crate::{
    id::{RunId, SessionId},
    store::{
        FeedEvent, SessionKey, SessionRecord, Snapshot, StoreError, Subject,
        sql::{
            Columns, Cursor, EventRow, LIMIT, LOOK, Table, bind_columns, column_names, run_from, run_to,
            session_id, time_to, unavailable, version_from, version_to,
        },
    },
    time::Timestamp,
};

/// A query whose first two arguments are the realm and the name of a subject.
macro_rules! on {
    ($sql:expr, $subject:expr) => {{
        let subject: &Subject = $subject;
        sqlx::query($sql).bind(subject.realm.as_bytes()).bind(subject.name.as_bytes())
    }};
}

/// When a session can be deleted, by the same rule as in the memory store: a revoked session at its absolute deadline,
/// every other session at the earlier one of its two deadlines.
const fn dies_at(columns: &Columns) -> i64 {
    if columns.revoked || columns.absolute_deadline < columns.idle_deadline {
        columns.absolute_deadline
    } else {
        columns.idle_deadline
    }
}

pub(super) async fn run_id(connection: &mut SqliteConnection) -> Result<RunId, StoreError> {
    let run = sqlx::query_scalar("SELECT run FROM sliding_sessions_meta");
    run_from(run.fetch_one(connection).await.map_err(unavailable)?)
}

pub(super) async fn set_run_id(connection: &mut SqliteConnection, run: RunId) -> Result<(), StoreError> {
    let set = sqlx::query("UPDATE sliding_sessions_meta SET run = ?1").bind(run_to(run));
    set.execute(connection).await.map(drop).map_err(unavailable)
}

/// Reads the run ID. If the session has this run ID, also reads its record and its version. One statement reads all
/// values, so they are of one snapshot.
pub(super) async fn read(
    connection: &mut SqliteConnection,
    key: &SessionKey,
) -> Result<Snapshot, StoreError> {
    const READ: &str = concat!(
        "SELECT meta.run, s.version, ",
        column_names!(),
        " FROM sliding_sessions_meta AS meta LEFT JOIN sliding_sessions AS s \
         ON s.realm = ?1 AND s.subject = ?2 AND s.id = ?3 AND s.run = meta.run"
    );
    let row = on!(READ, &key.subject)
        .bind(key.id.as_bytes().as_slice())
        .fetch_one(connection)
        .await
        .map_err(unavailable)?;
    let run = run_from(row.try_get(0).map_err(unavailable)?)?;
    let version = version_from(row.try_get(1).map_err(unavailable)?)?;
    let record = Columns::read(&row, 2)?.map(Columns::record).transpose()?;
    Ok(Snapshot { run, version, record, applied: false })
}

/// Whether a session with this ID exists, under any run ID.
pub(super) async fn exists(
    connection: &mut SqliteConnection,
    subject: &Subject,
    id: &SessionId,
) -> Result<bool, StoreError> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM sliding_sessions WHERE realm = ?1 AND subject = ?2 AND id = ?3)",
    )
    .bind(subject.realm.as_bytes())
    .bind(subject.name.as_bytes())
    .bind(id.as_bytes().as_slice())
    .fetch_one(connection)
    .await
    .map_err(unavailable)
}

/// The live sessions of a subject, oldest first.
pub(super) async fn live(
    connection: &mut SqliteConnection,
    subject: &Subject,
    now: Timestamp,
) -> Result<Vec<SessionRecord>, StoreError> {
    const LIVE: &str = concat!(
        "SELECT ",
        column_names!(),
        " FROM sliding_sessions WHERE realm = ?1 AND subject = ?2 AND NOT revoked \
         AND run = (SELECT run FROM sliding_sessions_meta) \
         AND ?3 < idle_deadline AND ?3 < absolute_deadline ORDER BY created_at, id"
    );
    let query = on!(LIVE, subject).bind(time_to(now));
    let rows = query.fetch_all(connection).await.map_err(unavailable)?;
    let record = |row| Columns::read(row, 0)?.map(Columns::record).transpose();
    rows.iter().filter_map(|row| record(row).transpose()).collect()
}

pub(super) async fn insert(
    connection: &mut SqliteConnection,
    subject: &Subject,
    run: RunId,
    record: &SessionRecord,
) -> Result<(), StoreError> {
    const INSERT: &str = concat!(
        "INSERT INTO sliding_sessions (realm, subject, run, dies_at, version, ",
        column_names!(),
        ") VALUES (?, ?, ?, ?, random() & 0xfffff, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    );
    let columns = Columns::of(record)?;
    let insert = on!(INSERT, subject).bind(run_to(run)).bind(dies_at(&columns));
    bind_columns!(insert, columns).execute(connection).await.map(drop).map_err(unavailable)
}

/// Replaces a record. Applies if the record has this version and the current run ID, and is not revoked. Returns
/// whether the record was replaced. Each write adds a random number to the version, so that no version is used twice,
/// even after the file was restored from a backup.
pub(super) async fn replace(
    connection: &mut SqliteConnection,
    key: &SessionKey,
    version: u64,
    record: &SessionRecord,
) -> Result<bool, StoreError> {
    let columns = Columns::of(record)?;
    let replace = on!(
        "UPDATE sliding_sessions SET version = version + 1 + (random() & 0xfffff), dies_at = ?5, \
         generation = ?6, confirmed_at = ?7, offered_at = ?8, idle_timeout = ?9, idle_deadline = ?10, \
         absolute_deadline = ?11, rotation_interval = ?12, timing = ?13, claims = ?14, \
         stale_since = ?15, methods = ?16, proof = ?17, origin = ?18, persistent = ?19, attached = ?20 \
         WHERE realm = ?1 AND subject = ?2 AND id = ?3 AND version = ?4 AND NOT revoked \
         AND run = (SELECT run FROM sliding_sessions_meta)",
        &key.subject
    )
    .bind(key.id.as_bytes().as_slice())
    .bind(version_to(version))
    .bind(dies_at(&columns))
    .bind(columns.generation)
    .bind(columns.confirmed_at)
    .bind(columns.offered_at)
    .bind(columns.idle_timeout)
    .bind(columns.idle_deadline)
    .bind(columns.absolute_deadline)
    .bind(columns.rotation_interval)
    .bind(columns.timing)
    .bind(columns.claims)
    .bind(columns.stale_since)
    .bind(columns.methods)
    .bind(columns.proof)
    .bind(columns.origin)
    .bind(columns.persistent)
    .bind(columns.attached);
    let done = replace.execute(connection).await.map_err(unavailable)?;
    Ok(done.rows_affected() > 0)
}

/// The statement that revokes the sessions for which a condition is true. It deletes their claims, origins and attached
/// values.
macro_rules! revoke_where {
    ($condition:literal) => {
        concat!(
            "UPDATE sliding_sessions SET revoked = 1, dies_at = absolute_deadline, \
             claims = CAST('null' AS BLOB), origin = NULL, attached = NULL, \
             version = version + 1 + (random() & 0xfffff) \
             WHERE realm = ?1 AND subject = ?2 AND NOT revoked \
             AND run = (SELECT run FROM sliding_sessions_meta) AND ",
            $condition,
            " RETURNING id"
        )
    };
}

/// Revokes a session, unless the session is already revoked. Returns the ID if this call revoked the session.
pub(super) async fn revoke_one(
    connection: &mut SqliteConnection,
    subject: &Subject,
    id: &SessionId,
) -> Result<Vec<SessionId>, StoreError> {
    let revoke = on!(revoke_where!("id = ?3"), subject).bind(id.as_bytes().as_slice());
    ids(&revoke.fetch_all(connection).await.map_err(unavailable)?)
}

/// Revokes the sessions of a subject that began before the time `before`, or all if there is no such time. Skips the
/// session `except` and sessions that are already revoked. Returns the IDs of the sessions that this call revoked.
pub(super) async fn revoke_all(
    connection: &mut SqliteConnection,
    subject: &Subject,
    before: Option<Timestamp>,
    except: Option<&SessionId>,
) -> Result<Vec<SessionId>, StoreError> {
    let revoke = on!(revoke_where!("(?3 IS NULL OR created_at < ?3) AND (?4 IS NULL OR id <> ?4)"), subject)
        .bind(before.map(time_to))
        .bind(except.map(|id| id.as_bytes().to_vec()));
    ids(&revoke.fetch_all(connection).await.map_err(unavailable)?)
}

fn ids(rows: &[SqliteRow]) -> Result<Vec<SessionId>, StoreError> {
    rows.iter().map(|row| session_id(&row.try_get::<Vec<u8>, _>(0).map_err(unavailable)?)).collect()
}

/// Appends an event to the feed. `at` is the time of the event, in milliseconds since 1970.
pub(super) async fn publish(
    connection: &mut SqliteConnection,
    event: &FeedEvent,
    at: i64,
) -> Result<(), StoreError> {
    let row = EventRow::of(event, at);
    sqlx::query(
        "INSERT INTO sliding_sessions_feed (mark, kind, at, realm, subject, id, began_before) \
         VALUES (random(), ?1, ?2, ?3, ?4, ?5, ?6)",
    )
    .bind(row.kind.number())
    .bind(row.at)
    .bind(row.subject.map(|subject| subject.realm.as_bytes()))
    .bind(row.subject.map(|subject| subject.name.as_bytes()))
    .bind(row.id)
    .bind(row.began_before)
    .execute(connection)
    .await
    .map(drop)
    .map_err(unavailable)
}

/// Reads the feed. One statement reads all rows, so they are of one snapshot.
pub(super) async fn look(
    connection: &mut SqliteConnection,
    after: Cursor,
    since: i64,
) -> Result<Table, StoreError> {
    let rows = sqlx::query(LOOK)
        .bind(after.seq)
        .bind(after.mark)
        .bind(since)
        .bind(LIMIT)
        .fetch_all(connection)
        .await
        .map_err(unavailable)?;
    Table::read(&rows)
}

/// The time of the clock of this machine, in milliseconds since 1970.
pub(super) async fn now(connection: &mut SqliteConnection) -> Result<i64, StoreError> {
    sqlx::query_scalar("SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER)")
        .fetch_one(connection)
        .await
        .map_err(unavailable)
}
