//! Sessions as bytes in a map. A database has these columns: realm, subject, ID, run ID, version, the record's
//! bytes, and what it sorts and forgets by.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::timeout};
use tower_sliding_sessions::{
    RunId, SessionId, Timestamp,
    store::{
        Cap, CreateError, FeedBatch, FeedEvent, FeedFrom, Revoke, SessionKey, SessionRecord, SessionStore,
        Snapshot, StoreError, Subject,
    },
};

/// Realm, subject and session ID.
type Place = (Arc<str>, Arc<str>, [u8; 32]);

#[derive(Clone, Debug, Default)]
pub(crate) struct OwnStore(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// What a database does in transactions.
    tables: Mutex<Tables>,
    /// A version is never used twice.
    versions: AtomicU64,
    news: Notify,
}

#[derive(Debug)]
struct Tables {
    run: RunId,
    rows: BTreeMap<Place, Row>,
    feed: Vec<(Timestamp, FeedEvent)>,
}

#[derive(Clone, Debug)]
struct Row {
    version: u64,
    record: Vec<u8>,
}

impl Default for Tables {
    fn default() -> Self {
        Self { run: RunId::from_u64(1).expect("not zero"), rows: BTreeMap::new(), feed: Vec::new() }
    }
}

fn place(subject: &Subject, id: SessionId) -> Place {
    (subject.realm.clone(), subject.name.clone(), *id.as_bytes())
}

impl OwnStore {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.tables.lock().expect("no panic")
    }

    fn row(&self, record: &SessionRecord) -> Row {
        let version = self.0.versions.fetch_add(1, Ordering::Relaxed) + 1;
        Row { version, record: record.to_bytes() }
    }

    /// Appends events, once the tables are as they say.
    fn publish(&self, tables: &mut Tables, at: Timestamp, events: impl IntoIterator<Item = FeedEvent>) {
        tables.feed.extend(events.into_iter().map(|event| (at, event)));
        self.0.news.notify_waiters();
    }

    /// Revokes the sessions of a subject that `matches` names.
    fn revoke_in(
        &self,
        tables: &mut Tables,
        subject: &Subject,
        matches: impl Fn(&SessionRecord) -> bool,
    ) -> Result<Vec<SessionId>, StoreError> {
        let mut revoked = Vec::new();
        for mut record in tables.records_of(subject)? {
            if matches(&record) && record.revoke() {
                tables.rows.insert(place(subject, record.id()), self.row(&record));
                revoked.push(record.id());
            }
        }
        Ok(revoked)
    }
}

impl Tables {
    fn records_of(&self, subject: &Subject) -> Result<Vec<SessionRecord>, StoreError> {
        let all = self.rows.range(
            (subject.realm.clone(), subject.name.clone(), [0; 32])
                ..=(subject.realm.clone(), subject.name.clone(), [255; 32]),
        );
        let mut records =
            all.map(|(_, row)| SessionRecord::from_bytes(&row.record)).collect::<Result<Vec<_>, _>>()?;
        records.sort_by_key(SessionRecord::created_at);
        Ok(records)
    }

    fn live(&self, subject: &Subject, now: Timestamp) -> Result<Vec<SessionRecord>, StoreError> {
        let mut live = self.records_of(subject)?;
        live.retain(|record| record.is_live(now));
        Ok(live)
    }

    fn snapshot(&self, key: &SessionKey, applied: bool) -> Result<Snapshot, StoreError> {
        let row = self.rows.get(&place(&key.subject, key.id));
        let record = row.map(|row| SessionRecord::from_bytes(&row.record)).transpose()?;
        Ok(Snapshot { run: self.run, version: row.map_or(0, |row| row.version), record, applied })
    }
}

impl SessionStore for OwnStore {
    async fn create(
        &self,
        subject: &Subject,
        record: &SessionRecord,
        cap: Option<Cap>,
    ) -> Result<(RunId, Vec<SessionId>), CreateError> {
        let (mut tables, now) = (self.tables(), record.created_at());
        if tables.rows.contains_key(&place(subject, record.id())) {
            return Err(CreateError::Exists);
        }
        let mut revoked = Vec::new();
        if let Some(cap) = cap {
            let live = tables.live(subject, now)?;
            let excess = (live.len() + 1).saturating_sub(cap.limit());
            if cap.refuses() && excess > 0 {
                return Err(CreateError::TooMany);
            }
            let oldest: Vec<_> = live.iter().take(excess).map(SessionRecord::id).collect();
            revoked = self.revoke_in(&mut tables, subject, |record| oldest.contains(&record.id()))?;
        }
        tables.rows.insert(place(subject, record.id()), self.row(record));
        let key = |id: &SessionId| FeedEvent::Revoked(SessionKey { subject: subject.clone(), id: *id });
        self.publish(&mut tables, now, revoked.iter().map(key));
        Ok((tables.run, revoked))
    }

    async fn get(&self, key: &SessionKey) -> Result<Snapshot, StoreError> {
        self.tables().snapshot(key, false)
    }

    async fn replace(
        &self,
        key: &SessionKey,
        version: u64,
        record: &SessionRecord,
        event: Option<&FeedEvent>,
    ) -> Result<Snapshot, StoreError> {
        let mut tables = self.tables();
        let found = tables.snapshot(key, false)?;
        if found.version != version || found.record.as_ref().is_none_or(SessionRecord::is_revoked) {
            return Ok(found);
        }
        tables.rows.insert(place(&key.subject, key.id), self.row(record));
        let event = event.cloned();
        let at = event.as_ref().map_or(Timestamp::EPOCH, FeedEvent::time);
        self.publish(&mut tables, at, event);
        tables.snapshot(key, true)
    }

    async fn revoke(&self, what: &Revoke, at: Timestamp) -> Result<Vec<SessionId>, StoreError> {
        let mut tables = self.tables();
        let revoked = match what {
            Revoke::Session(key) => {
                self.revoke_in(&mut tables, &key.subject, |record| record.id() == key.id)?
            }
            Revoke::Subject { subject, before, except } => {
                self.revoke_in(&mut tables, subject, |record| {
                    Some(record.id()) != *except && before.is_none_or(|before| record.created_at() < before)
                })?
            }
        };
        self.publish(&mut tables, at, FeedEvent::of_revocation(what, &revoked, at));
        Ok(revoked)
    }

    async fn mark_stale(&self, event: &FeedEvent) -> Result<(), StoreError> {
        self.publish(&mut self.tables(), event.time(), [event.clone()]);
        Ok(())
    }

    async fn list(&self, subject: &Subject, now: Timestamp) -> Result<Vec<SessionRecord>, StoreError> {
        self.tables().live(subject, now)
    }

    async fn raise_run_id(&self, to: RunId) -> Result<RunId, StoreError> {
        let mut tables = self.tables();
        if to > tables.run {
            tables.run = to;
            tables.rows.clear();
            self.publish(&mut tables, Timestamp::EPOCH, [FeedEvent::Run(to)]);
        }
        Ok(tables.run)
    }

    async fn feed(&self, from: &FeedFrom) -> Result<FeedBatch, StoreError> {
        let mut news = std::pin::pin!(self.0.news.notified());
        news.as_mut().enable();
        let first = self.read_feed(from)?;
        if !first.events.is_empty() || timeout(Duration::from_secs(1), news).await.is_err() {
            return Ok(first);
        }
        self.read_feed(from)
    }
}

impl OwnStore {
    fn read_feed(&self, from: &FeedFrom) -> Result<FeedBatch, StoreError> {
        let tables = self.tables();
        let (start, since) = match from {
            FeedFrom::Since(time) => (0, *time),
            FeedFrom::After(position) => {
                let start: usize = position.parse().map_err(StoreError::corrupt)?;
                (start, Timestamp::EPOCH)
            }
        };
        let rest = tables.feed.get(start..).ok_or_else(|| StoreError::corrupt("no such position"))?;
        // Events without a time of their own are those of all times.
        let wanted = |(at, _): &&(Timestamp, FeedEvent)| *at >= since || *at == Timestamp::EPOCH;
        let events = rest.iter().filter(wanted).map(|(_, event)| event.clone()).collect();
        let position = tables.feed.len().to_string();
        Ok(FeedBatch { events, position, run: tables.run, gap: false, more: false })
    }
}
