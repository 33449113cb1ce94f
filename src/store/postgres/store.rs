//! The operations of the PostgreSQL store.

use sqlx::{Row as _, postgres::PgRow};

use super::{Names, PostgresStore, snapshot};
use crate::{
    id::{RunId, SessionId},
    store::{
        Cap, CreateError, FeedBatch, FeedEvent, FeedFrom, Revoke, SessionKey, SessionRecord, SessionStore,
        Snapshot, StoreError, Subject, Value, ValueKey, ValueSnapshot,
        sql::{
            Columns, EventRow, Kind, LIMIT, Table, bind_columns, corrupt, follow, run_from, run_to,
            session_id, time_from, time_to, unavailable, version_from, version_to,
        },
        value::draw_version,
    },
    time::Timestamp,
};

/// Converts a generation for the database. A token may contain a generation that is too large for a record. Such a
/// generation becomes -1, which matches no record.
fn generation(generation: u64) -> i64 {
    i64::try_from(generation).unwrap_or(-1)
}

fn value(row: &PgRow, now: Timestamp) -> Result<ValueSnapshot, StoreError> {
    let version = version_from(row.try_get(1).map_err(unavailable)?)?;
    let Some(bytes) = row.try_get(2).map_err(unavailable)? else { return Ok(ValueSnapshot::MISSING) };
    let keep_until = time_from(row.try_get(3).map_err(unavailable)?)?;
    Ok(ValueSnapshot::found(version, Value { bytes, keep_until }, now))
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
        let limit = cap.map(|cap| i64::try_from(cap.limit()).unwrap_or(i64::MAX));
        let refuse = cap.is_some_and(Cap::refuses);
        let columns = Columns::of(record)?;
        let create = self.call("create").await?.names(&names);
        let create = create.bind(limit).bind(refuse).bind(names.lock()).bind(Kind::Revoked.number());
        let row = bind_columns!(create, columns).row().await?;
        match row.try_get::<i64, _>(0).map_err(unavailable)? {
            0 => {}
            1 => return Err(CreateError::Exists),
            2 => return Err(CreateError::TooMany),
            _ => return Err(corrupt("an outcome that does not exist").into()),
        }
        let run = run_from(row.try_get(1).map_err(unavailable)?)?;
        let revoked = ids(&row.try_get::<Vec<_>, _>(2).map_err(unavailable)?)?;
        self.sweep_at_times(now);
        Ok((run, revoked))
    }

    async fn advance(&self, key: &SessionKey, from: u64, at: Timestamp) -> Result<Snapshot, StoreError> {
        let call = self.call("advance").await?.key(key);
        let row = call.bind(generation(from)).bind(time_to(at)).row().await?;
        self.sweep_at_times(at);
        snapshot(&row)
    }

    async fn get(&self, key: &SessionKey) -> Result<Snapshot, StoreError> {
        snapshot(&self.call("get").await?.key(key).row().await?)
    }

    async fn replace(
        &self,
        key: &SessionKey,
        version: u64,
        record: &SessionRecord,
        event: Option<&FeedEvent>,
    ) -> Result<Snapshot, StoreError> {
        let event = event.map(|event| EventRow::of(event, time_to(event.time())));
        let columns = Columns { id: key.id.as_bytes().to_vec(), ..Columns::of(record)? };
        let replace = self.call("replace").await?.names(&Names::of(&key.subject)?);
        let replace = replace
            .bind(version_to(version))
            .bind(event.as_ref().map(|event| event.kind.number()))
            .bind(event.as_ref().map(|event| event.at));
        snapshot(&bind_columns!(replace, columns).row().await?)
    }

    async fn revoke(&self, what: &Revoke, at: Timestamp) -> Result<Vec<SessionId>, StoreError> {
        let kind = Kind::Revoked.number();
        match what {
            Revoke::Session(key) => {
                let call = self.call("revoke").await?.key(key);
                let row = call.bind(time_to(at)).bind(kind).row().await?;
                let revoked: bool = row.try_get(0).map_err(unavailable)?;
                Ok(revoked.then_some(key.id).into_iter().collect())
            }
            Revoke::Subject { subject, before, except } => {
                let names = Names::of(subject)?;
                let many = i64::try_from(FeedEvent::ONE_BY_ONE).unwrap_or(i64::MAX);
                let row = self
                    .call("revoke_all")
                    .await?
                    .names(&names)
                    .bind(before.map(time_to))
                    .bind(except.as_ref().map(|id| id.as_bytes().to_vec()))
                    .bind(time_to(at))
                    .bind(names.lock())
                    .bind(kind)
                    .bind(many)
                    .bind(Kind::SubjectRevoked.number())
                    .bind(Kind::began_before(*before, at))
                    .row()
                    .await?;
                ids(&row.try_get::<Vec<_>, _>(0).map_err(unavailable)?)
            }
        }
    }

    async fn mark_stale(&self, event: &FeedEvent) -> Result<(), StoreError> {
        let EventRow { kind, at, subject, id, .. } = EventRow::of(event, time_to(event.time()));
        let names = subject.map(Names::of).transpose()?.ok_or_else(|| corrupt("a mark of no subject"))?;
        let call = self.call("mark").await?.bind(kind.number()).bind(at);
        call.names(&names).bind(id).row().await.map(drop)
    }

    async fn list(&self, subject: &Subject, now: Timestamp) -> Result<Vec<SessionRecord>, StoreError> {
        let rows = self.call("list").await?.names(&Names::of(subject)?).bind(time_to(now)).rows().await?;
        let record = |row| Columns::read(row, 3)?.map(Columns::record).transpose();
        rows.iter().filter_map(|row| record(row).transpose()).collect()
    }

    async fn raise_run_id(&self, to: RunId) -> Result<RunId, StoreError> {
        let call = self.call("raise").await?.bind(run_to(to)).bind(Kind::Run.number());
        run_from(call.row().await?.try_get(0).map_err(unavailable)?)
    }

    async fn feed(&self, from: &FeedFrom) -> Result<FeedBatch, StoreError> {
        follow(from, self.0.feed_interval, async |after, since| {
            let call = self.call("look").await?;
            let rows = call.bind(after.seq).bind(after.mark).bind(since).bind(LIMIT).rows().await?;
            Table::read(&rows)
        })
        .await
    }

    fn keeps_values(&self) -> bool {
        true
    }

    async fn value(&self, key: &ValueKey, now: Timestamp) -> Result<ValueSnapshot, StoreError> {
        let call = self.call("value").await?.bind(key.as_bytes().to_vec());
        value(&call.bind(time_to(now)).row().await?, now)
    }

    async fn replace_value(
        &self,
        key: &ValueKey,
        version: u64,
        to: Option<&Value>,
        now: Timestamp,
    ) -> Result<ValueSnapshot, StoreError> {
        let next = draw_version()?;
        let call = self.call("replace_value").await?.bind(key.as_bytes().to_vec());
        let call = call.bind(version_to(version)).bind(version_to(next));
        let call =
            call.bind(to.map(|value| value.bytes.clone())).bind(to.map(|value| time_to(value.keep_until)));
        let row = call.bind(time_to(now)).row().await?;
        self.sweep_at_times(now);
        let applied: bool = row.try_get(0).map_err(unavailable)?;
        if applied { Ok(ValueSnapshot::written(next, to)) } else { value(&row, now) }
    }
}
