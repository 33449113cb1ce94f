//! The operations.

use std::collections::HashMap;

use redis::pipe;

use super::{
    Inner, RUN_KEPT_FOR, RedisStore, record,
    scripts::{self, Lua},
};
use crate::{
    id::{RunId, SessionId},
    protocol::Advance,
    store::{
        Cap, CreateError, FeedBatch, FeedEvent, FeedFrom, Overflow, Proof, Revoke, SessionKey, SessionRecord,
        SessionStore, Snapshot, StaleScope, StoreError, Subject,
    },
    time::{Timestamp, millis},
};

/// A subject's sessions that ended so long ago, in milliseconds, are told to nobody again.
const TOLD_AGAIN: u64 = 24 * 60 * 60 * 1000;

impl RedisStore {
    /// Has a script change a record at a time, and answers with what became of it.
    async fn change(
        &self,
        script: &'static Lua,
        key: &SessionKey,
        at: Timestamp,
        more: Vec<String>,
    ) -> Result<Snapshot, StoreError> {
        let (id, subject_key) = (key.id, self.0.key(&key.subject));
        let mut args = vec![id.encode(), record::time(at)?.to_string()];
        args.extend(more);
        self.finish(|inner| async move {
            let ((applied, text), run) = inner.script::<(bool, _)>(script, &subject_key, &args).await?;
            inner.snapshot(id, applied, text, run).await
        })
        .await
    }
}

impl Inner {
    async fn snapshot(
        &self,
        id: SessionId,
        applied: bool,
        text: Option<Vec<u8>>,
        run: Option<String>,
    ) -> Result<Snapshot, StoreError> {
        let run = self.settle_run(run).await?;
        let record = text.map(|text| record::decode(id, &text)).transpose()?;
        // What is left of another run has ended.
        let record = record.and_then(|(of, record)| (of == run).then_some(record));
        Ok(Snapshot { run, applied: applied && record.is_some(), record })
    }

    /// Ends sessions by a script that answers as `revoke_all.lua` does.
    async fn revoke(
        &self,
        script: &Lua,
        subject: Subject,
        args: &[String],
    ) -> Result<Vec<SessionId>, StoreError> {
        let (answer, run) = self.script::<Vec<String>>(script, &self.key(&subject), args).await?;
        let run = self.settle_run(run).await?.to_string();
        let (unreadable, pairs) =
            answer.split_first().map_or(("0", &[][..]), |(n, pairs)| (n.as_str(), pairs));
        let (mut events, mut ended) = (Vec::new(), Vec::new());
        for pair in pairs.chunks_exact(2) {
            let [id, of] = pair else { continue };
            let id: SessionId = id.parse().map_err(StoreError::corrupt)?;
            events.push(FeedEvent::Revoked(SessionKey { subject: subject.clone(), id }));
            if *of == run {
                ended.push(id);
            }
        }
        self.publish(&events).await?;
        if unreadable != "0" {
            return Err(StoreError::corrupt(format!("{unreadable} of a subject's records")));
        }
        Ok(ended)
    }

    async fn create(
        &self,
        subject: Subject,
        record: SessionRecord,
        cap: Option<Cap>,
    ) -> Result<(RunId, Vec<SessionId>), CreateError> {
        let run = self.run().await?;
        let limit = cap.map_or(0, |cap| cap.limit.max(1));
        let end_oldest = cap.is_some_and(|cap| cap.overflow == Overflow::EndOldest);
        let args = [
            record.id.encode(),
            record::time(record.family.created_at)?.to_string(),
            record::encode(run, &record)?,
            limit.to_string(),
            u8::from(end_oldest).to_string(),
        ];
        let (answer, _) =
            self.script_once::<Vec<String>>(&scripts::CREATE, &self.key(&subject), &args).await?;
        let ended = match answer.split_first().map(|(outcome, ended)| (outcome.as_str(), ended)) {
            Some(("created", ended)) => ended,
            Some(("too many", _)) => return Err(CreateError::TooMany),
            _ => return Err(CreateError::Exists),
        };
        let ended: Result<Vec<SessionId>, _> = ended.iter().map(|id| id.parse()).collect();
        let ended = ended.map_err(StoreError::corrupt)?;
        let event = |id: &SessionId| FeedEvent::Revoked(SessionKey { subject: subject.clone(), id: *id });
        self.publish(&ended.iter().map(event).collect::<Vec<_>>()).await?;
        Ok((run, ended))
    }
}

impl SessionStore for RedisStore {
    async fn create(
        &self,
        subject: &Subject,
        record: &SessionRecord,
        cap: Option<Cap>,
    ) -> Result<(RunId, Vec<SessionId>), CreateError> {
        let (subject, record) = (subject.clone(), record.clone());
        self.finish(|inner| async move { Ok(inner.create(subject, record, cap).await) }).await?
    }

    async fn advance(&self, key: &SessionKey, advance: &Advance) -> Result<Snapshot, StoreError> {
        let from = record::number(advance.from)?.to_string();
        let confirmed_by = record::time(advance.confirmed_by)?.to_string();
        self.change(&scripts::ADVANCE, key, advance.at, vec![from, confirmed_by]).await
    }

    async fn get(&self, key: &SessionKey) -> Result<Snapshot, StoreError> {
        let (id, subject_key) = (key.id, self.0.key(&key.subject));
        self.finish(|inner| async move {
            let mut pipeline = pipe();
            pipeline.cmd("HGET").arg(subject_key).arg(id.encode()).cmd("GET").arg(&inner.run_key);
            let (text, run) = inner.ask(&pipeline).await?;
            inner.snapshot(id, false, text, run).await
        })
        .await
    }

    async fn confirm(&self, key: &SessionKey, generation: u64, at: Timestamp) -> Result<(), StoreError> {
        let generation = record::number(generation)?.to_string();
        self.change(&scripts::CONFIRM, key, at, vec![generation]).await.map(drop)
    }

    async fn touch(&self, key: &SessionKey, at: Timestamp) -> Result<(), StoreError> {
        self.change(&scripts::TOUCH, key, at, Vec::new()).await.map(drop)
    }

    async fn fast_forward(&self, key: &SessionKey, to: u64, at: Timestamp) -> Result<Snapshot, StoreError> {
        let to = record::number(to)?.to_string();
        self.change(&scripts::FAST_FORWARD, key, at, vec![to]).await
    }

    async fn record_proof(&self, key: &SessionKey, proof: &Proof) -> Result<Snapshot, StoreError> {
        self.change(&scripts::RECORD_PROOF, key, proof.at, vec![record::encode_proof(proof)?]).await
    }

    async fn put_claims(
        &self,
        key: &SessionKey,
        claims: &str,
        at: Timestamp,
    ) -> Result<Snapshot, StoreError> {
        let args = [key.id.encode(), record::time(at)?.to_string(), claims.to_owned()];
        let key = key.clone();
        self.finish(|inner| async move {
            let subject_key = inner.key(&key.subject);
            let ((applied, text), run) =
                inner.script::<(bool, _)>(&scripts::PUT_CLAIMS, &subject_key, &args).await?;
            let snapshot = inner.snapshot(key.id, applied, text, run).await?;
            if snapshot.applied {
                inner.publish(&[FeedEvent::SessionStale(key, at)]).await?;
            }
            Ok(snapshot)
        })
        .await
    }

    async fn revoke(&self, what: &Revoke, at: Timestamp) -> Result<Vec<SessionId>, StoreError> {
        let at = record::time(at)?.to_string();
        match what.clone() {
            Revoke::Session(SessionKey { subject, id }) => {
                let args = [id.encode(), at];
                self.finish(|inner| async move { inner.revoke(&scripts::REVOKE, subject, &args).await }).await
            }
            Revoke::Subject { subject, before, except } => {
                let before = before.map(record::time).transpose()?;
                let args = [
                    before.map_or("-".into(), |before| before.to_string()),
                    at,
                    except.map_or(String::new(), |except| except.encode()),
                    TOLD_AGAIN.to_string(),
                ];
                self.finish(|inner| async move { inner.revoke(&scripts::REVOKE_ALL, subject, &args).await })
                    .await
            }
        }
    }

    async fn mark_stale(&self, scope: &StaleScope, at: Timestamp) -> Result<(), StoreError> {
        let event = match scope.clone() {
            StaleScope::Session(key) => FeedEvent::SessionStale(key, at),
            StaleScope::Subject(subject) => FeedEvent::SubjectStale(subject, at),
        };
        self.finish(|inner| async move { inner.publish(&[event]).await }).await
    }

    async fn list(&self, subject: &Subject, now: Timestamp) -> Result<Vec<SessionRecord>, StoreError> {
        let subject_key = self.0.key(subject);
        self.finish(|inner| async move {
            let mut pipeline = pipe();
            pipeline.cmd("HGETALL").arg(subject_key).cmd("GET").arg(&inner.run_key);
            let (texts, run): (HashMap<String, Vec<u8>>, _) = inner.ask(&pipeline).await?;
            let run = inner.settle_run(run).await?;
            let mut live = Vec::new();
            for (id, text) in texts {
                let (of, record) = record::decode(id.parse().map_err(StoreError::corrupt)?, &text)?;
                if of == run && record.family.is_live(now) {
                    live.push(record);
                }
            }
            live.sort_by_key(|record| (record.family.created_at, record.id));
            Ok(live)
        })
        .await
    }

    async fn run_id(&self) -> Result<RunId, StoreError> {
        self.finish(|inner| async move { inner.run().await }).await
    }

    async fn rotate_run_id(&self) -> Result<RunId, StoreError> {
        let run = RunId::random()?;
        self.finish(|inner| async move {
            let mut pipeline = pipe();
            let set = pipeline.cmd("SET").arg(&inner.run_key).arg(run.to_string());
            set.arg("PX").arg(millis(RUN_KEPT_FOR)).ignore();
            inner.ask::<()>(&pipeline).await?;
            inner.publish(&[FeedEvent::Run(run)]).await?;
            Ok(run)
        })
        .await
    }

    async fn feed(&self, from: &FeedFrom) -> Result<FeedBatch, StoreError> {
        self.0.read_feed(from).await
    }
}
