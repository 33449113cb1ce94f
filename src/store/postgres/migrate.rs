//! The tables and functions, as the crate brings them along.

use sqlx::{PgConnection, PgPool};

use crate::{
    id::RunId,
    store::{
        StoreError,
        sql::{Lease, run_to, unavailable},
    },
};

/// The migrations, oldest first. What has been published is never changed.
const MIGRATIONS: [&str; 1] = [include_str!("migration_1.sql")];

/// Held while migrating. A random number that nobody else uses.
const LOCK: i64 = 5_894_071_233_950_017_421;

/// Makes the tables what this version wants. However many do so at once, one does it: each looks
/// again once it holds the lock.
pub(super) async fn migrate(pool: &PgPool) -> Result<(), StoreError> {
    let run = RunId::random()?;
    let mut lease = Lease::take(pool).await?;
    if version(&mut lease).await.map_err(unavailable)? < MIGRATIONS.len() {
        let applied = apply(&mut lease, run).await;
        if applied.is_err() {
            // The connection is closed, and whatever it began undone.
            return applied.map_err(unavailable);
        }
    }
    lease.done();
    Ok(())
}

async fn apply(connection: &mut PgConnection, run: RunId) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("BEGIN ISOLATION LEVEL READ COMMITTED").execute(&mut *connection).await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *connection).await?;
    let version = version(connection).await?;
    for migration in MIGRATIONS.iter().skip(version) {
        sqlx::raw_sql(*migration).execute(&mut *connection).await?;
    }
    sqlx::query(
        "INSERT INTO sliding_sessions_meta (version, run) VALUES ($1, $2) \
         ON CONFLICT (one) DO UPDATE SET version = GREATEST(sliding_sessions_meta.version, excluded.version)",
    )
    .bind(i64::try_from(MIGRATIONS.len()).unwrap_or_default())
    .bind(run_to(run))
    .execute(&mut *connection)
    .await?;
    sqlx::raw_sql("COMMIT").execute(connection).await.map(drop)
}

/// How many migrations were applied.
async fn version(connection: &mut PgConnection) -> Result<usize, sqlx::Error> {
    // Not by to_regclass: that goes by what the server remembers for the connection, and waiting for
    // a lock of ours does not make it look again. A query always sees what was committed before it.
    let tables: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_class AS c \
         WHERE c.relname = 'sliding_sessions_meta' AND pg_catalog.pg_table_is_visible(c.oid))",
    )
    .fetch_one(&mut *connection)
    .await?;
    if !tables {
        return Ok(0);
    }
    let version: Option<i64> = sqlx::query_scalar("SELECT version FROM sliding_sessions_meta")
        .fetch_optional(&mut *connection)
        .await?;
    Ok(version.and_then(|version| usize::try_from(version).ok()).unwrap_or_default())
}
