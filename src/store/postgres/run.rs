//! Running a statement. Every operation is one statement, and so one round trip and one transaction
//! that PostgreSQL begins and ends itself: there is none that a caller could leave open.

use sqlx::{
    PgPool,
    postgres::{PgArguments, PgRow, Postgres},
    query::Query,
};

use crate::store::{
    StoreError,
    sql::{Lease, unavailable},
};

/// How often a statement is run again after losing to another transaction.
const TRIES: u32 = 4;

/// The statement with its arguments, made anew for each try.
pub(super) async fn rows(
    pool: &PgPool,
    statement: impl Fn() -> Query<'static, Postgres, PgArguments> + Send,
) -> Result<Vec<PgRow>, StoreError> {
    let mut lease = Lease::take(pool).await?;
    for tries in 1.. {
        let ran = statement().fetch_all(&mut *lease).await;
        match ran {
            Ok(rows) => {
                lease.done();
                return Ok(rows);
            }
            Err(sqlx::Error::Database(error)) => {
                if tries < TRIES && lost_a_race(error.code().as_deref()) {
                    continue;
                }
                // The server has answered, so the connection is sound, unless it says goodbye.
                if !error.code().is_some_and(|code| code.starts_with("57")) {
                    lease.done();
                }
                return Err(unavailable(sqlx::Error::Database(error)));
            }
            Err(error) => return Err(unavailable(error)),
        }
    }
    Err(unavailable(sqlx::Error::RowNotFound))
}

/// The statement's one row.
pub(super) async fn row(
    pool: &PgPool,
    statement: impl Fn() -> Query<'static, Postgres, PgArguments> + Send,
) -> Result<PgRow, StoreError> {
    let first = rows(pool, statement).await?.into_iter().next();
    first.ok_or_else(|| unavailable(sqlx::Error::RowNotFound))
}

/// `serialization_failure` and `deadlock_detected`: the transaction was undone, and may be tried
/// again. At READ COMMITTED the first does not come, but a server may be set to more than that.
fn lost_a_race(code: Option<&str>) -> bool {
    matches!(code, Some("40001" | "40P01"))
}
