//! Renewal by the refresh token: one store call that rotates if a rotation is due, and the decision by the resulting
//! record.

use std::{
    hash::{Hash, Hasher},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use super::{
    AuthOutcome, AuthStep, AuthenticatedSession, Engine, PendingOutcome, RequestContext, SessionView,
    VerifiedToken, record::ReadRecord,
};
use crate::{
    claims::Claims,
    cookie::CookieValue,
    cross_site::RenewalPermission,
    device_binding::DeviceBinding,
    event::{EventKind, Renewed},
    id::{RunId, SessionId},
    protocol::{
        BindingDecision, PresentedToken, RefreshDecision, Refusal, SessionStatus, decide_binding,
        decide_refresh,
    },
    rejection::RejectionKind,
    revocation::SessionError,
    store::{SessionKey, SessionRecord},
    time::Timestamp,
    token::RefreshClaims,
};

/// In-flight renewals with the same key are shared. The *presented* generation is part of the key, because a request
/// with a copied, older token must not share the renewal of a valid one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RenewalKey {
    session: SessionId,
    run: RunId,
    presented: PresentedToken,
    /// A passive renewal does not rotate, confirms nothing, and does not move the idle deadline. So active requests
    /// must not share it.
    passive: bool,
    /// A request without a proof of the device's key must not share the renewal of a request with a proof.
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
#[error("the renewal took too long or panicked, its runtime stopped, or there is no Tokio runtime")]
struct LostRenewal;

/// The facts of a request that its renewal needs. The signature of its refresh token is valid.
pub(super) struct RenewalRequest {
    pub(super) key: SessionKey,
    pub(super) run: RunId,
    pub(super) presented: PresentedToken,
    passive: bool,
    pub(super) proven: bool,
    pub(super) client_origin: Option<Arc<str>>,
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
    /// The latest expiry of its access token. `None` for the session's absolute timeout. A passive renewal does not
    /// move the idle deadline, so its token must not outlive that deadline. Exception: with a proof, there is no limit.
    /// See `renew_session`.
    pub(super) limit: Option<Timestamp>,
}

impl<C> Clone for Renewal<C> {
    fn clone(&self) -> Self {
        Self { session: self.session.clone(), record: self.record.clone(), ..*self }
    }
}

impl<C: Claims> Engine<C> {
    /// Renews by the refresh cookie, because the access token cannot be used. `token` is the access token, if its
    /// signature is valid.
    pub(super) fn renew_by_cookie(
        self: &Arc<Self>,
        refresh: CookieValue<'_>,
        permission: RenewalPermission,
        token: Option<Arc<VerifiedToken<C>>>,
        known_status: Option<SessionStatus>,
        context: &RequestContext,
    ) -> AuthStep<C> {
        let now = context.arrived.wall;
        let refresh = match self.read_refresh(refresh, now) {
            Ok(refresh) => refresh,
            Err(SessionError::Unavailable) => return AuthStep::rejected(RejectionKind::Unavailable),
            Err(SessionError::Refused(refusal)) => {
                return AuthStep::Ready(AuthOutcome::Anonymous(refusal));
            }
        };
        match permission {
            RenewalPermission::Granted => {}
            RenewalPermission::RefusedAsPrefetch => return AuthStep::rejected(RejectionKind::NotNow),
            RenewalPermission::RefusedAsCrossSite => {
                let event = EventKind::Refused(Refusal::CrossSite);
                self.config.events.of(event, &refresh.session, &refresh.subject);
                return AuthStep::Ready(AuthOutcome::Anonymous(Refusal::CrossSite));
            }
        }
        let token = token.filter(|token| token.view.key.id == refresh.session);
        // An expired access token confirms its generation, too.
        if let Some(token) = &token
            && matches!(known_status, None | Some(SessionStatus::Valid | SessionStatus::Stale))
        {
            self.confirm_or_note_use(token, context, now);
        }
        let fallback = token.filter(|token| self.may_ride_through(token, known_status, now));
        AuthStep::Pending(self.clone().renew_with_fallback(refresh, fallback, context.clone()))
    }

    /// Renews before the access token expires. If that is not possible now, `token` serves the request.
    pub(super) fn renew_early(
        self: &Arc<Self>,
        token: Arc<VerifiedToken<C>>,
        refresh: CookieValue<'_>,
        permission: RenewalPermission,
        context: &RequestContext,
    ) -> AuthStep<C> {
        let now = context.arrived;
        // If the session has a device key, even a provisional one, the browser sends a separate request that renews the
        // session.
        let has_device_key = token.view.device.is_some();
        if has_device_key
            || self.backend.early_renewal_is_paused(now.monotonic)
            || permission != RenewalPermission::Granted
        {
            return AuthStep::Ready(token.into());
        }
        match self.read_refresh(refresh, now.wall) {
            Ok(refresh) if refresh.session == token.view.key.id => {
                AuthStep::Pending(self.clone().renew_with_fallback(refresh, Some(token), context.clone()))
            }
            _ => AuthStep::Ready(token.into()),
        }
    }

    /// Whether an expired access token may be used during an outage of the store, by the setting `ride_through`. A
    /// token that names a device key, also a provisional one, may never be used after its expiry.
    fn may_ride_through(
        &self,
        token: &VerifiedToken<C>,
        known_status: Option<SessionStatus>,
        now: Timestamp,
    ) -> bool {
        let time = self.config.ride_through;
        time > Duration::ZERO
            && token.view.device.is_none()
            && known_status == Some(SessionStatus::Valid)
            && token.view.issued <= now
            && now < token.view.expires + time
    }

    /// Renews the session. If that is not possible now, the access token `fallback` serves the request.
    pub(super) fn renew_with_fallback(
        self: Arc<Self>,
        refresh: RefreshClaims,
        fallback: Option<Arc<VerifiedToken<C>>>,
        context: RequestContext,
    ) -> PendingOutcome<C> {
        Box::pin(async move {
            match (self.renew_shared(&refresh, &context).await, fallback) {
                (Ok(renewal), _) => AuthOutcome::Session {
                    session: renewal.session.clone(),
                    presented: renewal.presented,
                    // A passive request gets no cookies. With new cookies, a page that polls would keep the access
                    // token fresh. Then active requests would not renew, and their use would not be recorded.
                    renewal: (!context.passive).then(|| Box::new(renewal)),
                },
                (Err(SessionError::Unavailable), Some(token))
                    if self.status(&token) == SessionStatus::Valid =>
                {
                    token.into()
                }
                // The body of this request was late, so its refresh token was not accepted. This does not revoke the
                // session, and the access token is still valid.
                (Err(SessionError::Refused(Refusal::LateBody)), Some(token))
                    if self.now() < token.view.expires =>
                {
                    token.into()
                }
                (Err(SessionError::Unavailable), _) => AuthOutcome::Rejected(RejectionKind::Unavailable),
                (Err(SessionError::Refused(Refusal::DeviceProofRequired)), _) if self.takes_proofs() => {
                    AuthOutcome::Rejected(RejectionKind::DeviceProofRequired)
                }
                (Err(SessionError::Refused(refusal)), _) => AuthOutcome::Anonymous(refusal),
            }
        })
    }

    /// Renews the session of a refresh token. Parallel calls with the same [`RenewalKey`] share one store call and one
    /// call of the claims reload hook.
    pub(super) async fn renew_shared(
        self: &Arc<Self>,
        refresh: &RefreshClaims,
        context: &RequestContext,
    ) -> Result<Renewal<C>, SessionError> {
        if refresh.device.is_some() && !context.proven {
            return Err(self.refuse_bound_token(refresh).await);
        }
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
        // This request shares the rotation of another request. So it has presented the predecessor.
        if !started && renewal.how == Renewed::Rotated {
            renewal.how = Renewed::PredecessorServed;
        }
        // The token has a valid signature, but other times than the record.
        if !self.times_match_record(refresh, &renewal.record.family) {
            self.config.events.of(EventKind::Refused(Refusal::BadToken), &session, &refresh.subject);
            return Err(Refusal::BadToken.into());
        }
        // The session may have been revoked since the record was read.
        self.revocation.denylist.check(&session, run)?;
        let Renewal { session, record, .. } = &mut renewal;
        self.check_origin(session, record, context.origin.as_deref())?;
        Ok(renewal)
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
        // The token of a passive renewal expires at the idle deadline at the latest. This limit does not apply with a
        // proof. With the limit, tokens near the idle deadline would have ever shorter lifetimes, so the browser would
        // need ever more proofs. Browsers limit how often they sign.
        let limit = (*passive && !proven).then_some(record.family.idle_deadline);
        let expires = self.config.policy.access_expiry(now, limit.unwrap_or(record.family.absolute_deadline));
        let view = SessionView::of_record(key.clone(), &record, *run, now, expires, claims);
        let session = Arc::new(VerifiedToken::renewed(self.clone(), view)).into();
        Ok(Renewal { session, record, presented: presented.generation, read_at: now, how, limit })
    }

    /// Renews for a request that counts as use, in one round trip: the store rotates if a rotation is due, and returns
    /// the resulting record. Rare branches are boxed, to keep this future small.
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
        let newest_time = read.record.family.handed_out_at.max(read.record.family.last_seen());
        // If this time is in the future, the clock of another instance is ahead.
        self.revocation.note_time(newest_time, now);
        if read.record.family.is_live(now) && !self.is_live_by_policy(&read.record.family, now) {
            return Err(Box::pin(self.revoke_past_timeouts(key, now)).await);
        }
        self.check_device(key, &read.record, proven, now)?;
        if read.record.has_future_times(now, self.config.policy.timing().absolute_timeout) {
            read = Box::pin(self.correct_times(key, read, now)).await?;
        }
        if rotated {
            return Ok((read.record, Renewed::Rotated));
        }
        let mut decision = decide_refresh(presented, &read.record.family, now);
        if decision == RefreshDecision::ServePredecessor && read.record.family.must_record_handout(now) {
            read = Box::pin(self.record_handout(key, read, now)).await?;
            decision = decide_refresh(presented, &read.record.family, now);
        }
        let how = match decision {
            RefreshDecision::Confirm => Renewed::Confirmed,
            RefreshDecision::ServePredecessor => Renewed::PredecessorServed,
            // `Rotate`: a rotation is due by this instance's clock, but the store did not rotate, for example because
            // it compares by its own clock. Reissue, as if no rotation were due.
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
        };
        self.write_confirmation_or_use(key, &read, how, now);
        Ok((read.record, how))
    }

    /// Refuses a renewal without a proof in two cases: the record says that the session is bound to a device, or the
    /// session was not bound in the time that `DeviceBound::required_within` allows. This does not revoke the session,
    /// not even if the generation was superseded: an attacker with copied cookies must not sign the user out.
    ///
    /// A refresh token from before the confirmation of the binding names no key. So the store may already have rotated
    /// the session when this check refuses the request. The client with the key then presents the predecessor, and is
    /// served.
    pub(super) fn check_device(
        &self,
        key: &SessionKey,
        record: &SessionRecord,
        proven: bool,
        now: Timestamp,
    ) -> Result<(), SessionError> {
        if proven || !record.family.is_live(now) {
            return Ok(());
        }
        let binding = DeviceBinding::of(record).map(|binding| binding.state());
        if decide_binding(binding.as_ref(), None, &record.family.timing, now)
            == BindingDecision::ProofRequired
        {
            return Err(self.refuse_unproven(key, now));
        }
        #[cfg(feature = "device-bound")]
        if let Some(settings) = &self.config.device_bound
            && settings.max_unbound_time().is_some_and(|time| now >= record.family.created_at + time)
        {
            return Err(Refusal::DeviceNotBound.into());
        }
        Ok(())
    }

    /// The status of a renewed session, by what this instance has learned since the record was read.
    pub(super) fn status_since_read(&self, renewal: &Renewal<C>) -> SessionStatus {
        let SessionView { key, run, .. } = renewal.session.view();
        self.revocation.denylist.status_since(*run, &key.id, &key.subject.name, renewal.read_at)
    }
}
