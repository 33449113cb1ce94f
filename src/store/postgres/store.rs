//! The operations.

use sqlx::{Row as _, query};

use super::{Names, PostgresStore, run, snapshot};
use crate::{
    id::{RunId, SessionId},
    protocol::Advance,
    store::{
        Cap, CreateError, FeedBatch, FeedFrom, Overflow, Proof, Revoke, SessionKey, SessionRecord,
        SessionStore, Snapshot, StaleScope, StoreError, Subject,
        sql::{
            Columns, Kind, LIMIT, LOOK, Table, bind_columns, column_names, corrupt, follow, run_from, run_to,
            session_id, time_to, unavailable,
        },
    },
    time::Timestamp,
};

/// `query` with the three parts of a key as its first arguments.
macro_rules! on {
    ($sql:expr, $key:expr) => {{
        let key: &SessionKey = $key;
        query($sql)
            .bind(key.subject.realm.as_bytes())
            .bind(key.subject.name.as_bytes())
            .bind(key.id.as_bytes().as_slice())
    }};
}

/// A generation that tokens may name but no record can be at, which matches nothing.
fn generation(generation: u64) -> i64 {
    i64::try_from(generation).unwrap_or(-1)
}

fn ids(bytes: &[Vec<u8>]) -> Result<Vec<SessionId>, StoreError> {
    bytes.iter().map(|id| session_id(id)).collect()
}

impl SessionStore for PostgresStore {
    async fn create(
        &self,
        subject: &Subject,
        record: &SessionRecord,
        cap: Option<Cap>,
    ) -> Result<(RunId, Vec<SessionId>), CreateError> {
        let (now, names) = (record.family.created_at, Names::of(subject)?);
        let limit = cap.map(|cap| i64::try_from(cap.limit.max(1)).unwrap_or(i64::MAX));
        let refuse = cap.is_some_and(|cap| cap.overflow == Overflow::Refuse);
        // Checked here, so that it can be made again without failing.
        let columns = Columns::of(record)?;
        let row = run::row(&self.0.pool, || {
            let create = query(
                "SELECT * FROM sliding_sessions_create_v1(\
                 $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)",
            );
            let create = create.bind(names.realm.as_slice()).bind(names.name.as_slice());
            let create = bind_columns!(create, columns.clone());
            create.bind(limit).bind(refuse).bind(names.lock()).bind(Kind::Revoked.number())
        })
        .await?;
        match row.try_get::<i64, _>(0).map_err(unavailable)? {
            0 => {}
            1 => return Err(CreateError::Exists),
            2 => return Err(CreateError::TooMany),
            _ => return Err(corrupt("an outcome that does not exist").into()),
        }
        let run = run_from(row.try_get(1).map_err(unavailable)?)?;
        let ended = ids(&row.try_get::<Vec<_>, _>(2).map_err(unavailable)?)?;
        if self.0.swept.is_due(now) {
            let store = self.clone();
            // What fails now is tried again with the next sweep.
            tokio::spawn(async move { store.sweep(now).await });
        }
        Ok((run, ended))
    }

    async fn advance(&self, key: &SessionKey, advance: &Advance) -> Result<Snapshot, StoreError> {
        let row = run::row(&self.0.pool, || {
            on!("SELECT * FROM sliding_sessions_advance_v1($1, $2, $3, $4, $5, $6)", key)
                .bind(generation(advance.from))
                .bind(time_to(advance.confirmed_by))
                .bind(time_to(advance.at))
        })
        .await?;
        snapshot(&row)
    }

    async fn get(&self, key: &SessionKey) -> Result<Snapshot, StoreError> {
        let row =
            run::row(&self.0.pool, || on!("SELECT * FROM sliding_sessions_get_v1($1, $2, $3, false)", key))
                .await?;
        snapshot(&row)
    }

    async fn confirm(&self, key: &SessionKey, confirmed: u64, at: Timestamp) -> Result<(), StoreError> {
        run::rows(&self.0.pool, || {
            on!(
                "UPDATE sliding_sessions SET confirmed_at = $5, \
                 idle_deadline = GREATEST(idle_deadline, LEAST($5 + idle_timeout, absolute_deadline)) \
                 WHERE realm = $1 AND subject = $2 AND id = $3 \
                 AND run = (SELECT run FROM sliding_sessions_meta) \
                 AND NOT revoked AND $5 < idle_deadline AND $5 < absolute_deadline \
                 AND generation = $4 AND confirmed_at IS NULL",
                key
            )
            .bind(generation(confirmed))
            .bind(time_to(at))
        })
        .await
        .map(drop)
    }

    async fn touch(&self, key: &SessionKey, at: Timestamp) -> Result<(), StoreError> {
        run::rows(&self.0.pool, || {
            on!(
                "UPDATE sliding_sessions SET idle_deadline = LEAST($4 + idle_timeout, absolute_deadline) \
                 WHERE realm = $1 AND subject = $2 AND id = $3 \
                 AND run = (SELECT run FROM sliding_sessions_meta) \
                 AND NOT revoked AND $4 < idle_deadline AND $4 < absolute_deadline \
                 AND idle_deadline < LEAST($4 + idle_timeout, absolute_deadline)",
                key
            )
            .bind(time_to(at))
        })
        .await
        .map(drop)
    }

    async fn fast_forward(&self, key: &SessionKey, to: u64, at: Timestamp) -> Result<Snapshot, StoreError> {
        let row = run::row(&self.0.pool, || {
            on!("SELECT * FROM sliding_sessions_fast_forward_v1($1, $2, $3, $4, $5)", key)
                .bind(generation(to))
                .bind(time_to(at))
        })
        .await?;
        snapshot(&row)
    }

    async fn record_proof(&self, key: &SessionKey, proof: &Proof) -> Result<Snapshot, StoreError> {
        let json = serde_json::to_vec(proof).map_err(StoreError::corrupt)?;
        let row = run::row(&self.0.pool, || {
            on!("SELECT * FROM sliding_sessions_prove_v1($1, $2, $3, $4, $5)", key)
                .bind(json.as_slice())
                .bind(time_to(proof.at))
        })
        .await?;
        snapshot(&row)
    }

    async fn put_claims(
        &self,
        key: &SessionKey,
        claims: &str,
        at: Timestamp,
    ) -> Result<Snapshot, StoreError> {
        let row = run::row(&self.0.pool, || {
            on!("SELECT * FROM sliding_sessions_put_claims_v1($1, $2, $3, $4, $5, $6)", key)
                .bind(claims.as_bytes())
                .bind(time_to(at))
                .bind(Kind::SessionStale.number())
        })
        .await?;
        snapshot(&row)
    }

    async fn revoke(&self, what: &Revoke, at: Timestamp) -> Result<Vec<SessionId>, StoreError> {
        let kind = Kind::Revoked.number();
        match what {
            Revoke::Session(key) => {
                let row = run::row(&self.0.pool, || {
                    on!("SELECT sliding_sessions_end_v1($1, $2, $3, $4, $5)", key)
                        .bind(time_to(at))
                        .bind(kind)
                })
                .await?;
                let ended: bool = row.try_get(0).map_err(unavailable)?;
                Ok(ended.then_some(key.id).into_iter().collect())
            }
            Revoke::Subject { subject, before, except } => {
                let names = Names::of(subject)?;
                let row = run::row(&self.0.pool, || {
                    query("SELECT sliding_sessions_end_all_v1($1, $2, $3, $4, $5, $6, $7)")
                        .bind(names.realm.as_slice())
                        .bind(names.name.as_slice())
                        .bind(before.map(time_to))
                        .bind(except.as_ref().map(|id| id.as_bytes().as_slice()))
                        .bind(time_to(at))
                        .bind(names.lock())
                        .bind(kind)
                })
                .await?;
                ids(&row.try_get::<Vec<_>, _>(0).map_err(unavailable)?)
            }
        }
    }

    async fn mark_stale(&self, scope: &StaleScope, at: Timestamp) -> Result<(), StoreError> {
        let (kind, subject, id) = Kind::of_mark(scope);
        run::rows(&self.0.pool, || {
            query("SELECT sliding_sessions_publish_v1($1, $2, $3, $4, ARRAY[$5]::bytea[])")
                .bind(kind.number())
                .bind(time_to(at))
                .bind(subject.realm.as_bytes())
                .bind(subject.name.as_bytes())
                .bind(id)
        })
        .await
        .map(drop)
    }

    async fn list(&self, subject: &Subject, now: Timestamp) -> Result<Vec<SessionRecord>, StoreError> {
        const LIST: &str = concat!(
            "SELECT ",
            column_names!(),
            " FROM sliding_sessions WHERE realm = $1 AND subject = $2 \
             AND run = (SELECT run FROM sliding_sessions_meta) \
             AND NOT revoked AND $3 < idle_deadline AND $3 < absolute_deadline ORDER BY created_at, id"
        );
        let names = Names::of(subject)?;
        let rows = run::rows(&self.0.pool, || {
            query(LIST).bind(names.realm.as_slice()).bind(names.name.as_slice()).bind(time_to(now))
        })
        .await?;
        let record = |row| Columns::read(row, 0)?.map(Columns::record).transpose();
        rows.iter().filter_map(|row| record(row).transpose()).collect()
    }

    async fn run_id(&self) -> Result<RunId, StoreError> {
        let row = run::row(&self.0.pool, || query("SELECT run FROM sliding_sessions_meta")).await?;
        run_from(row.try_get(0).map_err(unavailable)?)
    }

    async fn rotate_run_id(&self) -> Result<RunId, StoreError> {
        let run = RunId::random()?;
        run::rows(&self.0.pool, || {
            query("SELECT sliding_sessions_rotate_v1($1, $2)").bind(run_to(run)).bind(Kind::Run.number())
        })
        .await?;
        Ok(run)
    }

    async fn feed(&self, from: &FeedFrom) -> Result<FeedBatch, StoreError> {
        follow(from, async |after, since| {
            let rows = run::rows(&self.0.pool, || {
                query(LOOK).bind(after.seq).bind(after.mark).bind(since).bind(LIMIT)
            })
            .await?;
            Table::read(&rows)
        })
        .await
    }
}
