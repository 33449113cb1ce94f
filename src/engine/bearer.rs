//! Authentication by a bearer token (RFC 6750): an access token without a refresh token, so nothing is
//! renewed.

use std::sync::Arc;

use super::{
    AuthOutcome, AuthStep, AuthenticatedSession, Credential, Engine, RequestContext, SessionView,
    VerifiedToken,
};
use crate::{
    claims::Claims,
    event::EventKind,
    protocol::{AccessDecision, LEEWAY, Refusal, SessionStatus, decide_access},
    rejection::RejectionKind,
    revocation::SessionError,
    store::SessionRecord,
    time::{Reading, Timestamp},
    token::InvalidToken,
};

/// What to do with an access token that cannot be renewed.
pub(super) enum BearerDecision {
    Accepted,
    /// The store must be asked: whether the session is revoked, or which claims it has now.
    AskStore,
    Refused(Refusal),
}

impl<C: Claims> Engine<C> {
    pub(super) fn authenticate_bearer(
        self: &Arc<Self>,
        token: &[u8],
        context: &RequestContext,
    ) -> AuthStep<C> {
        let refused = |refusal| AuthStep::rejected(RejectionKind::InvalidBearer(refusal));
        let token = match self.verify_recent(token) {
            Ok(token) => token,
            // Another instance has the key. With 401, the client would ask for a new token.
            Err(InvalidToken::NewKey) => return AuthStep::rejected(RejectionKind::Unavailable),
            #[cfg(feature = "verify")]
            Err(InvalidToken::UnknownKey) => return self.authenticate_unknown_key(token, context),
            Err(InvalidToken::Unreadable) => return refused(Refusal::UnreadableClaims),
            Err(_) => return refused(Refusal::BadToken),
        };
        let session = self.newest(&token);
        match self.decide_bearer(&session, context.arrived) {
            BearerDecision::Accepted => {
                if !context.passive {
                    self.confirm_once(&token, context.with_body, context.arrived.wall);
                }
                let presented = token.view.generation;
                AuthStep::Ready(AuthOutcome::Session { session, presented, renewal: None })
            }
            BearerDecision::AskStore => {
                AuthStep::ask_store(self.clone().look_up_or_refuse(token, context.clone()))
            }
            BearerDecision::Refused(refusal) => {
                // Do not report expired tokens.
                if matches!(refusal, Refusal::Revoked | Refusal::OtherRunId) {
                    let key = &token.view.key;
                    self.config.events.of(EventKind::Refused(refusal), &key.id, &key.subject.name);
                }
                refused(refusal)
            }
        }
    }

    /// As [`verify`](Self::verify), but a token that this thread sees often is found in its own cache.
    fn verify_recent(self: &Arc<Self>, token: &[u8]) -> Result<Arc<VerifiedToken<C>>, InvalidToken> {
        if let Some(verified) = self.tokens.recent(Credential::Bearer, token) {
            return Ok(verified);
        }
        self.verify(token).inspect(|_| self.tokens.note_recent(Credential::Bearer, token, token))
    }

    /// The session of a token, with the newest data that this instance has.
    pub(super) fn newest(&self, token: &Arc<VerifiedToken<C>>) -> AuthenticatedSession<C> {
        AuthenticatedSession { token: token.clone(), updated_view: token.updated_view() }
    }

    /// Decides about a verified access token without the store.
    pub(super) fn decide_bearer(&self, session: &AuthenticatedSession<C>, now: Reading) -> BearerDecision {
        let view = session.view();
        let status = match &session.updated_view {
            None => self.status(&session.token),
            Some(view) => self.status_of(view),
        };
        match status {
            // The store has no newer claims of a token for another service.
            #[cfg(feature = "verify")]
            SessionStatus::Stale if view.service.is_some() => {
                return BearerDecision::Refused(Refusal::StaleClaims);
            }
            SessionStatus::Valid | SessionStatus::Stale => {}
            SessionStatus::Revoked => return BearerDecision::Refused(Refusal::Revoked),
            SessionStatus::OtherRunId if self.revocation.denylist.is_older_run_id(view.run) => {
                return BearerDecision::Refused(Refusal::OtherRunId);
            }
            // The run ID is not known here yet.
            SessionStatus::OtherRunId => {}
        }
        match decide_access(&self.config.policy, Some(&view.times()), SessionStatus::Valid, now.wall) {
            AccessDecision::Renew if now.wall >= view.expires => BearerDecision::Refused(Refusal::Expired),
            AccessDecision::Renew => BearerDecision::Refused(Refusal::BadToken),
            AccessDecision::Accept | AccessDecision::AcceptOrRenew => {
                let known = status == SessionStatus::Valid
                    && !is_ahead(view, now.wall)
                    && self.revocation.knows_revocations(now)
                    && !self.revocation_may_be_forgotten(&session.token, now);
                if known { BearerDecision::Accepted } else { BearerDecision::AskStore }
            }
        }
    }

    async fn look_up_or_refuse(
        self: Arc<Self>,
        token: Arc<VerifiedToken<C>>,
        context: RequestContext,
    ) -> AuthOutcome<C> {
        match self.look_up_compared(&token, &context).await {
            Ok(session) => {
                if !context.passive {
                    self.confirm_once(&token, context.with_body, self.now());
                }
                AuthOutcome::Session { session, presented: token.view.generation, renewal: None }
            }
            Err(SessionError::Unavailable) => AuthOutcome::Rejected(RejectionKind::Unavailable),
            Err(SessionError::Refused(refusal)) => {
                let key = &token.view.key;
                self.config.events.of(EventKind::Refused(refusal), &key.id, &key.subject.name);
                AuthOutcome::Rejected(RejectionKind::InvalidBearer(refusal))
            }
        }
    }

    /// Reads the session of an access token from the store, and compares the client's origin.
    pub(super) async fn look_up_compared(
        self: &Arc<Self>,
        token: &Arc<VerifiedToken<C>>,
        context: &RequestContext,
    ) -> Result<AuthenticatedSession<C>, SessionError> {
        let (mut session, record) = self.look_up_session(token).await?;
        self.check_origin(&mut session, &record, context.origin.as_deref())?;
        Ok(session)
    }

    /// Reads the session of an access token from the store. If its claims have changed, returns the current ones,
    /// since the client cannot get another token here. The cached token keeps them, unless origins are compared.
    pub(super) async fn look_up_session(
        self: &Arc<Self>,
        token: &Arc<VerifiedToken<C>>,
    ) -> Result<(AuthenticatedSession<C>, Arc<SessionRecord>), SessionError> {
        let (mut session, key, run) = (self.newest(token), &token.view.key, token.view.run);
        let (now, asked_at) = (self.now(), self.revocation.monotonic());
        // The store has no record of a token that names no session.
        #[cfg(feature = "verify")]
        if session.view().service.as_ref().is_some_and(|service| !service.has_session) {
            return Err(SessionError::Unavailable);
        }
        let mut record = Arc::new(self.read_live(key, run, now).await?);
        let read_at = session.view().read_at;
        let changed = record.stale_since.is_some_and(|since| read_at.as_secs() <= since.as_secs())
            || is_ahead(session.view(), now);
        let changed = changed || self.status_of(session.view()) == SessionStatus::Stale;
        #[cfg(feature = "verify")]
        if changed && session.view().service.is_some() {
            return Err(Refusal::StaleClaims.into());
        }
        if changed {
            let claims = self.reload(key, &mut record).await?;
            let updated = Arc::new(token.view.updated(&record, claims, now));
            // If origins are compared, the result depends on this request's origin.
            if !self.config.client_origins.are_compared() {
                token.set_updated_view(updated.clone());
            }
            session.updated_view = Some(updated);
        }
        // It may have been revoked since the record was read.
        self.revocation.denylist.check(&key.id, run)?;
        token.note_not_revoked(asked_at);
        Ok((session, record))
    }
}

/// Whether the session was read while the clock was ahead. Then a later change of its claims can look older.
fn is_ahead<C>(view: &SessionView<C>, now: Timestamp) -> bool {
    view.read_at > now + LEEWAY
}
