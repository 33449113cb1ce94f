//! The operations.

use super::{SqliteStore, end, rows};
use crate::{
    id::{RunId, SessionId},
    protocol::Advance,
    store::{
        Cap, CreateError, FeedBatch, FeedFrom, Overflow, Proof, Revoke, SessionKey, SessionRecord,
        SessionStore, Snapshot, StaleScope, StoreError, Subject,
        sql::{Kind, follow, run_to, time_to, unavailable},
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
        let mut ended = Vec::new();
        if let Some(Cap { limit, overflow }) = cap {
            let mut live = rows::of_subject(&mut transaction, subject).await?;
            live.retain(|record| record.family.is_live(now));
            let excess = (live.len() + 1).saturating_sub(limit.max(1));
            ended = match overflow {
                Overflow::Refuse if excess > 0 => {
                    transaction.rollback().await?;
                    return Err(CreateError::TooMany);
                }
                Overflow::Refuse => Vec::new(),
                Overflow::EndOldest => {
                    end(&mut transaction, subject, live.into_iter().take(excess), now).await?
                }
            };
        }
        rows::insert(&mut transaction, subject, run, record).await?;
        transaction.commit().await?;
        if self.0.swept.is_due(now) {
            let store = self.clone();
            // What fails now is tried again with the next sweep.
            tokio::spawn(async move { store.sweep(now).await });
        }
        Ok((run, ended))
    }

    async fn advance(&self, key: &SessionKey, advance: &Advance) -> Result<Snapshot, StoreError> {
        self.change(key, None, |record| record.family.advance(advance)).await
    }

    async fn get(&self, key: &SessionKey) -> Result<Snapshot, StoreError> {
        self.get_record(key).await
    }

    async fn confirm(&self, key: &SessionKey, generation: u64, at: Timestamp) -> Result<(), StoreError> {
        self.change(key, None, |record| record.family.confirm(generation, at)).await.map(drop)
    }

    async fn touch(&self, key: &SessionKey, at: Timestamp) -> Result<(), StoreError> {
        self.change(key, None, |record| record.family.touch(at)).await.map(drop)
    }

    async fn fast_forward(&self, key: &SessionKey, to: u64, at: Timestamp) -> Result<Snapshot, StoreError> {
        self.change(key, None, |record| record.family.fast_forward(to, at)).await
    }

    async fn record_proof(&self, key: &SessionKey, proof: &Proof) -> Result<Snapshot, StoreError> {
        self.change(key, None, |record| {
            let live = record.family.is_live(proof.at);
            if live {
                record.proof = Some(proof.clone());
            }
            live
        })
        .await
    }

    async fn put_claims(
        &self,
        key: &SessionKey,
        claims: &str,
        at: Timestamp,
    ) -> Result<Snapshot, StoreError> {
        self.change(key, Some(at), |record| {
            let live = record.family.is_live(at);
            if live {
                record.claims = claims.into();
                record.stale_since = record.stale_since.max(Some(at));
            }
            live
        })
        .await
    }

    async fn revoke(&self, what: &Revoke, at: Timestamp) -> Result<Vec<SessionId>, StoreError> {
        let mut transaction = self.begin().await?;
        let ended = match what {
            Revoke::Session(key) => {
                let (_, record) = rows::read(&mut transaction, key).await?;
                if record.as_ref().is_some_and(|record| record.family.revoked) {
                    // Said again, since whoever repeats a sign-out may not know that it was heard.
                    let id = Some(key.id.as_bytes().as_slice());
                    let (at, subject) = (time_to(at), Some(&key.subject));
                    rows::publish(&mut transaction, Kind::Revoked, at, subject, id).await?;
                }
                end(&mut transaction, &key.subject, record, at).await?
            }
            Revoke::Subject { subject, before, except } => {
                let mut records = rows::of_subject(&mut transaction, subject).await?;
                records.retain(|record| {
                    Some(record.id) != *except
                        && before.is_none_or(|before| record.family.created_at < before)
                });
                end(&mut transaction, subject, records, at).await?
            }
        };
        transaction.commit().await?;
        Ok(ended)
    }

    async fn mark_stale(&self, scope: &StaleScope, at: Timestamp) -> Result<(), StoreError> {
        let (kind, subject, id) = Kind::of_mark(scope);
        let mut writer = self.0.writer.acquire().await.map_err(unavailable)?;
        rows::publish(&mut writer, kind, time_to(at), Some(subject), id).await
    }

    async fn list(&self, subject: &Subject, now: Timestamp) -> Result<Vec<SessionRecord>, StoreError> {
        let mut reader = self.0.readers.acquire().await.map_err(unavailable)?;
        let mut records = rows::of_subject(&mut reader, subject).await?;
        records.retain(|record| record.family.is_live(now));
        Ok(records)
    }

    async fn run_id(&self) -> Result<RunId, StoreError> {
        let mut reader = self.0.readers.acquire().await.map_err(unavailable)?;
        rows::run_id(&mut reader).await
    }

    async fn rotate_run_id(&self) -> Result<RunId, StoreError> {
        let run = RunId::random()?;
        let mut transaction = self.begin().await?;
        rows::set_run_id(&mut transaction, run).await?;
        let at = rows::now(&mut transaction).await?;
        rows::publish(&mut transaction, Kind::Run, at, None, Some(&run_to(run).to_be_bytes())).await?;
        transaction.commit().await?;
        Ok(run)
    }

    async fn feed(&self, from: &FeedFrom) -> Result<FeedBatch, StoreError> {
        follow(from, async |after, since| {
            let mut reader = self.0.readers.acquire().await.map_err(unavailable)?;
            rows::look(&mut reader, after, since).await
        })
        .await
    }
}
