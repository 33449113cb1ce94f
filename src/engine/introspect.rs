//! What a token is worth now, for services that ask. Nothing counts as use, and nothing is written, but
//! for the end of a session whose user may not go on.

use std::sync::Arc;

use super::{Active, Engine, RenewError, bearer::Worth, renew::known};
use crate::{
    claims::Claims,
    protocol::{Presented, Rotation, rotate},
    store::SessionRecord,
    token::{InvalidToken, RefreshClaims},
};

/// What came of it.
pub(crate) enum Introspection<C> {
    /// A good access token, and the claims of now.
    Access { token: Arc<Active<C>>, claims: Arc<C> },
    /// A refresh token that would be served.
    Refresh(RefreshClaims, Box<SessionRecord>),
    /// Anything else.
    Dead,
    /// Nobody knows: the store is away.
    Unavailable,
}

impl<C: Claims> Engine<C> {
    pub(crate) async fn introspect(self: &Arc<Self>, token: &[u8]) -> Introspection<C> {
        self.start();
        match self.tokens().verify_refresh(token) {
            Ok(refresh) => {
                return match self.look_at(&refresh).await {
                    Ok(Some(record)) => Introspection::Refresh(refresh, Box::new(record)),
                    Ok(None) | Err(RenewError::Refused(_)) => Introspection::Dead,
                    Err(RenewError::Unavailable) => Introspection::Unavailable,
                };
            }
            Err(InvalidToken::NewKey) => return Introspection::Unavailable,
            Err(_) => {}
        }
        let token = match self.verify(token) {
            Ok(token) => token,
            Err(InvalidToken::NewKey) => return Introspection::Unavailable,
            Err(_) => return Introspection::Dead,
        };
        let active = token.newest();
        let looked_up = match self.worth(&active, self.read_clock()) {
            Worth::Good => Ok(active),
            Worth::Nothing(refusal) => Err(refusal.into()),
            Worth::Unknown => self.look_up(&token).await.map(|found| found.active),
        };
        match looked_up {
            // The rest is the token's own: where it is used, and so which proof counts there, is not known.
            Ok(active) => Introspection::Access { claims: active.claims.clone(), token },
            Err(RenewError::Refused(_)) => Introspection::Dead,
            Err(RenewError::Unavailable) => Introspection::Unavailable,
        }
    }

    /// The record of a session, if `refresh` would be served.
    async fn look_at(&self, refresh: &RefreshClaims) -> Result<Option<SessionRecord>, RenewError> {
        let key = self.key(refresh.subject.clone(), refresh.session);
        let record = known(self.ask_about("get", refresh.run, self.store.get(&key)).await?, refresh.run)?;
        if !refresh.are_of(&record.family)
            || self.revocations.is_revoked(&key.id)
            || self.revocations.is_past(refresh.run)
        {
            return Ok(None);
        }
        if !self.is_live(&record.family, self.now()) {
            return Ok(None);
        }
        let presented = Presented { generation: refresh.generation, with_body: false };
        Ok(match rotate(presented, &record.family, self.now()) {
            Rotation::Reuse | Rotation::Refuse(_) => None,
            Rotation::Confirm
            | Rotation::Reissue
            | Rotation::Advance
            | Rotation::Replay
            | Rotation::FastForward => Some(record),
        })
    }
}
