//! The operations of the store.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{
    RedisStore, entry, record, scripts,
    shard::Shard,
    shards::{Shards, subject_hash},
};
use crate::{
    id::{RunId, SessionId, random},
    store::{
        Cap, CreateError, FeedBatch, FeedEvent, FeedFrom, Revoke, SessionKey, SessionRecord, SessionStore,
        Snapshot, StoreError, Subject, Value, ValueKey, ValueSnapshot,
    },
    time::Timestamp,
};

/// How many records more than the cap allows the script of a sign-in reads at most.
const CROWD: usize = 200;

/// The answer of a script about one record: whether the change applied, the record, the run ID.
type Found = (bool, Option<Vec<u8>>, Option<String>);

/// The answer of the script that lists sessions: the next cursor, the run ID, session IDs and records.
type Listed = (String, Option<String>, Vec<(String, Vec<u8>)>);

impl Shards {
    /// Runs a script about one record.
    async fn one(
        &self,
        script: &scripts::Lua,
        key: &SessionKey,
        args: Vec<String>,
    ) -> Result<Snapshot, StoreError> {
        let args: Vec<_> = std::iter::once(key.id.encode()).chain(args).collect();
        let (applied, text, run): Found = self.session_script(script, &key.subject, &args).await?;
        let run = self.settle_run(run).await?;
        let stored = text.map(|text| record::decode(key.id, &text)).transpose()?;
        // A session of another run ID counts as missing.
        Ok(match stored.filter(|stored| stored.run == run) {
            Some(stored) => Snapshot { run, version: stored.version, record: Some(stored.record), applied },
            None => Snapshot { run, version: 0, record: None, applied: false },
        })
    }

    async fn create(
        &self,
        subject: &Subject,
        record: &SessionRecord,
        cap: Option<Cap>,
    ) -> Result<(RunId, Vec<SessionId>), CreateError> {
        let now = record.family.created_at;
        let [head, tail] = entry::around_id(subject)?;
        let mut args = vec![
            record.id.encode(),
            nonce()?,
            record::time(now)?.to_string(),
            record::encode(record)?,
            record::time(record.family.idle_deadline)?.to_string(),
            cap.map_or(0, |cap| cap.limit()).to_string(),
            u8::from(cap.is_some_and(|cap| !cap.refuses())).to_string(),
        ];
        args.extend([head, tail, CROWD.to_string()]);
        let mut revoked = Vec::new();
        // Retried if the subject has many more sessions than its cap, or if the run ID is lost. Both are rare.
        for _ in 0..8 {
            let answer: Vec<String> = self.session_script(&scripts::CREATE, subject, &args).await?;
            match (answer.first().map(String::as_str), cap) {
                (Some("created"), _) => {
                    let run = self.settle_run(answer.get(1).cloned()).await?;
                    revoked.extend(ids(answer.into_iter().skip(2))?);
                    return Ok((run, revoked));
                }
                (Some("exists"), _) => return Err(CreateError::Exists),
                (Some("too many"), _) => return Err(CreateError::TooMany),
                (Some("crowded"), Some(cap)) => {
                    let some = self.thin_out(subject, cap, now).await?;
                    if some.is_empty()
                        && let Some(crowd) = args.last_mut()
                    {
                        // The sessions beyond the cap have just expired, but they stay in the server until they have
                        // expired by every clock. So the next call reads all records.
                        *crowd = u32::MAX.to_string();
                    }
                    revoked.extend(some);
                }
                _ => drop(self.settle_run(None).await?),
            }
        }
        Err(StoreError::unavailable("too many sign-ins of one subject at once").into())
    }

    /// Makes room for a new session of a subject that has many more sessions than its cap. Each script revokes only a
    /// few sessions.
    async fn thin_out(
        &self,
        subject: &Subject,
        cap: Cap,
        now: Timestamp,
    ) -> Result<Vec<SessionId>, CreateError> {
        let mut live = self.list(subject, now).await?;
        let excess = (live.len() + 1).saturating_sub(cap.limit());
        if cap.refuses() && excess > 0 {
            return Err(CreateError::TooMany);
        }
        live.truncate(excess);
        let event = match live.last() {
            Some(last) if excess > FeedEvent::ONE_BY_ONE => {
                let before = last.family.created_at + Duration::from_millis(1);
                entry::encode(&FeedEvent::SubjectRevoked { subject: subject.clone(), before, except: None })?
            }
            _ => String::new(),
        };
        let mut revoked = Vec::new();
        for some in live.chunks(FeedEvent::ONE_BY_ONE) {
            let ids: Vec<_> = some.iter().map(|record| record.id).collect();
            revoked.extend(self.revoke_ids(subject, &ids, event.clone()).await?);
        }
        Ok(revoked)
    }

    /// Runs a script that revokes sessions. Sets the first of `args` to a nonce. If the shard has no run ID, the script
    /// revokes nothing. Then the shard gets a run ID, and the script runs again.
    async fn revoke_page(
        &self,
        script: &scripts::Lua,
        subject: &Subject,
        mut args: Vec<String>,
    ) -> Result<Page, StoreError> {
        for _ in 0..3 {
            if let Some(first) = args.first_mut() {
                *first = nonce()?;
            }
            let page = Page::read(self.session_script(script, subject, &args).await?)?;
            let is_settled = page.run.is_some();
            self.settle_run(page.run.clone()).await?;
            if is_settled {
                return Ok(page);
            }
        }
        Err(StoreError::unavailable("the run ID is lost each time that it is set"))
    }

    /// Revokes a few sessions. If `event` is empty, each revoked session has an event. Otherwise `event` stands for all
    /// of these sessions.
    async fn revoke_ids(
        &self,
        subject: &Subject,
        ids: &[SessionId],
        event: String,
    ) -> Result<Vec<SessionId>, StoreError> {
        let [head, tail] = entry::around_id(subject)?;
        let mut args = vec![String::new(), event, head, tail];
        args.extend(ids.iter().map(SessionId::encode));
        let page = self.revoke_page(&scripts::REVOKE, subject, args).await?;
        readable(page.unreadable).map(|()| page.revoked)
    }

    /// Revokes the sessions of a subject. Each script revokes only a few sessions, so that other clients of the server
    /// do not have to wait if there are many sessions.
    async fn revoke_subject(
        &self,
        subject: &Subject,
        before: Option<Timestamp>,
        except: Option<SessionId>,
        at: Timestamp,
    ) -> Result<Vec<SessionId>, StoreError> {
        let covered = before.unwrap_or(at + Duration::from_millis(1));
        let event = FeedEvent::SubjectRevoked { subject: subject.clone(), before: covered, except };
        let event = entry::encode(&event)?;
        let before = before.map_or(Ok("-".into()), |before| record::time(before).map(|at| at.to_string()))?;
        let covered = record::time(covered)?.to_string();
        let [head, tail] = entry::around_id(subject)?;
        let (mut cursor, mut together) = ("0".to_owned(), String::new());
        let (mut revoked, mut unreadable) = (Vec::new(), 0);
        loop {
            let args = vec![
                String::new(),
                cursor,
                before.clone(),
                except.map_or(String::new(), |except| except.encode()),
                revoked.len().to_string(),
                together,
                event.clone(),
                covered.clone(),
                head.clone(),
                tail.clone(),
            ];
            let page = self.revoke_page(&scripts::REVOKE_SUBJECT, subject, args).await?;
            revoked.extend(page.revoked);
            unreadable += page.unreadable;
            (cursor, together) = (page.next, page.together);
            if cursor == "0" {
                return readable(unreadable).map(|()| revoked);
            }
        }
    }

    /// The live sessions of a subject, oldest first. Each script reads only a few sessions.
    async fn list(&self, subject: &Subject, now: Timestamp) -> Result<Vec<SessionRecord>, StoreError> {
        // A map by session ID, because a read in several parts may return a session twice.
        let (mut live, mut cursor) = (HashMap::new(), "0".to_owned());
        loop {
            let (next, run, texts): Listed = self.session_script(&scripts::LIST, subject, &[cursor]).await?;
            let run = self.settle_run(run).await?;
            for (id, text) in texts {
                let stored = record::decode(record::session_id(&id)?, &text)?;
                if stored.run == run && stored.record.family.is_live(now) {
                    live.insert(stored.record.id, stored.record);
                }
            }
            cursor = next;
            if cursor == "0" {
                let mut live: Vec<_> = live.into_values().collect();
                live.sort_by_key(|record| (record.family.created_at, record.id));
                return Ok(live);
            }
        }
    }
}

/// The answer of a script that revokes sessions of a subject.
struct Page {
    run: Option<String>,
    unreadable: u64,
    next: String,
    together: String,
    revoked: Vec<SessionId>,
}

impl Page {
    fn read(answer: Vec<String>) -> Result<Self, StoreError> {
        let mut words = answer.into_iter();
        let mut next = || words.next().ok_or_else(|| StoreError::corrupt("an answer of a script"));
        let (run, unreadable, cursor, together) = (next()?, next()?, next()?, next()?);
        Ok(Self {
            run: Some(run).filter(|run| !run.is_empty()),
            unreadable: unreadable.parse().map_err(StoreError::corrupt)?,
            next: cursor,
            together,
            revoked: ids(words)?,
        })
    }
}

fn ids(words: impl IntoIterator<Item = String>) -> Result<Vec<SessionId>, StoreError> {
    words.into_iter().map(|id| record::session_id(&id)).collect()
}

/// Returns an error if some records could not be read. The sessions of the other records have been revoked.
fn readable(unreadable: u64) -> Result<(), StoreError> {
    if unreadable > 0 {
        return Err(StoreError::corrupt(format!("{unreadable} of a subject's records")));
    }
    Ok(())
}

/// Draws a nonce. The nonce names one call, so that the scripts recognise a repeated call.
fn nonce() -> Result<String, StoreError> {
    Ok(record::version(u64::from_be_bytes(random()?)))
}

impl SessionStore for RedisStore {
    async fn create(
        &self,
        subject: &Subject,
        record: &SessionRecord,
        cap: Option<Cap>,
    ) -> Result<(RunId, Vec<SessionId>), CreateError> {
        let (subject, record) = (subject.clone(), record.clone());
        self.finish(|shards| async move { Ok(shards.create(&subject, &record, cap).await) }).await?
    }

    async fn advance(&self, key: &SessionKey, from: u64, at: Timestamp) -> Result<Snapshot, StoreError> {
        let args = vec![nonce()?, record::number(from)?.to_string(), record::time(at)?.to_string()];
        let key = key.clone();
        self.finish(|shards| async move { shards.one(&scripts::ADVANCE, &key, args).await }).await
    }

    async fn get(&self, key: &SessionKey) -> Result<Snapshot, StoreError> {
        let key = key.clone();
        // A read is completed, too, because the call that finds a dead connection must replace the connection.
        self.finish(|shards| async move { shards.one(&scripts::GET, &key, Vec::new()).await }).await
    }

    async fn replace(
        &self,
        key: &SessionKey,
        version: u64,
        record: &SessionRecord,
        event: Option<&FeedEvent>,
    ) -> Result<Snapshot, StoreError> {
        let args = vec![
            nonce()?,
            record::version(version),
            record::encode(record)?,
            record::time(record.family.idle_deadline)?.to_string(),
            event.map(entry::encode).transpose()?.unwrap_or_default(),
        ];
        let key = key.clone();
        self.finish(|shards| async move { shards.one(&scripts::REPLACE, &key, args).await }).await
    }

    async fn revoke(&self, what: &Revoke, at: Timestamp) -> Result<Vec<SessionId>, StoreError> {
        let what = what.clone();
        self.finish(|shards| async move {
            match what {
                Revoke::Session(SessionKey { subject, id }) => {
                    shards.revoke_ids(&subject, &[id], String::new()).await
                }
                Revoke::Subject { subject, before, except } => {
                    shards.revoke_subject(&subject, before, except, at).await
                }
            }
        })
        .await
    }

    async fn mark_stale(&self, event: &FeedEvent) -> Result<(), StoreError> {
        let hash = match event {
            FeedEvent::Revoked(key) | FeedEvent::SessionStale(key, _) => subject_hash(&key.subject),
            FeedEvent::SubjectRevoked { subject, .. } | FeedEvent::SubjectStale(subject, _) => {
                subject_hash(subject)
            }
            FeedEvent::Run(to) => return self.raise_run_id(*to).await.map(drop),
        };
        let event = entry::encode(event)?;
        self.finish(
            |shards| async move { shards.shard(&hash)?.script(&scripts::PUBLISH, None, &[event]).await },
        )
        .await
    }

    async fn list(&self, subject: &Subject, now: Timestamp) -> Result<Vec<SessionRecord>, StoreError> {
        let subject = subject.clone();
        self.finish(|shards| async move { shards.list(&subject, now).await }).await
    }

    async fn raise_run_id(&self, to: RunId) -> Result<RunId, StoreError> {
        self.finish(|shards| async move { shards.raise_run(to).await }).await
    }

    async fn feed(&self, from: &FeedFrom) -> Result<FeedBatch, StoreError> {
        self.0.read_feed(from).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        let check =
            |shard: Arc<Shard>| async move { shard.check().await.map_err(|error| shard.named(error)) };
        self.0.in_each(check).await.map(drop)
    }

    fn keeps_values(&self) -> bool {
        true
    }

    async fn value(&self, key: &ValueKey, now: Timestamp) -> Result<ValueSnapshot, StoreError> {
        let key = *key;
        self.finish(|shards| async move { shards.value(&key, now).await }).await
    }

    async fn replace_value(
        &self,
        key: &ValueKey,
        version: u64,
        to: Option<&Value>,
        now: Timestamp,
    ) -> Result<ValueSnapshot, StoreError> {
        let (key, to) = (*key, to.cloned());
        self.finish(|shards| async move { shards.replace_value(&key, version, to, now).await }).await
    }
}
