//! A memory store with one flaw.

use std::{
    collections::HashSet,
    future::{pending, poll_fn},
    pin::pin,
    sync::{Arc, LazyLock, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::task::yield_now;
use tower_sliding_sessions::{
    RunId, SessionId, Timestamp,
    protocol::{Advance, Family, RotationTiming},
    store::{
        Cap, Capabilities, CreateError, FeedBatch, FeedEvent, FeedFrom, MemoryStore, Overflow, Revoke,
        SessionKey, SessionRecord, SessionStore, Snapshot, StaleScope, StoreError, Subject,
    },
};

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

    fn claims(&self, claims: &str) -> String {
        match serde_json::from_str::<serde_json::Value>(claims) {
            Ok(value) if self.has(Flaw::ClaimsAreReformatted) => value.to_string(),
            _ => claims.to_owned(),
        }
    }

    fn kept(&self, record: &SessionRecord) -> SessionRecord {
        let mut record = record.clone();
        record.claims = self.claims(&record.claims).into();
        let family = &mut record.family;
        if self.has(Flaw::GenerationsAreShort) {
            family.generation = u64::from(family.generation as u32);
        }
        if self.has(Flaw::DeadlinesAreRounded) {
            // Whole multiples of seven seconds, so that no value is correct by chance.
            let round = |at: Timestamp| Timestamp::from_secs(at.as_secs() / 7 * 7 - 7);
            family.absolute_deadline = round(family.absolute_deadline);
            family.idle_deadline = round(family.idle_deadline);
        }
        record
    }

    fn shown(&self, mut snapshot: Snapshot) -> Snapshot {
        if self.has(Flaw::EndedAreForgotten) {
            snapshot.record = snapshot.record.filter(|record| !record.family.revoked);
        }
        if let Some(record) = snapshot.record.as_mut().filter(|_| self.has(Flaw::RevokeIsNotFinal)) {
            record.family.revoked = false;
        }
        if let Some(run) = *self.run.lock().expect("no panic") {
            snapshot.run = run;
        }
        let revived = self.revived.lock().expect("no panic");
        if let Some(record) = snapshot.record.as_mut().filter(|record| revived.contains(&record.id)) {
            record.family.revoked = false;
        }
        if let Some(record) = snapshot.record.as_mut().filter(|_| self.has(Flaw::StaleMarksGoBack)) {
            record.stale_since = record.stale_since.map(|at| at - Duration::from_secs(10));
        }
        snapshot
    }
}

impl SessionStore for FlawedStore {
    fn capabilities(&self) -> Capabilities {
        match self.flaw {
            Flaw::Modest | Flaw::SaysItCanDoNothing => Capabilities::NONE,
            _ => Capabilities::ALL,
        }
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
        let live = self.inner.list(subject, record.family.created_at).await?;
        match cap {
            Some(_) if self.has(Flaw::CreateIgnoresCap) => cap = None,
            Some(Cap { limit, overflow: Overflow::Refuse }) if self.has(Flaw::CapIsNotAtomic) => {
                yield_now().await;
                if live.len() >= limit {
                    return Err(CreateError::TooMany);
                }
                cap = None;
            }
            Some(Cap { limit: 1, overflow: Overflow::RevokeOldest }) if self.has(Flaw::CreateIsTorn) => {
                let all = Revoke::Subject { subject: subject.clone(), before: None, except: None };
                self.inner.revoke(&all, record.family.created_at).await?;
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

    async fn advance(&self, key: &SessionKey, advance: &Advance) -> Result<Snapshot, StoreError> {
        let (key, mut advance) = (&self.key(key), *advance);
        let read = self.inner.get(key).await?;
        match (self.flaw, &read.record) {
            (Flaw::AdvanceIgnoresCondition, Some(record)) => {
                advance.from = record.family.generation;
                let confirmed = SessionRecord {
                    family: Family { confirmed_at: Some(Timestamp::EPOCH), ..record.family },
                    ..record.clone()
                };
                self.inner.replace(key, read.version, &confirmed, None).await?;
            }
            (Flaw::AdvanceWaitsLonger, _) => advance.at = advance.at - MILLI,
            (Flaw::AdvanceIgnoresTiming, Some(record)) => {
                let timing = RotationTiming { rotation_interval: Duration::ZERO, ..record.family.timing };
                let family = Family { timing, ..record.family };
                let mut impatient = SessionRecord { family, ..record.clone() };
                let applies = impatient.family.advance(&advance);
                impatient.family.timing = record.family.timing;
                if applies {
                    return self.inner.replace(key, read.version, &impatient, None).await;
                }
            }
            (Flaw::AdvanceIsNotAtomic, _) => yield_now().await,
            _ => {}
        }
        let mut snapshot = self.inner.advance(key, &advance).await?;
        let would_apply = |record: SessionRecord| { record }.family.advance(&advance);
        if self.has(Flaw::AdvanceIsNotAtomic) {
            snapshot.applied = read.record.is_some_and(would_apply);
        } else if self.has(Flaw::RevokeIsNotFinal) {
            snapshot.applied |= snapshot.record.as_ref().is_some_and(|record| record.family.revoked);
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
        let revoked = now.record.as_ref().is_some_and(|record| record.family.revoked);
        match (self.flaw, now.record) {
            (Flaw::ReplaceIgnoresVersion, _) => version = now.version,
            (Flaw::ReplaceIsNotAtomic, _) if now.version == version => {
                yield_now().await;
                version = self.inner.get(&key).await?.version;
            }
            (Flaw::ReplaceKeepsTiming, Some(kept)) => record.family.timing = kept.family.timing,
            (Flaw::ReplaceKeepsDeadlines, Some(kept)) => {
                record.family.idle_deadline = kept.family.idle_deadline;
            }
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
            self.inner.mark_stale(&StaleScope::Session(key.clone()), *at).await?;
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

    async fn mark_stale(&self, scope: &StaleScope, at: Timestamp) -> Result<(), StoreError> {
        match scope {
            StaleScope::Session(key) if self.has(Flaw::Modest) => {
                // There is no feed event, so the record has the mark.
                let snapshot = self.inner.get(key).await?;
                let Some(mut record) = snapshot.record else { return Ok(()) };
                record.stale_since = record.stale_since.max(Some(at));
                self.inner.replace(key, snapshot.version, &record, None).await.map(drop)
            }
            StaleScope::Subject(_) if self.has(Flaw::Modest) => Err(StoreError::Unsupported("stale marks")),
            _ => self.inner.mark_stale(scope, at).await,
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
