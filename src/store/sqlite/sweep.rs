//! Deletes expired sessions, expired values, and old events of the feed.

use sqlx::SqlitePool;

use super::write::Write;
use crate::{
    store::{
        StoreError,
        sql::{KEPT, SWEEP_BATCH, SWEEP_MARGIN, time_to, unavailable},
    },
    time::Timestamp,
};

/// Sweeps the store. Each batch is a separate transaction, so that requests can use the store between two batches.
/// Returns the number of deleted sessions.
pub(super) async fn sweep(pool: &SqlitePool, now: Timestamp) -> Result<u64, StoreError> {
    let mut swept = 0;
    loop {
        let gone = sqlx::query(
            "DELETE FROM sliding_sessions WHERE rowid IN (SELECT rowid FROM sliding_sessions \
             WHERE dies_at <= ?1 ORDER BY dies_at LIMIT ?2)",
        )
        .bind(time_to(now - SWEEP_MARGIN))
        .bind(SWEEP_BATCH)
        .execute(pool)
        .await
        .map_err(unavailable)?
        .rows_affected();
        swept += gone;
        if gone < SWEEP_BATCH.unsigned_abs() {
            break;
        }
    }
    while sweep_values(pool, time_to(now - SWEEP_MARGIN)).await? >= SWEEP_BATCH.unsigned_abs() {}
    while prune(pool, time_to(now - KEPT)).await? >= SWEEP_BATCH.unsigned_abs() {}
    Ok(swept)
}

async fn sweep_values(pool: &SqlitePool, before: i64) -> Result<u64, StoreError> {
    let delete = sqlx::query(
        "DELETE FROM sliding_sessions_values WHERE key IN (SELECT key FROM sliding_sessions_values \
         WHERE keep_until <= ?1 ORDER BY keep_until LIMIT ?2)",
    );
    let deleted = delete.bind(before).bind(SWEEP_BATCH).execute(pool).await.map_err(unavailable)?;
    Ok(deleted.rows_affected())
}

/// Deletes a batch of old events, and writes down up to which row and time. Returns the number of deleted events.
async fn prune(pool: &SqlitePool, before: i64) -> Result<u64, StoreError> {
    let mut transaction = Write::begin(pool).await?;
    let old: Vec<(i64, i64, i64)> = sqlx::query_as(
        "SELECT seq, mark, at FROM sliding_sessions_feed WHERE at < ?1 ORDER BY at, seq LIMIT ?2",
    )
    .bind(before)
    .bind(SWEEP_BATCH)
    .fetch_all(&mut *transaction)
    .await
    .map_err(unavailable)?;
    // Usually there is nothing to delete. Then there is nothing to write.
    let (Some((seq, mark, _)), Some((_, _, at))) = (old.iter().max(), old.last()) else {
        return transaction.rollback().await.map(|()| 0);
    };
    sqlx::query(
        "UPDATE sliding_sessions_meta SET pruned_at = MAX(pruned_at, ?3), \
         pruned_mark = IIF(pruned_seq < ?1, ?2, pruned_mark), pruned_seq = MAX(pruned_seq, ?1)",
    )
    .bind(seq)
    .bind(mark)
    .bind(at)
    .execute(&mut *transaction)
    .await
    .map_err(unavailable)?;
    for (seq, ..) in &old {
        let delete = sqlx::query("DELETE FROM sliding_sessions_feed WHERE seq = ?1").bind(seq);
        delete.execute(&mut *transaction).await.map_err(unavailable)?;
    }
    transaction.commit().await?;
    Ok(old.len() as u64)
}
