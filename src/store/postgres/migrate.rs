//! Creates and updates the tables and functions.
//!
//! All statements run in transactions, and all locks end with their transaction. So a migration may run through a
//! pooler.

use std::fmt;

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

/// The migrations, oldest first. A published migration is never changed.
const MIGRATIONS: [&str; 4] = [
    include_str!("migration_1.sql"),
    include_str!("migration_2.sql"),
    include_str!("migration_3.sql"),
    include_str!("migration_4.sql"),
];
const FUNCTIONS: [&str; 2] = [include_str!("functions.sql"), include_str!("values.sql")];

/// The names of all functions of this version, with the prefix of `home`.
fn function_names(home: &Home) -> Vec<String> {
    let defined = FUNCTIONS.iter().flat_map(|sql| sql.split(" FUNCTION {schema}.").skip(1));
    defined.filter_map(|rest| rest.split('(').next()).map(|name| home.sql(name, 0)).collect()
}

/// The number of the advisory lock that a migration holds. A random number.
const LOCK: i64 = 5_894_071_233_950_017_421;

const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// Returns the rights that the user lacks, as a text. The user needs rights on the tables, because functions run with
/// the rights of the user who calls them.
const MISSING_RIGHTS: &str = "SELECT string_agg(missing.what, ', ') FROM (\
    SELECT t.name || ': ' || r.name AS what \
    FROM (VALUES ($2), ($2 || '_feed'), ($2 || '_meta'), ($2 || '_values')) AS t (name), \
    (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE')) AS r (name) \
    WHERE NOT (t.name = $2 || '_meta' AND r.name IN ('INSERT', 'DELETE')) \
    AND NOT has_table_privilege(format('%I.%I', $1, t.name), r.name) \
    UNION ALL SELECT p.proname || ': EXECUTE' FROM pg_catalog.pg_proc AS p \
    JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace \
    WHERE n.nspname = $1 AND starts_with(p.proname, $2 || '_') AND p.proname LIKE '%v3' \
    AND NOT has_function_privilege(p.oid, 'EXECUTE')) AS missing";

/// Updates the tables and functions to this version. If several instances call this at the same time, only one instance
/// makes changes: each instance reads the state again once it holds the lock.
pub(super) async fn migrate(inner: &Inner) -> Result<(), StoreError> {
    let run = run_to(RunId::newer_than(None, SystemClock.now())?);
    let mut lease = first_lease(inner).await?;
    let home = inner.home(&mut lease).await?;
    let mut transaction = lease.begin_with(BEGIN).await.map_err(starting)?;
    let state = State::read(&mut transaction, &home).await.map_err(starting)?;
    if state.is_current(&home) {
        transaction.commit().await.map_err(unavailable)?;
    } else {
        // If `apply` fails, the connection is closed, and the transaction is rolled back.
        let applied = apply(transaction, &home, run).await.map_err(starting);
        applied.map_err(|error| match error {
            StoreError::Configuration(source) => {
                StoreError::configuration(NotMigrated { source: Some(source), ..state.missing(&home) })
            }
            error => error,
        })?;
    }
    check_rights(lease, &home).await
}

/// Returns the statements that [`migrate`] would run, as a script. Returns `None` if there is nothing to do.
pub(super) async fn pending(inner: &Inner) -> Result<Option<String>, StoreError> {
    let run = run_to(RunId::newer_than(None, SystemClock.now())?);
    let mut lease = first_lease(inner).await?;
    let home = inner.home(&mut lease).await?;
    let state = look(&mut lease, &home).await?;
    lease.done();
    let (schema, tables) = (home.quoted(), home.tables());
    Ok((!state.is_current(&home)).then(|| {
        let script = [
            format!("-- tower-sliding-sessions: version {} of its tables and functions", MIGRATIONS.len()),
            "BEGIN;".to_owned(),
            state.statements(&home, run).join("\n"),
            "COMMIT;".to_owned(),
            "-- The application's user then needs these rights:".to_owned(),
            format!("-- GRANT USAGE ON SCHEMA {schema} TO …;"),
            format!(
                "-- GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.{tables}, {schema}.{tables}_feed, \
                 {schema}.{tables}_meta, {schema}.{tables}_values TO …;"
            ),
        ];
        script.join("\n") + "\n"
    }))
}

/// Checks that the tables and functions exist, and that the user has the rights on them.
pub(super) async fn check(inner: &Inner) -> Result<(), StoreError> {
    let mut lease = first_lease(inner).await?;
    let home = inner.home(&mut lease).await?;
    let state = look(&mut lease, &home).await?;
    if !state.is_current(&home) {
        lease.done();
        return Err(StoreError::configuration(state.missing(&home)));
    }
    check_rights(lease, &home).await
}

/// Takes the first connection. Errors in the configuration show here.
async fn first_lease(inner: &Inner) -> Result<Lease<Postgres>, StoreError> {
    if inner.hosts.are_several() {
        inner.hosts.look().await?;
    }
    match inner.hosts.lease(starting).await {
        Ok(lease) => Ok(lease),
        Err(error) => Err(inner.hosts.explain(error).await),
    }
}

async fn look(lease: &mut Lease<Postgres>, home: &Home) -> Result<State, StoreError> {
    let mut transaction = lease.begin_with(BEGIN).await.map_err(starting)?;
    let state = State::read(&mut transaction, home).await.map_err(starting)?;
    transaction.commit().await.map_err(unavailable)?;
    Ok(state)
}

async fn check_rights(mut lease: Lease<Postgres>, home: &Home) -> Result<(), StoreError> {
    let mut transaction = lease.begin_with(BEGIN).await.map_err(starting)?;
    let missing: Option<String> = sqlx::query_scalar(MISSING_RIGHTS)
        .bind(home.name())
        .bind(home.tables())
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
        for statements in state.statements(home, run) {
            raw_sql(AssertSqlSafe(statements)).execute(&mut *transaction).await?;
        }
    }
    transaction.commit().await
}

/// The tables and functions that exist.
struct State {
    /// How many migrations were applied.
    version: usize,
    /// The schema for which the functions were created. A schema can be renamed, or restored under another name.
    functions_of: Option<String>,
    /// How many functions of this version exist. A backup of only the tables contains no functions.
    functions: usize,
}

/// The error if the tables or functions are not as this version needs them.
#[derive(Debug)]
struct NotMigrated {
    what: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl fmt::Display for NotMigrated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; run `PostgresStore::migrate` as a user who may create them", self.what)?;
        f.write_str(", or let an administrator run the SQL of `PostgresStore::pending_migration`")
    }
}

impl std::error::Error for NotMigrated {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl State {
    fn is_current(&self, home: &Home) -> bool {
        self.version >= MIGRATIONS.len()
            && self.functions_of.as_deref() == Some(home.name())
            && self.functions == function_names(home).len()
    }

    fn missing(&self, home: &Home) -> NotMigrated {
        let (schema, tables, wanted) = (home.quoted(), home.tables(), MIGRATIONS.len());
        let what = match self.version {
            0 => format!("the schema {schema} has no tables {tables}"),
            version if version < wanted => {
                format!(
                    "the tables {schema}.{tables} are of version {version}, and version {wanted} is needed"
                )
            }
            _ => format!("functions of {schema}.{tables} are missing, or were made for another schema"),
        };
        NotMigrated { what, source: None }
    }

    /// The statements that update the tables and functions from this state to this version.
    fn statements(&self, home: &Home, run: i64) -> Vec<String> {
        // The name of the schema contains no quotes and no backslashes: see `Home::new`.
        let noted = format!(
            "INSERT INTO {{schema}}.sliding_sessions_meta AS meta (version, run, home) \
             VALUES ({}, {{run}}, '{{name}}') ON CONFLICT (one) DO UPDATE \
             SET home = excluded.home, version = GREATEST(meta.version, excluded.version);",
            MIGRATIONS.len()
        );
        let migrations = MIGRATIONS.iter().skip(self.version).chain(&FUNCTIONS);
        migrations.map(|sql| home.sql(sql, run)).chain([home.sql(&noted, run)]).collect()
    }

    async fn read(connection: &mut PgConnection, home: &Home) -> Result<Self, sqlx::Error> {
        let there: Option<i64> = sqlx::query_scalar(
            "SELECT count(*) FILTER (WHERE a.attname = 'home') FROM pg_catalog.pg_class AS c \
             JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
             JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND NOT a.attisdropped \
             WHERE c.relname = $2 AND n.nspname = $1 HAVING count(*) > 0",
        )
        .bind(home.name())
        .bind(format!("{}_meta", home.tables()))
        .persistent(false)
        .fetch_optional(&mut *connection)
        .await?;
        let Some(has_home) = there else { return Ok(Self { version: 0, functions_of: None, functions: 0 }) };
        let column = if has_home > 0 { "home" } else { "NULL::text" };
        let sql = format!("SELECT version, {column} FROM {}.{}_meta", home.quoted(), home.tables());
        let row: Option<(i64, Option<String>)> =
            sqlx::query_as(AssertSqlSafe(sql)).persistent(false).fetch_optional(&mut *connection).await?;
        let (version, functions_of) = row.unwrap_or_default();
        let functions: i64 = sqlx::query_scalar(
            "SELECT count(DISTINCT p.proname) FROM pg_catalog.pg_proc AS p \
             JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace \
             WHERE n.nspname = $1 AND p.proname = ANY ($2)",
        )
        .bind(home.name())
        .bind(function_names(home))
        .persistent(false)
        .fetch_one(connection)
        .await?;
        let number = |number| usize::try_from(number).unwrap_or_default();
        Ok(Self { version: number(version), functions_of, functions: number(functions) })
    }
}
