//! Introspection: answers whether a token is valid now, with the current data of its session. Introspection does not
//! count as use of the session. It writes nothing, unless the claims reload hook revokes the session.

use std::sync::Arc;

use super::{Engine, VerifiedToken, bearer::LocalDecision, bound::device_of};
use crate::{
    claims::Claims,
    protocol::{PresentedToken, RefreshDecision, decide_refresh},
    revocation::SessionError,
    store::SessionRecord,
    token::{InvalidToken, RefreshClaims},
};

/// The result of introspection.
pub(crate) enum Introspection<C> {
    /// A valid access token, and the session's current claims.
    Access { token: Arc<VerifiedToken<C>>, claims: Arc<C> },
    /// A refresh token that would be accepted.
    Refresh(RefreshClaims, Arc<SessionRecord>),
    /// Any other token.
    Inactive,
    /// The store did not answer.
    Unavailable,
}

impl<C: Claims> Engine<C> {
    pub(crate) async fn introspect(self: &Arc<Self>, token: &[u8]) -> Introspection<C> {
        self.start_followers();
        match self.tokens.codec().verify_refresh(token) {
            Ok(refresh) => {
                return match self.record_if_accepted(&refresh).await {
                    Ok(Some(record)) => Introspection::Refresh(refresh, record),
                    Ok(None) | Err(SessionError::Refused(_)) => Introspection::Inactive,
                    Err(SessionError::Unavailable) => Introspection::Unavailable,
                };
            }
            Err(InvalidToken::NewKey) => return Introspection::Unavailable,
            Err(_) => {}
        }
        let token = match self.verify(token) {
            Ok(token) => token,
            Err(InvalidToken::NewKey) => return Introspection::Unavailable,
            Err(_) => return Introspection::Inactive,
        };
        let session = self.newest_session(&token);
        let looked_up = match self.decide_locally(&session, self.revocation.read_clock()) {
            LocalDecision::Accepted => Ok(session),
            LocalDecision::Refused(refusal) => Err(refusal.into()),
            LocalDecision::AskStore => self.look_up_session(&token).await.map(|(session, _)| session),
        };
        match looked_up {
            // Origin rules do not apply: the client's origin is unknown here. Only the claims may be newer than the
            // token. All other values come from the token.
            Ok(session) => Introspection::Access { claims: session.view().claims.clone(), token },
            Err(SessionError::Refused(_)) => Introspection::Inactive,
            Err(SessionError::Unavailable) => Introspection::Unavailable,
        }
    }

    /// The record of a session, if `refresh` would be accepted.
    async fn record_if_accepted(
        &self,
        refresh: &RefreshClaims,
    ) -> Result<Option<Arc<SessionRecord>>, SessionError> {
        let key = self.key(refresh.subject.clone(), refresh.session);
        let record = self.read_live(&key, refresh.run, self.now()).await?;
        self.revocation.denylist.check(&key.id, refresh.run)?;
        // The refresh token of a bound session is not accepted without a proof of the device's key.
        let is_bound = device_of(&record).is_some_and(|device| device.is_confirmed());
        if is_bound || !self.times_match_record(refresh, &record.family) {
            return Ok(None);
        }
        let presented = PresentedToken { generation: refresh.generation, with_body: false };
        Ok(match decide_refresh(presented, &record.family, self.now()) {
            RefreshDecision::Reuse | RefreshDecision::Refuse(_) => None,
            RefreshDecision::Confirm
            | RefreshDecision::Reissue
            | RefreshDecision::Rotate
            | RefreshDecision::ServePredecessor
            | RefreshDecision::FastForward => Some(record),
        })
    }
}
