//! The operations of the SQLite store.

use super::{SqliteStore, rows};
use crate::{
    id::{RunId, SessionId},
    store::{
        Cap, CreateError, FeedBatch, FeedEvent, FeedFrom, Revoke, SessionKey, SessionRecord, SessionStore,
        Snapshot, StoreError, Subject, Value, ValueKey, ValueSnapshot,
        sql::{Columns, POLL, follow, time_to, unavailable},
    },
    time::Timestamp,
};

impl SessionStore for SqliteStore {
    async fn create(
        &self,
        subject: &Subject,
        record: &SessionRecord,
        cap: Option<Cap>,
    ) -> Result<(RunId, Vec<SessionId>), CreateError> {
        let now = record.family.created_at;
        let mut transaction = self.begin().await?;
        if rows::exists(&mut transaction, subject, &record.id).await? {
            transaction.rollback().await?;
            return Err(CreateError::Exists);
        }
        let run = rows::run_id(&mut transaction).await?;
        let mut revoked = Vec::new();
        if let Some(cap) = cap {
            let live = rows::live(&mut transaction, subject, now).await?;
            let excess = (live.len() + 1).saturating_sub(cap.limit());
            if cap.refuses() && excess > 0 {
                transaction.rollback().await?;
                return Err(CreateError::TooMany);
            }
            for oldest in live.iter().take(excess) {
                revoked.extend(rows::revoke_one(&mut transaction, subject, &oldest.id).await?);
                let event = FeedEvent::Revoked(SessionKey { subject: subject.clone(), id: oldest.id });
                rows::publish(&mut transaction, &event, time_to(now)).await?;
            }
        }
        rows::insert(&mut transaction, subject, run, record).await?;
        transaction.commit().await?;
        self.sweep_at_times(now);
        Ok((run, revoked))
    }

    async fn advance(&self, key: &SessionKey, from: u64, at: Timestamp) -> Result<Snapshot, StoreError> {
        let advanced = self.change(key, None, |snapshot| {
            let mut record = snapshot.record.clone()?;
            record.family.advance(from, at).then_some(record)
        });
        let advanced = advanced.await?;
        self.sweep_at_times(at);
        Ok(advanced)
    }

    async fn get(&self, key: &SessionKey) -> Result<Snapshot, StoreError> {
        self.get_record(key).await
    }

    async fn replace(
        &self,
        key: &SessionKey,
        version: u64,
        record: &SessionRecord,
        event: Option<&FeedEvent>,
    ) -> Result<Snapshot, StoreError> {
        Columns::of(record)?;
        self.change(key, event, |snapshot| {
            let found = snapshot.record.as_ref()?;
            (snapshot.version == version && !found.family.revoked).then(|| record.clone())
        })
        .await
    }

    async fn revoke(&self, what: &Revoke, at: Timestamp) -> Result<Vec<SessionId>, StoreError> {
        let mut transaction = self.begin().await?;
        let revoked = match what {
            Revoke::Session(key) => rows::revoke_one(&mut transaction, &key.subject, &key.id).await?,
            Revoke::Subject { subject, before, except } => {
                rows::revoke_all(&mut transaction, subject, *before, except.as_ref()).await?
            }
        };
        if revoked.is_empty() {
            transaction.rollback().await?;
            return Ok(revoked);
        }
        for event in FeedEvent::of_revocation(what, &revoked, at) {
            rows::publish(&mut transaction, &event, time_to(at)).await?;
        }
        transaction.commit().await?;
        Ok(revoked)
    }

    async fn mark_stale(&self, event: &FeedEvent) -> Result<(), StoreError> {
        let mut writer = self.0.writer.acquire().await.map_err(unavailable)?;
        rows::publish(&mut writer, event, time_to(event.time())).await
    }

    async fn list(&self, subject: &Subject, now: Timestamp) -> Result<Vec<SessionRecord>, StoreError> {
        let mut reader = self.0.readers.acquire().await.map_err(unavailable)?;
        rows::live(&mut reader, subject, now).await
    }

    async fn raise_run_id(&self, to: RunId) -> Result<RunId, StoreError> {
        let mut transaction = self.begin().await?;
        let run = rows::run_id(&mut transaction).await?;
        if run >= to {
            transaction.rollback().await?;
            return Ok(run);
        }
        rows::set_run_id(&mut transaction, to).await?;
        let at = rows::now(&mut transaction).await?;
        rows::publish(&mut transaction, &FeedEvent::Run(to), at).await?;
        transaction.commit().await?;
        Ok(to)
    }

    async fn feed(&self, from: &FeedFrom) -> Result<FeedBatch, StoreError> {
        follow(from, POLL, async |after, since| {
            let mut reader = self.0.readers.acquire().await.map_err(unavailable)?;
            rows::look(&mut reader, after, since).await
        })
        .await
    }

    fn keeps_values(&self) -> bool {
        true
    }

    async fn value(&self, key: &ValueKey, now: Timestamp) -> Result<ValueSnapshot, StoreError> {
        self.read_value(key, now).await
    }

    async fn replace_value(
        &self,
        key: &ValueKey,
        version: u64,
        to: Option<&Value>,
        now: Timestamp,
    ) -> Result<ValueSnapshot, StoreError> {
        let written = self.write_value(key, version, to, now).await?;
        self.sweep_at_times(now);
        Ok(written)
    }
}
