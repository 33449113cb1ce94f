//! Runs a call.
//!
//! On a direct connection, a call is one round trip, with a named prepared statement. Behind a pooler in transaction
//! mode, the current server connection may not know the name, or may have another statement under this name. Each
//! function checks which operation its caller means, so the first such call fails without an effect. The store then
//! runs this call again, and all later calls, in a transaction and without named statements. This works behind every
//! pooler that runs a transaction on one connection. If the pool has no statement cache, the store does so after the
//! first call.
//!
//! A call runs in a separate task. If its caller stops waiting, the connection is not closed. So a slow server is not
//! made slower by new connections.

use std::{fmt, sync::Arc, sync::atomic::Ordering, time::Duration};

use sqlx::{
    AssertSqlSafe, Connection as _, PgConnection,
    postgres::{PgArguments, PgRow},
};
use tokio::{sync::oneshot, time::timeout};

use super::Inner;
use crate::store::{
    StoreError,
    sql::{Lease, keeps_connection, unavailable},
};

/// How often to run a call, at most, if it conflicts with other transactions. A run that a pooler mixed up counts too,
/// but the call is always run again after it.
const TRIES: u32 = 4;
/// How long a call may take before its connection is closed, because the server may have vanished.
const CALL_TIMEOUT: Duration = Duration::from_secs(4);

/// A call of a function that the migration created. The first argument says which function the caller means.
pub(super) struct Call {
    pub(super) named: Arc<str>,
    pub(super) unnamed: Arc<str>,
    pub(super) arguments: PgArguments,
}

/// The error if a pooler ran another statement than the requested statement, although the call was in a transaction.
#[derive(Debug)]
struct MixedUp(StoreError);

impl fmt::Display for MixedUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a pooler between this instance and PostgreSQL runs the statements of one transaction on \
             different connections; use PgBouncer with pool_mode = transaction or session",
        )
    }
}

impl std::error::Error for MixedUp {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

impl Call {
    /// Runs the call in one round trip, with a prepared statement that the connection keeps.
    async fn by_name(&self, connection: &mut PgConnection) -> Result<Vec<PgRow>, sqlx::Error> {
        let sql = AssertSqlSafe(self.named.clone());
        sqlx::query_with(sql, self.arguments.clone()).fetch_all(connection).await
    }

    /// Runs the call in four round trips, in a transaction. A pooler keeps the connection until the transaction ends.
    async fn in_transaction(&self, connection: &mut PgConnection) -> Result<Vec<PgRow>, sqlx::Error> {
        let mut transaction = connection.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
        let sql = AssertSqlSafe(self.unnamed.clone());
        let query = sqlx::query_with(sql, self.arguments.clone()).persistent(false);
        match query.fetch_all(&mut *transaction).await {
            Ok(rows) => transaction.commit().await.map(|()| rows),
            Err(error @ sqlx::Error::Database(_)) => transaction.rollback().await.and(Err(error)),
            Err(error) => Err(error),
        }
    }
}

/// Runs a call in a separate task. If the caller has stopped waiting before there is a connection, the task sends
/// nothing.
pub(super) async fn rows(inner: &Arc<Inner>, call: Call) -> Result<Vec<PgRow>, StoreError> {
    let (answer, waiting) = oneshot::channel();
    let inner = inner.clone();
    tokio::spawn(async move {
        let lease = inner.hosts.lease(unavailable).await;
        let ran = match lease {
            Ok(lease) if answer.is_closed() => return lease.done(),
            Ok(lease) => on(&inner, lease, &call).await,
            Err(error) => Err(Failure { error, is_of_connection: true }),
        };
        if ran.as_ref().is_err_and(|failure| failure.is_of_connection) {
            inner.hosts.look_soon();
        }
        let _caller_is_gone = answer.send(ran.map_err(|failure| failure.error));
    });
    waiting.await.unwrap_or_else(|_| Err(StoreError::unavailable("the runtime was shut down")))
}

/// Why a call failed.
struct Failure {
    error: StoreError,
    /// Whether a new connection, or another host, may help.
    is_of_connection: bool,
}

async fn on(inner: &Inner, mut lease: Lease<sqlx::Postgres>, call: &Call) -> Result<Vec<PgRow>, Failure> {
    let of_connection = |error| Failure { error, is_of_connection: true };
    let error = match timeout(CALL_TIMEOUT, tries(inner, &mut lease, call)).await {
        Ok(Ok(rows)) => {
            lease.done();
            return Ok(rows);
        }
        Ok(Err(error)) => error,
        Err(_) => {
            let error = StoreError::unavailable("PostgreSQL did not answer within 4 seconds");
            return Err(of_connection(error));
        }
    };
    let sqlx::Error::Database(database) = &error else { return Err(of_connection(unavailable(error))) };
    let code = database.code().unwrap_or_default();
    let (mixed_up, keeps) = (is_mixed_up(&code), keeps_connection(&code));
    let error = unavailable(error);
    if mixed_up {
        return Err(Failure { error: StoreError::unavailable(MixedUp(error)), is_of_connection: false });
    }
    if keeps {
        lease.done();
    }
    Err(Failure { error, is_of_connection: !keeps })
}

async fn tries(
    inner: &Inner,
    lease: &mut Lease<sqlx::Postgres>,
    call: &Call,
) -> Result<Vec<PgRow>, sqlx::Error> {
    for tries in 1.. {
        let by_name = inner.by_name.load(Ordering::Relaxed);
        let ran = if by_name { call.by_name(lease).await } else { call.in_transaction(lease).await };
        if by_name && ran.is_ok() && lease.cached_statements_size() == 0 {
            // The application has turned off the statement cache. Named statements would stay on the server.
            inner.by_name.store(false, Ordering::Relaxed);
        }
        let code = match &ran {
            Err(sqlx::Error::Database(error)) => error.code().unwrap_or_default(),
            _ => return ran,
        };
        if by_name && is_mixed_up(&code) {
            inner.by_name.store(false, Ordering::Relaxed);
        } else if !lost_a_race(&code) || tries >= TRIES {
            return ran;
        }
    }
    Err(sqlx::Error::RowNotFound)
}

/// Whether the error is `serialization_failure` or `deadlock_detected`: the transaction was rolled back, and can be run
/// again. `serialization_failure` does not occur at READ COMMITTED, but the server may be set to a stricter isolation
/// level.
fn lost_a_race(code: &str) -> bool {
    matches!(code, "40001" | "40P01")
}

/// Whether the call met the statement of another client, or no statement. The call had no effect. `TS001` is an error
/// code of this crate's functions. The other codes occur before a statement begins: the name of the statement is
/// unknown or already used, or the number, the type or the encoding of the arguments is wrong.
fn is_mixed_up(code: &str) -> bool {
    matches!(code, "TS001" | "26000" | "42P05" | "08P01" | "22P03" | "22021")
}
