//! Deletes expired sessions, expired values, and old events of the feed.

use super::PostgresStore;
use crate::{
    store::{
        StoreError,
        sql::{KEPT, SWEEP_BATCH, SWEEP_MARGIN, time_to, unavailable},
    },
    time::Timestamp,
};

pub(super) async fn sweep(store: &PostgresStore, now: Timestamp) -> Result<u64, StoreError> {
    let margin = i64::try_from(SWEEP_MARGIN.as_millis()).unwrap_or(i64::MAX);
    let swept = repeat(store, "sweep", time_to(now - SWEEP_MARGIN), margin).await?;
    repeat(store, "sweep_values", time_to(now - SWEEP_MARGIN), margin).await?;
    let kept = i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX);
    repeat(store, "prune", time_to(now - KEPT), kept).await?;
    Ok(swept)
}

/// Repeats an operation until less than a full batch is deleted. Each batch is a separate transaction, so that other
/// calls do not wait long. Returns the number of deleted rows.
async fn repeat(
    store: &PostgresStore,
    operation: &'static str,
    before: i64,
    age: i64,
) -> Result<u64, StoreError> {
    let mut total = 0;
    loop {
        let row = store.call(operation).await?.bind(before).bind(age).bind(SWEEP_BATCH).row().await?;
        let gone: i64 = sqlx::Row::try_get(&row, 0).map_err(unavailable)?;
        total += gone.unsigned_abs();
        if gone < SWEEP_BATCH {
            return Ok(total);
        }
    }
}
