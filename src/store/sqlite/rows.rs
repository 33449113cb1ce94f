//! The statements of the SQLite store.

use sqlx::{Row as _, SqliteConnection};

use crate::{
    id::{RunId, SessionId},
    store::{
        SessionKey, SessionRecord, StoreError, Subject,
        sql::{
            COLUMNS, Columns, Cursor, Kind, LIMIT, LOOK, Table, bind_columns, column_names, run_from, run_to,
            unavailable,
        },
    },
};

/// Where a session can be deleted: as the memory store sweeps.
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

/// The run, and a session's record if it is of that run. Both in one statement, so of one snapshot.
pub(super) async fn read(
    connection: &mut SqliteConnection,
    key: &SessionKey,
) -> Result<(RunId, Option<SessionRecord>), StoreError> {
    const READ: &str = concat!(
        "SELECT meta.run, ",
        column_names!(),
        " FROM sliding_sessions_meta AS meta LEFT JOIN sliding_sessions AS s \
         ON s.realm = ?1 AND s.subject = ?2 AND s.id = ?3 AND s.run = meta.run"
    );
    let row = sqlx::query(READ)
        .bind(key.subject.realm.as_bytes())
        .bind(key.subject.name.as_bytes())
        .bind(key.id.as_bytes().as_slice())
        .fetch_one(connection)
        .await
        .map_err(unavailable)?;
    let run = run_from(row.try_get(0).map_err(unavailable)?)?;
    Ok((run, Columns::read(&row, 1)?.map(Columns::record).transpose()?))
}

/// Whether there is a session with this id, of whatever run.
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

/// A subject's sessions of the current run, dead or alive, oldest first.
pub(super) async fn of_subject(
    connection: &mut SqliteConnection,
    subject: &Subject,
) -> Result<Vec<SessionRecord>, StoreError> {
    const LIST: &str = concat!(
        "SELECT ",
        column_names!(),
        " FROM sliding_sessions WHERE realm = ?1 AND subject = ?2 \
         AND run = (SELECT run FROM sliding_sessions_meta) ORDER BY created_at, id"
    );
    let rows = sqlx::query(LIST)
        .bind(subject.realm.as_bytes())
        .bind(subject.name.as_bytes())
        .fetch_all(connection)
        .await
        .map_err(unavailable)?;
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
        "INSERT INTO sliding_sessions (realm, subject, run, dies_at, ",
        column_names!(),
        ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    );
    const { assert!(COLUMNS + 4 == 18) };
    let columns = Columns::of(record)?;
    let insert = sqlx::query(INSERT)
        .bind(subject.realm.as_bytes())
        .bind(subject.name.as_bytes())
        .bind(run_to(run))
        .bind(dies_at(&columns));
    bind_columns!(insert, columns).execute(connection).await.map(drop).map_err(unavailable)
}

/// Writes what can change of a record.
pub(super) async fn update(
    connection: &mut SqliteConnection,
    subject: &Subject,
    record: &SessionRecord,
) -> Result<(), StoreError> {
    let columns = Columns::of(record)?;
    sqlx::query(
        "UPDATE sliding_sessions SET dies_at = ?4, generation = ?5, confirmed_at = ?6, \
         idle_deadline = ?7, revoked = ?8, claims = ?9, stale_since = ?10, proof = ?11, origin = ?12 \
         WHERE realm = ?1 AND subject = ?2 AND id = ?3",
    )
    .bind(subject.realm.as_bytes())
    .bind(subject.name.as_bytes())
    .bind(record.id.as_bytes().as_slice())
    .bind(dies_at(&columns))
    .bind(columns.generation)
    .bind(columns.confirmed_at)
    .bind(columns.idle_deadline)
    .bind(columns.revoked)
    .bind(columns.claims)
    .bind(columns.stale_since)
    .bind(columns.proof)
    .bind(columns.origin)
    .execute(connection)
    .await
    .map(drop)
    .map_err(unavailable)
}

/// Adds a row to the feed.
pub(super) async fn publish(
    connection: &mut SqliteConnection,
    kind: Kind,
    at: i64,
    subject: Option<&Subject>,
    id: Option<&[u8]>,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO sliding_sessions_feed (mark, kind, at, realm, subject, id) \
         VALUES (random(), ?1, ?2, ?3, ?4, ?5)",
    )
    .bind(kind.number())
    .bind(at)
    .bind(subject.map(|subject| subject.realm.as_bytes()))
    .bind(subject.map(|subject| subject.name.as_bytes()))
    .bind(id)
    .execute(connection)
    .await
    .map(drop)
    .map_err(unavailable)
}

/// Reads the feed. One statement, so of one snapshot.
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

/// The time, by the clock of this machine, in milliseconds since 1970.
pub(super) async fn now(connection: &mut SqliteConnection) -> Result<i64, StoreError> {
    sqlx::query_scalar("SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER)")
        .fetch_one(connection)
        .await
        .map_err(unavailable)
}
