//! The tables and functions, as the crate brings them along.
//!
//! All of it is transactions, with locks that end with them: it may go through a pooler.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Postgres, Transaction, raw_sql};

use super::{Inner, home::Home};
use crate::{
    id::RunId,
    store::{
        StoreError,
        sql::{Lease, run_to, starting, unavailable},
    },
    time::{Clock as _, SystemClock},
};

/// The migrations, oldest first. What has been published is never changed.
const MIGRATIONS: [&str; 3] =
    [include_str!("migration_1.sql"), include_str!("migration_2.sql"), include_str!("migration_3.sql")];
const FUNCTIONS: [&str; 2] = [include_str!("functions.sql"), include_str!("values.sql")];

/// Held while migrating. A random number.
const LOCK: i64 = 5_894_071_233_950_017_421;

const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// What the user lacks, in words. Functions run with the rights of the user who calls them.
const MISSING_RIGHTS: &str = "SELECT string_agg(t.name || ': ' || r.name, ', ') \
    FROM (VALUES ('sliding_sessions'), ('sliding_sessions_feed'), ('sliding_sessions_meta'), \
    ('sliding_sessions_values')) AS t (name), \
    (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE')) AS r (name) \
    WHERE NOT (t.name = 'sliding_sessions_meta' AND r.name IN ('INSERT', 'DELETE')) \
    AND NOT has_table_privilege(format('%I.%I', $1, t.name), r.name)";

/// Makes the tables and functions what this version wants. However many do so at once, one does it:
/// each looks again once it holds the lock.
pub(super) async fn migrate(inner: &Inner) -> Result<(), StoreError> {
    let run = run_to(RunId::newer_than(None, SystemClock.now())?);
    let mut lease = inner.pool.acquire().await.map(Lease::of).map_err(starting)?;
    let home = inner.home(&mut lease).await?;
    let mut transaction = lease.begin_with(BEGIN).await.map_err(starting)?;
    if State::read(&mut transaction, &home).await.map_err(starting)?.is_current(&home) {
        transaction.commit().await.map_err(unavailable)?;
    } else {
        // If it fails, the connection is closed, and what it began undone.
        apply(transaction, &home, run).await.map_err(starting)?;
    }
    let mut transaction = lease.begin_with(BEGIN).await.map_err(starting)?;
    let missing: Option<String> = sqlx::query_scalar(MISSING_RIGHTS)
        .bind(home.name())
        .persistent(false)
        .fetch_one(&mut *transaction)
        .await
        .map_err(starting)?;
    transaction.commit().await.map_err(unavailable)?;
    lease.done();
    match missing {
        Some(missing) => {
            Err(StoreError::configuration(format!("the database user lacks rights on {missing}")))
        }
        None => Ok(()),
    }
}

async fn apply(mut transaction: Transaction<'_, Postgres>, home: &Home, run: i64) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(LOCK)
        .persistent(false)
        .execute(&mut *transaction)
        .await?;
    let state = State::read(&mut transaction, home).await?;
    if !state.is_current(home) {
        for migration in MIGRATIONS.iter().skip(state.version) {
            raw_sql(home.sql(migration, run)).execute(&mut *transaction).await?;
        }
        for functions in FUNCTIONS {
            raw_sql(home.sql(functions, run)).execute(&mut *transaction).await?;
        }
        let noted = format!(
            "INSERT INTO {home}.sliding_sessions_meta (version, run, home) VALUES ($1, $2, $3) \
             ON CONFLICT (one) DO UPDATE SET home = $3, \
             version = GREATEST(sliding_sessions_meta.version, excluded.version)",
            home = home.quoted()
        );
        sqlx::query(AssertSqlSafe(noted))
            .bind(i64::try_from(MIGRATIONS.len()).unwrap_or_default())
            .bind(run)
            .bind(home.name())
            .persistent(false)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await
}

/// What is there.
struct State {
    /// How many migrations were applied.
    version: usize,
    /// The schema that the functions were made for. A schema can be renamed, or restored as another.
    functions_of: Option<String>,
}

impl State {
    fn is_current(&self, home: &Home) -> bool {
        self.version >= MIGRATIONS.len() && self.functions_of.as_deref() == Some(home.name())
    }

    async fn read(connection: &mut PgConnection, home: &Home) -> Result<Self, sqlx::Error> {
        let there: Option<i64> = sqlx::query_scalar(
            "SELECT count(*) FILTER (WHERE a.attname = 'home') FROM pg_catalog.pg_class AS c \
             JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
             JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND NOT a.attisdropped \
             WHERE c.relname = 'sliding_sessions_meta' AND n.nspname = $1 HAVING count(*) > 0",
        )
        .bind(home.name())
        .persistent(false)
        .fetch_optional(&mut *connection)
        .await?;
        let Some(has_home) = there else { return Ok(Self { version: 0, functions_of: None }) };
        let column = if has_home > 0 { "home" } else { "NULL::text" };
        let sql = format!("SELECT version, {column} FROM {}.sliding_sessions_meta", home.quoted());
        let row: Option<(i64, Option<String>)> =
            sqlx::query_as(AssertSqlSafe(sql)).persistent(false).fetch_optional(connection).await?;
        let (version, functions_of) = row.unwrap_or_default();
        Ok(Self { version: usize::try_from(version).unwrap_or_default(), functions_of })
    }
}
