//! Records: read one, reload its claims, and change one by compare-and-set.

use std::{error::Error, future::poll_fn, sync::Arc, task::Poll};

use super::Engine;
use crate::{
    claims::{Claims, Reload, Reloader},
    event::{EventKind, HookPanic, caught},
    id::RunId,
    protocol::{Family, Refusal},
    revocation::SessionError,
    store::{FeedEvent, Revoke, SessionKey, SessionRecord, SharedSnapshot, StoreError},
    time::Timestamp,
    token::{RefreshClaims, StepUp, write_claims},
};

/// An error of the claims reload hook.
type ReloadError = Box<dyn Error + Send + Sync>;

/// How many times a change is tried. Each conflict means that another change was made.
const TRIES: usize = 8;

/// A record as it was read, to be changed later.
#[derive(Clone, Debug)]
pub(super) struct ReadRecord {
    pub(super) run: RunId,
    version: u64,
    pub(super) record: Arc<SessionRecord>,
}

impl ReadRecord {
    pub(super) fn of(snapshot: SharedSnapshot, run: RunId) -> Result<Self, Refusal> {
        let version = snapshot.version;
        Ok(Self { run, version, record: record_if_run_id_matches(snapshot, run)? })
    }
}

impl From<ReadRecord> for SharedSnapshot {
    fn from(read: ReadRecord) -> Self {
        Self { run: read.run, version: read.version, record: Some(read.record), applied: false }
    }
}

/// The record, if the store has it, and if the store's run ID is the token's.
pub(super) fn record_if_run_id_matches(
    snapshot: SharedSnapshot,
    run: RunId,
) -> Result<Arc<SessionRecord>, Refusal> {
    if snapshot.run != run {
        return Err(Refusal::OtherRunId);
    }
    snapshot.record.ok_or(Refusal::Unknown)
}

/// The last re-authentication that a record has.
pub(super) fn step_up_of(record: &SessionRecord) -> StepUp {
    match &record.reauthentication {
        None => StepUp::None,
        // The epoch stands for an unknown time: a correction has replaced a time in the future, or the OpenID Provider
        // did not give the time.
        Some(last) if last.at == Timestamp::EPOCH => StepUp::Required,
        Some(last) => StepUp::Done { at: last.at, amr: last.methods.clone() },
    }
}

impl<C: Claims> Engine<C> {
    /// Reads the record of a session.
    pub(super) async fn read(
        &self,
        key: &SessionKey,
        run: RunId,
    ) -> Result<Arc<SessionRecord>, SessionError> {
        let snapshot = self.revocation.ask_about("get", run, self.backend.store.get(key)).await?;
        Ok(record_if_run_id_matches(snapshot, run)?)
    }

    /// Reads the record of a session that must be live.
    pub(super) async fn read_live(
        &self,
        key: &SessionKey,
        run: RunId,
        now: Timestamp,
    ) -> Result<Arc<SessionRecord>, SessionError> {
        let record = self.read(key, run).await?;
        if record.family.revoked {
            return Err(self.refused_by_record(key, Refusal::Revoked));
        }
        if !self.is_live_by_policy(&record.family, now) {
            return Err(Refusal::Expired.into());
        }
        Ok(record)
    }

    /// Returns the current claims of a session: those of the reload hook, or without a hook those of the record. The
    /// claims of the hook replace those in `record`, but not those in the store.
    ///
    /// # Errors
    /// The hook failed or revoked the session, or the claims cannot be read.
    pub(super) async fn reload(
        &self,
        key: &SessionKey,
        record: &mut Arc<SessionRecord>,
    ) -> Result<C, SessionError> {
        let events = &self.config.events;
        let parse = |record: &SessionRecord| serde_json::from_str(&record.claims);
        let unreadable = |error: serde_json::Error| {
            events.failed_of(EventKind::ClaimsUnreadable, &error, &key.id, &key.subject.name);
            SessionError::Refused(Refusal::UnreadableClaims)
        };
        let Some(reloader) = &self.config.reloader else { return parse(record).map_err(unreadable) };
        match self.call_reload_hook(reloader, &key.subject.name, parse(record).ok()).await {
            Ok(Reload::Keep) => parse(record).map_err(unreadable),
            Ok(Reload::Replace(claims)) => {
                // Return the claims as the next request will read them from its token.
                let (json, claims) = write_claims(&claims).map_err(|error| {
                    self.report_unwritten(&error, key);
                    SessionError::Unavailable
                })?;
                Arc::make_mut(record).claims = json.into();
                Ok(claims)
            }
            Ok(Reload::Revoke { reason }) => {
                events.of(EventKind::RevokedByApplication { reason }, &key.id, &key.subject.name);
                // Refuse the request even if the store failed, which is reported. Then the next renewal calls the hook
                // again.
                let _ignored = self.revocation.revoke(Revoke::Session(key.clone())).await;
                Err(Refusal::RevokedByApplication.into())
            }
            // It is unknown whether the user may continue, so the answer is 503, not 401.
            Err(error) => {
                events.failed_of(EventKind::ReloadFailed, &*error, &key.id, &key.subject.name);
                Err(SessionError::Unavailable)
            }
        }
    }

    /// Calls the hook, with the deadline of a store call.
    async fn call_reload_hook(
        &self,
        reloader: &Reloader<C>,
        subject: &Arc<str>,
        claims: Option<C>,
    ) -> Result<Reload<C>, ReloadError> {
        let panicked = |panic: HookPanic| -> ReloadError {
            self.config.events.failed(EventKind::HookPanicked { hook: "reload_claims" }, &panic);
            panic.into()
        };
        let mut reloading = caught(|| reloader.reload(subject.clone(), claims)).map_err(panicked)?;
        let answer = poll_fn(|cx| match caught(|| reloading.as_mut().poll(cx)) {
            Ok(Poll::Ready(answer)) => Poll::Ready(Ok(answer)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(panic) => Poll::Ready(Err(panic)),
        });
        let late = || self.backend.too_late();
        self.backend.in_time(answer).await.ok_or_else(late)?.map_err(panicked)?
    }

    /// Makes an error of `refusal`. If the record says that the session is revoked, adds the session to the denylist,
    /// because the feed may not have delivered the revocation yet.
    pub(super) fn refused_by_record(&self, key: &SessionKey, refusal: Refusal) -> SessionError {
        if refusal == Refusal::Revoked && !self.revocation.denylist.is_revoked(&key.id) {
            self.revocation.note_revoked(key);
        }
        refusal.into()
    }

    /// Whether a session is live by its record and by this instance's policy.
    pub(super) fn is_live_by_policy(&self, family: &Family, now: Timestamp) -> bool {
        let timing = self.config.policy.timing();
        family.is_live_with_timeouts_at_most(now, timing.idle_timeout, timing.absolute_timeout)
    }

    /// Whether a refresh token has the times of its record.
    pub(super) fn times_match_record(&self, refresh: &RefreshClaims, family: &Family) -> bool {
        refresh.times_match_record(family, self.config.policy.timing().absolute_timeout)
    }

    /// Applies `change` to a session's record, starting from `read` if the record was read before. With `feed_event`,
    /// the store adds that event to its feed.
    ///
    /// `change` returns whether it applies. It may run several times. Returns the resulting record. All tries together
    /// have the deadline of one store call.
    pub(crate) async fn compare_and_set(
        &self,
        operation: &'static str,
        key: &SessionKey,
        read: Option<SharedSnapshot>,
        feed_event: Option<FeedEvent>,
        change: impl Fn(&mut SessionRecord) -> bool,
    ) -> Result<SharedSnapshot, StoreError> {
        let feed_event = feed_event.filter(|_| self.backend.has_feed);
        let write = async {
            let mut snapshot = match read {
                Some(read) => read,
                None => self.backend.store.get(key).await?,
            };
            for _ in 0..TRIES {
                let mut wanted = match &snapshot.record {
                    Some(record) if !record.family.revoked => SessionRecord::clone(record),
                    _ => return Ok(SharedSnapshot { applied: false, ..snapshot }),
                };
                if !change(&mut wanted) {
                    return Ok(SharedSnapshot { applied: false, ..snapshot });
                }
                let answer =
                    self.backend.store.replace(key, snapshot.version, &wanted, feed_event.as_ref()).await?;
                // A store may send a call twice, because the answer to the first one was lost. Then the second one does
                // not apply, but the record is the wanted one.
                if answer.applied || answer.record.as_deref() == Some(&wanted) {
                    return Ok(SharedSnapshot { applied: true, ..answer });
                }
                snapshot = answer;
            }
            Err(StoreError::unavailable("the record was changed by other requests at each of 8 attempts"))
        };
        let run_before = self.revocation.denylist.run();
        let written = self.backend.ask(operation, write).await?;
        self.revocation.accept_run_id(run_before, written.run)?;
        Ok(written)
    }
}
