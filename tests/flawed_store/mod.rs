//! A memory store with one flaw.

use std::{
    collections::HashSet,
    future::{pending, poll_fn},
    pin::pin,
    sync::{Arc, LazyLock, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::task::yield_now;
use tower_sliding_sessions::{
    RunId, SessionId, Timestamp,
    store::{
        Cap, CreateError, FeedBatch, FeedEvent, FeedFrom, MemoryStore, Revoke, SessionKey, SessionRecord,
        SessionStore, Snapshot, StoreError, Subject,
    },
};

use crate::records::{self, confirmed, edited};

const MILLI: Duration = Duration::from_millis(1);

/// The lowest run ID: to raise a store to it changes nothing.
static LOWEST: LazyLock<RunId> = LazyLock::new(|| RunId::from_u64(1).expect("it is not zero"));

/// The flaw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// No flaw.
    None,
    /// No flaw either: it declares that it can neither list nor feed, and refuses both.
    Modest,
    SaysItCanDoNothing,
    AdvanceIgnoresCondition,
    AdvanceIgnoresTiming,
    AdvanceWaitsLonger,
    AdvanceIsNotAtomic,
    AdvanceKeepsVersion,
    LoserGetsNothing,
    ReplaceIgnoresVersion,
    ReplaceIsNotAtomic,
    ReplaceRevives,
    ReplaceOpens,
    ReplaceKeepsTiming,
    ReplaceKeepsDeadlines,
    ReplaceLosesEvent,
    EventIsNotAtomic,
    ConflictSaysNothing,
    RevokeIsNotFinal,
    EndedAreForgotten,
    RevokeCountsTwice,
    RevokeReturnsEarly,
    RevokeBeforeIsInclusive,
    CreateIgnoresCap,
    CapIsNotAtomic,
    CreateIsTorn,
    CreateReusesIds,
    RealmIsIgnored,
    SubjectIsFolded,
    SubjectIsJoined,
    ClaimsAreReformatted,
    GenerationsAreShort,
    DeadlinesAreRounded,
    ListIsReversed,
    ListIsLate,
    RaiseDoesNothing,
    RunGoesBack,
    FeedHasNoRevocations,
    FeedHasNoStaleMarks,
    FeedSkips,
    FeedNeverWakes,
    FeedHidesGaps,
    StaleMarksGoBack,
}

#[derive(Clone, Debug)]
pub(crate) struct FlawedStore {
    pub(crate) inner: MemoryStore,
    pub(crate) flaw: Flaw,
    /// The sessions that were revived.
    pub(crate) revived: Arc<Mutex<HashSet<SessionId>>>,
    /// The run ID that it reports, if not the real one.
    pub(crate) run: Arc<Mutex<Option<RunId>>>,
}

impl FlawedStore {
    pub(crate) fn new(inner: MemoryStore, flaw: Flaw) -> Self {
        Self { inner, flaw, revived: Arc::default(), run: Arc::default() }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn subject(&self, subject: &Subject) -> Subject {
        let Subject { realm, name } = subject.clone();
        match self.flaw {
            Flaw::RealmIsIgnored => Subject { realm: "".into(), name },
            Flaw::SubjectIsFolded => Subject { realm, name: name.to_lowercase().into() },
            Flaw::SubjectIsJoined => Subject { realm: "".into(), name: format!("{realm}:{name}").into() },
            _ => subject.clone(),
        }
    }

    fn key(&self, key: &SessionKey) -> SessionKey {
        SessionKey { subject: self.subject(&key.subject), id: key.id }
    }

    fn modest(&self, operation: &'static str) -> Result<(), StoreError> {
        if self.has(Flaw::Modest) { Err(StoreError::Unsupported(operation)) } else { Ok(()) }
    }

    fn kept(&self, record: &SessionRecord) -> SessionRecord {
        edited(record, |json| match self.flaw {
            Flaw::ClaimsAreReformatted => {
                let claims = json["claims"].as_str().expect("a text");
                let claims: Value = serde_json::from_str(claims).expect("JSON");
                json["claims"] = json!(claims.to_string());
            }
            Flaw::GenerationsAreShort => {
                json["family"]["generation"] = json!(number(&json["family"]["generation"]) as u32);
            }
            Flaw::DeadlinesAreRounded => {
                for deadline in ["absolute_deadline", "idle_deadline"] {
                    let deadline = &mut json["family"][deadline];
                    // Whole multiples of seven seconds, so that no value is correct by chance.
                    *deadline = json!(number(deadline) / 7000 * 7000 - 7000);
                }
            }
            _ => {}
        })
    }

    fn shown(&self, mut snapshot: Snapshot) -> Snapshot {
        if let Some(run) = *self.run.lock().expect("no panic") {
            snapshot.run = run;
        }
        let revived = self.revived.lock().expect("no panic");
        snapshot.record =
            snapshot.record.filter(|record| !self.has(Flaw::EndedAreForgotten) || !record.is_revoked());
        snapshot.record = snapshot.record.map(|record| {
            edited(&record, |json| {
                if self.has(Flaw::RevokeIsNotFinal) || revived.contains(&record.id()) {
                    json["family"]["revoked"] = json!(false);
                }
                if self.has(Flaw::StaleMarksGoBack) && !json["stale_since"].is_null() {
                    json["stale_since"] = json!(number(&json["stale_since"]) - 10_000);
                }
            })
        });
        snapshot
    }
}

fn number(json: &Value) -> u64 {
    json.as_u64().expect("a number")
}

/// The record with a member of the family that another one has.
fn with_kept(record: &SessionRecord, kept: &SessionRecord, member: &str) -> SessionRecord {
    let member_of = records::read(kept)["family"][member].take();
    edited(record, |json| json["family"][member] = member_of)
}

impl SessionStore for FlawedStore {
    fn has_feed(&self) -> bool {
        !matches!(self.flaw, Flaw::Modest | Flaw::SaysItCanDoNothing)
    }

    fn can_list(&self) -> bool {
        self.has_feed()
    }

    async fn create(
        &self,
        subject: &Subject,
        record: &SessionRecord,
        mut cap: Option<Cap>,
    ) -> Result<(RunId, Vec<SessionId>), CreateError> {
        if cap.is_some() {
            self.modest("caps")?;
        }
        let (subject, record) = (&self.subject(subject), &self.kept(record));
        let live = self.inner.list(subject, record.created_at()).await?;
        match cap {
            Some(_) if self.has(Flaw::CreateIgnoresCap) => cap = None,
            Some(Cap::Refuse(limit)) if self.has(Flaw::CapIsNotAtomic) => {
                yield_now().await;
                if live.len() >= limit {
                    return Err(CreateError::TooMany);
                }
                cap = None;
            }
            Some(Cap::RevokeOldest(1)) if self.has(Flaw::CreateIsTorn) => {
                let all = Revoke::Subject { subject: subject.clone(), before: None, except: None };
                self.inner.revoke(&all, record.created_at()).await?;
                yield_now().await;
            }
            _ => {}
        }
        match self.inner.create(subject, record, cap).await {
            Err(CreateError::Exists) if self.has(Flaw::CreateReusesIds) => {
                Ok((self.inner.raise_run_id(*LOWEST).await?, Vec::new()))
            }
            created => created,
        }
    }

    async fn advance(&self, key: &SessionKey, from: u64, at: Timestamp) -> Result<Snapshot, StoreError> {
        let (key, mut from, mut at) = (&self.key(key), from, at);
        let read = self.inner.get(key).await?;
        match (self.flaw, &read.record) {
            (Flaw::AdvanceIgnoresCondition, Some(record)) => {
                from = record.generation();
                let confirmed = confirmed(record, Timestamp::EPOCH);
                self.inner.replace(key, read.version, &confirmed, None).await?;
            }
            (Flaw::AdvanceWaitsLonger, _) => at = at - MILLI,
            (Flaw::AdvanceIgnoresTiming, Some(record)) => {
                let timing = records::read(record)["family"]["timing"].take();
                let mut impatient =
                    edited(record, |json| json["family"]["timing"]["rotation_interval"] = json!(0));
                if impatient.advance(from, at) {
                    let rotated = edited(&impatient, |json| json["family"]["timing"] = timing);
                    return self.inner.replace(key, read.version, &rotated, None).await;
                }
            }
            (Flaw::AdvanceIsNotAtomic, _) => yield_now().await,
            _ => {}
        }
        let mut snapshot = self.inner.advance(key, from, at).await?;
        let would_apply = |mut record: SessionRecord| record.advance(from, at);
        if self.has(Flaw::AdvanceIsNotAtomic) {
            snapshot.applied = read.record.is_some_and(would_apply);
        } else if self.has(Flaw::RevokeIsNotFinal) {
            snapshot.applied |= snapshot.record.as_ref().is_some_and(SessionRecord::is_revoked);
        } else if self.has(Flaw::LoserGetsNothing) && !snapshot.applied {
            snapshot.record = None;
        } else if self.has(Flaw::AdvanceKeepsVersion) && snapshot.applied {
            snapshot.version = read.version;
        }
        Ok(self.shown(snapshot))
    }

    async fn get(&self, key: &SessionKey) -> Result<Snapshot, StoreError> {
        Ok(self.shown(self.inner.get(&self.key(key)).await?))
    }

    async fn replace(
        &self,
        key: &SessionKey,
        mut version: u64,
        record: &SessionRecord,
        event: Option<&FeedEvent>,
    ) -> Result<Snapshot, StoreError> {
        let (key, mut record) = (self.key(key), self.kept(record));
        let now = self.inner.get(&key).await?;
        let revoked = now.record.as_ref().is_some_and(SessionRecord::is_revoked);
        match (self.flaw, now.record) {
            (Flaw::ReplaceIgnoresVersion, _) => version = now.version,
            (Flaw::ReplaceIsNotAtomic, _) if now.version == version => {
                yield_now().await;
                version = self.inner.get(&key).await?.version;
            }
            (Flaw::ReplaceKeepsTiming, Some(kept)) => record = with_kept(&record, &kept, "timing"),
            (Flaw::ReplaceKeepsDeadlines, Some(kept)) => record = with_kept(&record, &kept, "idle_deadline"),
            (Flaw::ReplaceOpens, None) => {
                drop(self.inner.create(&key.subject, &record, None).await);
                version = 0;
            }
            (Flaw::ReplaceRevives, Some(_)) if revoked && now.version == version => {
                self.revived.lock().expect("no panic").insert(key.id);
                return self.get(&key).await.map(|snapshot| Snapshot { applied: true, ..snapshot });
            }
            _ => {}
        }
        let event = event.filter(|_| !self.has(Flaw::ReplaceLosesEvent));
        if let Some(FeedEvent::SessionStale(key, at)) = event
            && self.has(Flaw::EventIsNotAtomic)
        {
            // Read before the replacement: a conflict is reported too.
            self.inner.mark_stale(&FeedEvent::SessionStale(key.clone(), *at)).await?;
        }
        let event = event.filter(|_| !self.has(Flaw::EventIsNotAtomic));
        let mut snapshot = self.inner.replace(&key, version, &record, event).await?;
        if self.has(Flaw::ConflictSaysNothing) && !snapshot.applied {
            snapshot.record = None;
        }
        Ok(self.shown(snapshot))
    }

    async fn revoke(&self, what: &Revoke, at: Timestamp) -> Result<Vec<SessionId>, StoreError> {
        let what = match what {
            Revoke::Session(key) => Revoke::Session(self.key(key)),
            Revoke::Subject { subject, before, except } => {
                self.modest("ending a subject's sessions")?;
                let later = before.map(|before| before + MILLI);
                let before = if self.has(Flaw::RevokeBeforeIsInclusive) { later } else { *before };
                Revoke::Subject { subject: self.subject(subject), before, except: *except }
            }
        };
        if self.has(Flaw::RevokeReturnsEarly)
            && let Revoke::Session(key) = &what
        {
            let (inner, id) = (self.inner.clone(), key.id);
            tokio::spawn(async move {
                for _ in 0..20 {
                    yield_now().await;
                }
                inner.revoke(&what, at).await
            });
            return Ok(vec![id]);
        }
        let ended = self.inner.revoke(&what, at).await?;
        match what {
            Revoke::Session(key) if self.has(Flaw::RevokeCountsTwice) => Ok(vec![key.id]),
            _ => Ok(ended),
        }
    }

    async fn mark_stale(&self, event: &FeedEvent) -> Result<(), StoreError> {
        match event {
            FeedEvent::SessionStale(key, at) if self.has(Flaw::Modest) => {
                // There is no feed event, so the record has the mark.
                let snapshot = self.inner.get(key).await?;
                let Some(mut record) = snapshot.record else { return Ok(()) };
                record.mark_stale(*at);
                self.inner.replace(key, snapshot.version, &record, None).await.map(drop)
            }
            _ if self.has(Flaw::Modest) => Err(StoreError::Unsupported("stale marks")),
            _ => self.inner.mark_stale(event).await,
        }
    }

    async fn list(&self, subject: &Subject, now: Timestamp) -> Result<Vec<SessionRecord>, StoreError> {
        self.modest("listing")?;
        let now = if self.has(Flaw::ListIsLate) { now - MILLI } else { now };
        let mut listed = self.inner.list(&self.subject(subject), now).await?;
        if self.has(Flaw::ListIsReversed) {
            listed.reverse();
        }
        Ok(listed)
    }

    async fn raise_run_id(&self, to: RunId) -> Result<RunId, StoreError> {
        match self.flaw {
            Flaw::RaiseDoesNothing => self.inner.raise_run_id(*LOWEST).await,
            Flaw::RunGoesBack => {
                // The last value is written without a comparison.
                let run = self.inner.raise_run_id(to).await?;
                let mut named = self.run.lock().expect("no panic");
                if to != *LOWEST {
                    *named = Some(to);
                }
                Ok(named.unwrap_or(run))
            }
            _ => self.inner.raise_run_id(to).await,
        }
    }

    async fn feed(&self, from: &FeedFrom) -> Result<FeedBatch, StoreError> {
        self.modest("the feed")?;
        let mut feed = pin!(self.inner.feed(from));
        let mut batch = if self.has(Flaw::FeedNeverWakes) {
            let first = feed.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            let Poll::Ready(batch) = first else { return pending().await };
            batch?
        } else {
            poll_fn(|cx| feed.as_mut().poll(cx)).await?
        };
        match self.flaw {
            Flaw::FeedHasNoRevocations => {
                // The first event of a new reader passes, or no case could begin.
                let keep = matches!(from, FeedFrom::Since(_));
                batch.events.retain(|event| keep || !matches!(event, FeedEvent::Revoked(_)));
            }
            Flaw::FeedHasNoStaleMarks => {
                batch.events.retain(|event| matches!(event, FeedEvent::Revoked(_)));
            }
            // As if a commit arrived out of order.
            Flaw::FeedSkips if batch.events.len() > 1 => {
                batch.events.pop();
            }
            Flaw::FeedHidesGaps => batch.gap = false,
            _ => {}
        }
        Ok(batch)
    }
}
