//! Forgetting what has expired.

use sqlx::PgPool;

use super::run;
use crate::{
    store::{
        StoreError,
        sql::{KEPT, SWEEP_BATCH, SWEEP_MARGIN, time_to, unavailable},
    },
    time::Timestamp,
};

/// Deletes what everybody agrees has expired: the server's clock, too, so that one instance whose
/// clock is ahead cannot end what the others serve. Skips what somebody is changing.
const SWEEP: &str = "WITH gone AS (DELETE FROM sliding_sessions WHERE ctid = ANY (ARRAY(\
     SELECT ctid FROM sliding_sessions \
     WHERE (CASE WHEN revoked THEN absolute_deadline ELSE LEAST(idle_deadline, absolute_deadline) END) \
     <= LEAST($1, (extract(epoch FROM clock_timestamp()) * 1000)::bigint - $2) \
     LIMIT $3 FOR UPDATE SKIP LOCKED)) RETURNING 1) SELECT count(*) FROM gone";

/// Deletes old events, and notes how far, in one statement.
const PRUNE: &str = "WITH gone AS (DELETE FROM sliding_sessions_feed WHERE seq = ANY (ARRAY(\
     SELECT seq FROM sliding_sessions_feed \
     WHERE at < LEAST($1, (extract(epoch FROM clock_timestamp()) * 1000)::bigint - $2) \
     ORDER BY at, seq LIMIT $3 FOR UPDATE SKIP LOCKED)) RETURNING seq, mark, at), \
     last AS (SELECT seq, mark FROM gone ORDER BY seq DESC LIMIT 1), \
     noted AS (UPDATE sliding_sessions_meta AS meta SET \
     pruned_at = GREATEST(meta.pruned_at, (SELECT max(at) FROM gone)), \
     pruned_mark = CASE WHEN meta.pruned_seq < last.seq THEN last.mark ELSE meta.pruned_mark END, \
     pruned_seq = GREATEST(meta.pruned_seq, last.seq) FROM last RETURNING 1) \
     SELECT count(*) FROM gone";

pub(super) async fn sweep(pool: &PgPool, now: Timestamp) -> Result<u64, StoreError> {
    let margin = i64::try_from(SWEEP_MARGIN.as_millis()).unwrap_or(i64::MAX);
    let swept = repeat(pool, SWEEP, time_to(now - SWEEP_MARGIN), margin).await?;
    let kept = i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX);
    repeat(pool, PRUNE, time_to(now - KEPT), kept).await?;
    Ok(swept)
}

/// Each round is a transaction of its own, so that nobody waits long for it.
async fn repeat(pool: &PgPool, statement: &'static str, before: i64, age: i64) -> Result<u64, StoreError> {
    let mut total = 0;
    loop {
        let statement = || sqlx::query(statement).bind(before).bind(age).bind(SWEEP_BATCH);
        let row = run::row(pool, statement).await?;
        let gone: i64 = sqlx::Row::try_get(&row, 0).map_err(unavailable)?;
        total += gone.unsigned_abs();
        if gone < SWEEP_BATCH {
            return Ok(total);
        }
    }
}
