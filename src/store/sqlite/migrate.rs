//! Creates and updates the tables.

use sqlx::{AssertSqlSafe, SqliteConnection, SqlitePool};

use super::write::Write;
use crate::{
    id::RunId,
    store::{
        StoreError,
        sql::{run_to, unavailable},
    },
    time::{Clock as _, SystemClock},
};

/// The migrations, oldest first. A published migration is never changed.
const MIGRATIONS: [&str; 3] =
    [include_str!("migration_1.sql"), include_str!("migration_2.sql"), include_str!("migration_3.sql")];

/// Updates the tables to this version. If several processes call this at the same time, one process does the work: each
/// process checks the version again once it holds the write lock.
pub(super) async fn migrate(pool: &SqlitePool) -> Result<(), StoreError> {
    let run = RunId::newer_than(None, SystemClock.now())?;
    let mut connection = pool.acquire().await.map_err(unavailable)?;
    if version(&mut connection).await.map_err(unavailable)? >= MIGRATIONS.len() {
        return Ok(());
    }
    drop(connection);
    let mut transaction = Write::begin(pool).await?;
    apply(&mut transaction, run).await.map_err(unavailable)?;
    transaction.commit().await
}

async fn apply(connection: &mut SqliteConnection, run: RunId) -> Result<(), sqlx::Error> {
    let version = version(connection).await?;
    for migration in MIGRATIONS.iter().skip(version) {
        let sql = AssertSqlSafe(migration.replace("{run}", &run_to(run).to_string()));
        sqlx::raw_sql(sql).execute(&mut *connection).await?;
    }
    sqlx::query(
        "INSERT INTO sliding_sessions_meta (one, version, run) VALUES (1, ?1, ?2) \
         ON CONFLICT DO UPDATE SET version = MAX(version, excluded.version)",
    )
    .bind(i64::try_from(MIGRATIONS.len()).unwrap_or_default())
    .bind(run_to(run))
    .execute(connection)
    .await
    .map(drop)
}

/// How many migrations were applied.
async fn version(connection: &mut SqliteConnection) -> Result<usize, sqlx::Error> {
    let tables: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM sqlite_schema WHERE name = 'sliding_sessions_meta'")
            .fetch_one(&mut *connection)
            .await?;
    if tables == 0 {
        return Ok(0);
    }
    let version: Option<i64> = sqlx::query_scalar("SELECT version FROM sliding_sessions_meta")
        .fetch_optional(&mut *connection)
        .await?;
    Ok(version.and_then(|version| usize::try_from(version).ok()).unwrap_or_default())
}
