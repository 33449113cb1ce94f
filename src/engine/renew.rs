//! Renewal: one store call that rotates if a rotation is due, and the decision by the resulting record.

use std::{
    hash::{Hash, Hasher},
    pin::pin,
    sync::Arc,
};

use super::{
    AuthenticatedSession, Engine, RequestContext, SessionView, VerifiedToken,
    record::{ReadRecord, record_if_run_id_matches},
};
use crate::{
    claims::Claims,
    event::{EventKind, Renewed},
    id::{RunId, SessionId},
    origin::OriginVerdict,
    protocol::{PresentedToken, RefreshDecision, Refusal, SessionStatus, decide_refresh},
    revocation::SessionError,
    store::{SessionKey, SessionRecord},
    time::Timestamp,
    token::RefreshClaims,
};

/// In-flight renewals with the same key are shared: they have the same session and the same *presented* generation. A
/// request with a copied older token must not share the renewal of a valid one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RenewalKey {
    session: SessionId,
    run: RunId,
    presented: PresentedToken,
    /// A passive renewal does not rotate, confirm or extend, so it must not take the place of another one.
    passive: bool,
    /// One without a proof of the device's key must not share the renewal of one with a proof.
    proven: bool,
    /// The client's origin, if the reuse decision depends on it.
    client_origin: Option<Arc<str>>,
}

/// The token's signature protects the session ID, so an attacker cannot choose it. A few of its random bits are enough
/// for a hash.
impl Hash for RenewalKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, ..] = *self.session.as_bytes();
        state.write_u64(u64::from_ne_bytes([a, b, c, d, e, f, g, h]));
    }
}

/// Why an in-flight renewal gave no result.
#[derive(Debug, thiserror::Error)]
#[error("the renewal panicked, its runtime stopped, or there is no Tokio runtime")]
struct LostRenewal;

/// What a renewal needs to know of its request, whose refresh token has a valid signature.
struct RenewalRequest {
    key: SessionKey,
    run: RunId,
    presented: PresentedToken,
    passive: bool,
    proven: bool,
    client_origin: Option<Arc<str>>,
}

/// A renewed session.
#[derive(Debug)]
pub(crate) struct Renewal<C> {
    pub(crate) session: AuthenticatedSession<C>,
    pub(crate) record: Arc<SessionRecord>,
    /// The generation that the request presented.
    pub(crate) presented: u64,
    /// When the record was read. Later changes are not in it.
    pub(crate) read_at: Timestamp,
    pub(crate) how: Renewed,
    /// A passive renewal does not move the idle deadline, so its token must not outlive that deadline.
    pub(super) limit: Option<Timestamp>,
}

impl<C> Clone for Renewal<C> {
    fn clone(&self) -> Self {
        Self { session: self.session.clone(), record: self.record.clone(), ..*self }
    }
}

impl<C: Claims> Engine<C> {
    /// Renews the session of a refresh token. Parallel calls with the same [`RenewalKey`] share one store call and one
    /// call of the claims reload hook.
    pub(super) async fn renew_shared(
        self: &Arc<Self>,
        refresh: RefreshClaims,
        context: &RequestContext,
    ) -> Result<Renewal<C>, SessionError> {
        self.check_bound_token(&refresh, context.proven).await?;
        let presented = PresentedToken { generation: refresh.generation, with_body: context.with_body };
        let (session, run, passive, proven) = (refresh.session, refresh.run, context.passive, context.proven);
        let client_origin = context.origin.clone().filter(|_| self.config.client_origins.keep_on_reuse);
        let shared_key = RenewalKey { session, run, presented, passive, proven, client_origin };
        let start = || {
            let key = self.key(refresh.subject.clone(), session);
            let client_origin = context.origin.clone();
            let request = RenewalRequest { key, run, presented, passive, proven, client_origin };
            self.clone().renew_and_report(request)
        };
        let mut is_retry = false;
        let (mut renewal, started) = loop {
            let mut shared = pin!(self.renewals.join(shared_key.clone(), start));
            let Some((renewal, started)) =
                self.backend.within_renewal_deadline(shared.as_mut()).await.flatten()
            else {
                self.renewals.give_up(&shared_key);
                let event = EventKind::InternalError { operation: "renew" };
                self.config.events.failed_of(event, &LostRenewal, &session, &refresh.subject);
                return Err(SessionError::Unavailable);
            };
            let renewal = renewal?;
            // The claims may have changed between the start of a shared renewal and this request. Renew once more.
            let changed = !started && self.status_since_read(&renewal) == SessionStatus::Stale;
            if !changed || std::mem::replace(&mut is_retry, true) {
                break (renewal, started);
            }
        };
        // This request joined another one's rotation, so it presented the predecessor.
        if !started && renewal.how == Renewed::Rotated {
            renewal.how = Renewed::PredecessorServed;
        }
        // The token is signed, but its times differ from the record's.
        if !self.times_match_record(&refresh, &renewal.record.family) {
            self.config.events.of(EventKind::Refused(Refusal::BadToken), &session, &refresh.subject);
            return Err(Refusal::BadToken.into());
        }
        // It may have been revoked since the record was read.
        self.revocation.denylist.check(&session, run)?;
        let Renewal { session, record, .. } = &mut renewal;
        self.check_origin(session, record, context.origin.as_deref())?;
        Ok(renewal)
    }

    /// Calls `compare_origin` and applies its verdict. Called for each of the requests that share a renewal.
    pub(super) fn check_origin(
        &self,
        session: &mut AuthenticatedSession<C>,
        record: &SessionRecord,
        client_origin: Option<&str>,
    ) -> Result<(), SessionError> {
        let verdict = self.compare_origin(record, client_origin).ok_or(SessionError::Unavailable)?;
        if verdict != OriginVerdict::Ignore {
            let key = &session.view().key;
            self.config.events.of(EventKind::OriginChanged(verdict), &key.id, &key.subject.name);
        }
        match verdict {
            OriginVerdict::Ignore | OriginVerdict::Report => Ok(()),
            OriginVerdict::StepUp => {
                session.updated_view = Some(Arc::new(session.view().requiring_step_up()));
                Ok(())
            }
            OriginVerdict::Refuse => Err(Refusal::OriginRefused.into()),
        }
    }

    /// Renews a session and reports the result.
    async fn renew_and_report(self: Arc<Self>, request: RenewalRequest) -> Result<Renewal<C>, SessionError> {
        let renewal = self.renew_session(&request).await;
        let RenewalRequest { key, passive, .. } = request;
        let events = &self.config.events;
        match &renewal {
            // A passive renewal changes nothing, so it is not reported.
            Ok(_) if passive => {}
            Ok(renewal) => events.of(EventKind::Renewed(renewal.how), &key.id, &key.subject.name),
            Err(SessionError::Refused(why)) => {
                events.of(EventKind::Refused(*why), &key.id, &key.subject.name);
            }
            Err(SessionError::Unavailable) => {
                self.backend.pause_early_renewal(&key.id, self.revocation.monotonic());
            }
        }
        renewal
    }

    /// Renews a session and reloads its claims.
    async fn renew_session(self: &Arc<Self>, request: &RenewalRequest) -> Result<Renewal<C>, SessionError> {
        let now = self.now();
        let (mut record, how) = match request.passive {
            false => self.renew_active(request, now).await?,
            true => Box::pin(self.renew_passive(request, now)).await?,
        };
        let RenewalRequest { key, run, presented, passive, proven, .. } = request;
        let claims = self.reload(key, &mut record).await?;
        // Not for a browser with a key: with ever shorter tokens it would reach its limit of proofs before the idle timeout.
        let limit = (*passive && !proven).then_some(record.family.idle_deadline);
        let expires =
            self.tokens.codec().access_expiry(now, limit.unwrap_or(record.family.absolute_deadline));
        let view = SessionView::of_record(key.clone(), &record, *run, now, expires, claims);
        let session = Arc::new(VerifiedToken::renewed(self.clone(), view)).into();
        Ok(Renewal { session, record, presented: presented.generation, read_at: now, how, limit })
    }

    /// For a request that counts as use. One round trip: the store rotates if a rotation is due, and returns the
    /// resulting record. Rare branches are boxed, to keep this future small.
    async fn renew_active(
        self: &Arc<Self>,
        request: &RenewalRequest,
        now: Timestamp,
    ) -> Result<(Arc<SessionRecord>, Renewed), SessionError> {
        let &RenewalRequest { ref key, run, presented, proven, ref client_origin, .. } = request;
        let advance = self.backend.store.advance(key, presented.generation, now);
        let snapshot = self.revocation.ask_about("advance", run, advance).await?;
        let rotated = snapshot.applied;
        let mut read = ReadRecord::of(snapshot, run)?;
        self.revocation.note_time(read.record.family.handed_out_at.max(read.record.family.last_seen()));
        if read.record.family.is_live(now) && !self.is_live(&read.record.family, now) {
            return Err(Box::pin(self.revoke_outlived(key, now)).await);
        }
        self.check_device(key, &read.record, proven, now)?;
        let longest = self.config.policy.timing().absolute_timeout;
        if read.record.has_future_times(now, longest) {
            let correct = |record: &mut SessionRecord| record.cap_future_times(now, longest);
            read = ReadRecord::of(
                Box::pin(self.compare_and_set("correct_times", key, Some(read.into()), None, correct))
                    .await?,
                run,
            )?;
            // The confirmation may have been removed, so the generation may have to be confirmed again.
            self.backend.confirmed.forget(&key.id);
        }
        let how = if rotated {
            Renewed::Rotated
        } else {
            let mut decision = decide_refresh(presented, &read.record.family, now);
            if decision == RefreshDecision::ServePredecessor && read.record.family.must_record_handout(now) {
                read = Box::pin(self.record_handout(key, read, now)).await?;
                decision = decide_refresh(presented, &read.record.family, now);
            }
            match decision {
                RefreshDecision::Confirm => Renewed::Confirmed,
                RefreshDecision::ServePredecessor => Renewed::PredecessorServed,
                // `Rotate`: a rotation is due by this instance's clock, but the store did not rotate, for example
                // because it compares by its own clock. Reissue, as if no rotation were due.
                RefreshDecision::Reissue | RefreshDecision::Rotate => Renewed::Reissued,
                RefreshDecision::FastForward => {
                    let record = Box::pin(self.fast_forward(key, run, presented, now)).await?;
                    return Ok((record, Renewed::FastForwarded));
                }
                RefreshDecision::Reuse => {
                    let revoked = self.revoke_reused(
                        key,
                        &read.record,
                        presented.generation,
                        client_origin.as_deref(),
                        now,
                    );
                    return Err(Box::pin(revoked).await);
                }
                RefreshDecision::Refuse(refusal) => return Err(self.refused_by_record(key, refusal)),
            }
        };
        self.write_confirmation_or_use(key, &read, how, now);
        Ok((read.record, how))
    }

    /// Writes that the current generation is handed out again to a client that presented its predecessor. This is
    /// written before the response is sent, because the confirmation age counts from it.
    async fn record_handout(
        &self,
        key: &SessionKey,
        read: ReadRecord,
        now: Timestamp,
    ) -> Result<ReadRecord, SessionError> {
        let run = read.run;
        let handout = |record: &mut SessionRecord| record.family.record_handout(now);
        let snapshot = self.compare_and_set("record_handout", key, Some(read.into()), None, handout).await?;
        let written = snapshot.applied;
        let read = ReadRecord::of(snapshot, run)?;
        // Once is normal: a lost response or a crash. Report repeats.
        if written && !self.backend.handed_out.note_if_newer(key.id, read.record.family.generation) {
            self.config.events.of(EventKind::SuccessorUnconfirmed, &key.id, &key.subject.name);
        }
        Ok(read)
    }

    /// For a passive request: does not rotate, confirm or extend. It can only revoke the session.
    async fn renew_passive(
        &self,
        request: &RenewalRequest,
        now: Timestamp,
    ) -> Result<(Arc<SessionRecord>, Renewed), SessionError> {
        let &RenewalRequest { ref key, run, presented, proven, ref client_origin, .. } = request;
        let record = Arc::new(self.read(key, run).await?);
        if record.family.is_live(now) && !self.is_live(&record.family, now) {
            return Err(self.revoke_outlived(key, now).await);
        }
        self.check_device(key, &record, proven, now)?;
        match decide_refresh(presented, &record.family, now) {
            RefreshDecision::Reuse => Err(self
                .revoke_reused(key, &record, presented.generation, client_origin.as_deref(), now)
                .await),
            RefreshDecision::Refuse(refusal) => Err(self.refused_by_record(key, refusal)),
            RefreshDecision::Confirm
            | RefreshDecision::Reissue
            | RefreshDecision::Rotate
            | RefreshDecision::ServePredecessor
            | RefreshDecision::FastForward => Ok((record, Renewed::Reissued)),
        }
    }

    /// Writes the generation of the token to the record: the store lost the rotation in a failover.
    async fn fast_forward(
        &self,
        key: &SessionKey,
        run: RunId,
        presented: PresentedToken,
        now: Timestamp,
    ) -> Result<Arc<SessionRecord>, SessionError> {
        let catch_up = |record: &mut SessionRecord| record.family.fast_forward(presented.generation, now);
        let record = record_if_run_id_matches(
            self.compare_and_set("fast_forward", key, None, None, catch_up).await?,
            run,
        )?;
        if record.family.revoked {
            return Err(self.refused_by_record(key, Refusal::Revoked));
        }
        if !record.family.is_live(now) {
            return Err(Refusal::Expired.into());
        }
        self.config.events.of(EventKind::LostWriteRepaired, &key.id, &key.subject.name);
        Ok(Arc::new(record))
    }
}
