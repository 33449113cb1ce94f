//! Authentication by a bearer token (RFC 6750). It comes without a refresh token, so the session is not renewed.

use std::sync::Arc;

use super::{AuthOutcome, AuthStep, AuthenticatedSession, Engine, RequestContext, VerifiedToken};
use crate::{
    claims::Claims,
    event::EventKind,
    protocol::{AccessDecision, Refusal, SessionStatus, decide_access},
    rejection::RejectionKind,
    revocation::SessionError,
    time::Reading,
    token::InvalidToken,
};

/// What this instance knows of an access token without asking the store.
pub(super) enum LocalDecision {
    Accepted,
    /// Only the store knows whether the session is revoked, or which claims it has now.
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
        let token = match self.verify_bearer(token) {
            Ok(token) => token,
            // Another instance has the key. The answer is 503, because after a 401 the client would ask for a new
            // token.
            Err(InvalidToken::NewKey) => return AuthStep::rejected(RejectionKind::Unavailable),
            #[cfg(feature = "verify")]
            Err(InvalidToken::UnknownKey) => return self.authenticate_unknown_key(token, context),
            Err(InvalidToken::Unreadable) => return refused(Refusal::UnreadableClaims),
            Err(_) => return refused(Refusal::BadToken),
        };
        let session = self.newest_session(&token);
        match self.decide_locally(&session, context.arrived) {
            LocalDecision::Accepted => {
                self.confirm_or_note_use(&token, context, context.arrived.wall);
                let presented = token.view.generation;
                AuthStep::Ready(AuthOutcome::Session { session, presented, renewal: None })
            }
            LocalDecision::AskStore => {
                AuthStep::pending(self.clone().look_up_or_refuse(token, context.clone()))
            }
            LocalDecision::Refused(refusal) => {
                // Do not report tokens that have expired, are from the future, or have stale claims.
                if matches!(refusal, Refusal::Revoked | Refusal::OtherRunId) {
                    let key = &token.view.key;
                    self.config.events.of(EventKind::Refused(refusal), &key.id, &key.subject.name);
                }
                refused(refusal)
            }
        }
    }

    /// Decides about a verified access token without asking the store.
    pub(super) fn decide_locally(&self, session: &AuthenticatedSession<C>, now: Reading) -> LocalDecision {
        let view = session.view();
        let status = match &session.updated_view {
            None => self.status(&session.token),
            Some(view) => self.status_of(view),
        };
        match status {
            // The claims of a service token were chosen when it was minted. They are not in the session's record, so
            // the store has no newer ones.
            #[cfg(feature = "verify")]
            SessionStatus::Stale if view.service.is_some() => {
                return LocalDecision::Refused(Refusal::StaleClaims);
            }
            SessionStatus::Valid | SessionStatus::Stale => {}
            SessionStatus::Revoked => return LocalDecision::Refused(Refusal::Revoked),
            SessionStatus::OtherRunId if self.revocation.denylist.is_older_run_id(view.run) => {
                return LocalDecision::Refused(Refusal::OtherRunId);
            }
            // This instance knows no run ID yet, or an older one than the token's. Below, this leads to `AskStore`.
            SessionStatus::OtherRunId => {}
        }
        match decide_access(&self.config.policy, Some(&view.times()), SessionStatus::Valid, now.wall) {
            AccessDecision::Renew if now.wall >= view.expires => LocalDecision::Refused(Refusal::Expired),
            // The token is from the future.
            AccessDecision::Renew => LocalDecision::Refused(Refusal::BadToken),
            AccessDecision::Accept | AccessDecision::AcceptOrRenew => {
                let is_known_valid = status == SessionStatus::Valid
                    && !view.was_read_in_the_future(now.wall)
                    && self.revocation.knows_revocations(now)
                    && !self.revocation_may_be_forgotten(&session.token, now);
                if is_known_valid { LocalDecision::Accepted } else { LocalDecision::AskStore }
            }
        }
    }

    async fn look_up_or_refuse(
        self: Arc<Self>,
        token: Arc<VerifiedToken<C>>,
        context: RequestContext,
    ) -> AuthOutcome<C> {
        match self.look_up_and_compare_origin(&token, &context).await {
            Ok(session) => {
                self.confirm_or_note_use(&token, &context, self.now());
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
}
