//! Look-ups of a session in the store, for access tokens about which this instance cannot decide.

use std::sync::Arc;

use super::{
    AuthOutcome, AuthStep, AuthenticatedSession, Engine, RequestContext, VerifiedToken, bearer::LocalDecision,
};
use crate::{
    claims::Claims,
    cookie::CookieValue,
    cross_site::RenewalPermission,
    protocol::{LEEWAY, Refusal, SessionStatus},
    rejection::RejectionKind,
    revocation::SessionError,
    store::SessionRecord,
    time::Timestamp,
    token::RefreshClaims,
};

impl<C: Claims> Engine<C> {
    /// The session of a token, with the newest data that this instance has.
    pub(super) fn newest_session(&self, token: &Arc<VerifiedToken<C>>) -> AuthenticatedSession<C> {
        AuthenticatedSession { token: token.clone(), updated_view: token.updated_view() }
    }

    /// Asks the store whether the access token can be used, because this instance cannot know. If it cannot be used,
    /// the refresh token decides. The refresh token may be of another session.
    pub(super) async fn check_or_renew(
        self: Arc<Self>,
        token: Arc<VerifiedToken<C>>,
        refresh: Option<RefreshClaims>,
        context: RequestContext,
    ) -> AuthOutcome<C> {
        // Stale claims are refused, so that the session is renewed. A bound session cannot be renewed without a proof.
        // So its request gets the current claims instead.
        let checked = match token.is_bound() {
            false => self.check_with_store(&token).await.map(|()| token.clone().into()),
            true => self.look_up_and_compare_origin(&token, &context).await,
        };
        match (checked, refresh) {
            (Ok(session), _) => {
                self.confirm_or_note_use(&token, &context, self.now());
                AuthOutcome::Session { session, presented: token.view.generation, renewal: None }
            }
            (Err(SessionError::Unavailable), _) => AuthOutcome::Rejected(RejectionKind::Unavailable),
            (Err(SessionError::Refused(_)), Some(refresh)) => {
                self.renew_with_fallback(refresh, None, context).await
            }
            (Err(SessionError::Refused(refusal)), None) => AuthOutcome::Anonymous(refusal),
        }
    }

    /// Returns an error if the session is not live, or if its claims changed after the token was issued.
    async fn check_with_store(&self, token: &VerifiedToken<C>) -> Result<(), SessionError> {
        let (view, asked_at) = (&token.view, self.revocation.monotonic());
        let record = self.read_live(&view.key, view.run, self.now()).await?;
        self.revocation.denylist.check(&view.key.id, view.run)?;
        // A change of the session's claims sets `stale_since`. `Sessions::mark_stale` sets it only in a store without a
        // feed. With a feed, it adds a mark to the feed, and the denylist has the mark. So the status is checked, too.
        let changed = record.stale_since.is_some_and(|since| view.issued.as_secs() <= since.as_secs());
        if changed || self.status(token) == SessionStatus::Stale {
            return Err(Refusal::StaleClaims.into());
        }
        token.note_not_revoked(asked_at);
        Ok(())
    }

    /// Reads the session of an access token from the store, and compares the client's origin.
    pub(super) async fn look_up_and_compare_origin(
        self: &Arc<Self>,
        token: &Arc<VerifiedToken<C>>,
        context: &RequestContext,
    ) -> Result<AuthenticatedSession<C>, SessionError> {
        let (mut session, record) = self.look_up_session(token).await?;
        self.check_origin(&mut session, &record, context.origin.as_deref())?;
        Ok(session)
    }

    /// Reads the session of an access token from the store. If the session's claims have changed, returns the current
    /// claims, because the client gets no new token from this request. The cached token keeps these claims, unless
    /// origins are compared.
    pub(super) async fn look_up_session(
        self: &Arc<Self>,
        token: &Arc<VerifiedToken<C>>,
    ) -> Result<(AuthenticatedSession<C>, Arc<SessionRecord>), SessionError> {
        let (mut session, key, run) = (self.newest_session(token), &token.view.key, token.view.run);
        let (now, asked_at) = (self.now(), self.revocation.monotonic());
        // For a token that names no session, the store has no record. So only the feed can tell whether the token is
        // valid. This function is called only if what this instance has read of the feed is not enough to decide. So
        // the answer is 503.
        #[cfg(feature = "verify")]
        if session.view().service.as_ref().is_some_and(|service| !service.has_session) {
            return Err(SessionError::Unavailable);
        }
        let mut record = self.read_live(key, run, now).await?;
        let read_at = session.view().read_at;
        let changed = record.stale_since.is_some_and(|since| read_at.as_secs() <= since.as_secs())
            || session.view().was_read_in_the_future(now);
        let changed = changed || self.status_of(session.view()) == SessionStatus::Stale;
        #[cfg(feature = "verify")]
        if changed && session.view().service.is_some() {
            return Err(Refusal::StaleClaims.into());
        }
        if changed {
            let claims = self.reload(key, &mut record).await?;
            let updated = Arc::new(token.view.updated(&record, claims, now));
            // With an updated view, the next request may be accepted without the store, and so without a comparison of
            // its origin. So if origins are compared, the view is not kept.
            if !self.config.client_origins.are_compared() {
                token.set_updated_view(updated.clone());
            }
            session.updated_view = Some(updated);
        }
        // The session may have been revoked since the record was read.
        self.revocation.denylist.check(&key.id, run)?;
        token.note_not_revoked(asked_at);
        Ok((session, record))
    }

    /// For an access token of a bound session that [`decide_access`](crate::protocol::decide_access) did not accept:
    /// returns true if the token has not expired and is not from the future, and if its session is not known to be
    /// revoked. Such a token may still be usable: it was not accepted because its claims are stale, or because it has
    /// another run ID than this instance knows. Then the store is asked.
    ///
    /// Without a proof, the request cannot renew the session. So it is served with newer data of the session.
    pub(super) fn may_be_usable(
        &self,
        token: &VerifiedToken<C>,
        status: Option<SessionStatus>,
        now: Timestamp,
    ) -> bool {
        token.view.issued <= now + LEEWAY
            && now < token.view.expires
            && status != Some(SessionStatus::Revoked)
    }

    /// Serves a request with an access token that [may be usable](Self::may_be_usable). Asks the store, unless this
    /// instance already has newer data of the session.
    pub(super) fn look_up_bound(
        self: &Arc<Self>,
        token: Arc<VerifiedToken<C>>,
        refresh: CookieValue<'_>,
        permission: RenewalPermission,
        context: &RequestContext,
    ) -> AuthStep<C> {
        let session = self.newest_session(&token);
        if let LocalDecision::Accepted = self.decide_locally(&session, context.arrived) {
            self.confirm_or_note_use(&token, context, context.arrived.wall);
            let presented = token.view.generation;
            return AuthStep::Ready(AuthOutcome::Session { session, presented, renewal: None });
        }
        let refresh = self.read_refresh(refresh, context.arrived.wall).ok();
        let refresh = refresh.filter(|_| permission == RenewalPermission::Granted);
        AuthStep::pending(self.clone().check_or_renew(token, refresh, context.clone()))
    }
}
