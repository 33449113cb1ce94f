//! What a token is worth now, for services that ask. Nothing is written, and nothing counts as use.

use std::sync::Arc;

use super::{Active, Engine, RenewError, bearer::Worth, renew::known};
use crate::{
    claims::Claims,
    protocol::{Presented, Rotation, rotate},
    store::SessionRecord,
    token::RefreshClaims,
};

/// What came of it.
pub(crate) enum Introspection<C> {
    /// A good access token.
    Access(Arc<Active<C>>),
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
        if let Ok(refresh) = self.tokens().verify_refresh(token) {
            return match self.look_at(&refresh).await {
                Ok(Some(record)) => Introspection::Refresh(refresh, Box::new(record)),
                Ok(None) | Err(RenewError::Refused(_)) => Introspection::Dead,
                Err(RenewError::Unavailable) => Introspection::Unavailable,
            };
        }
        let Some(active) = self.active(token) else { return Introspection::Dead };
        match self.worth(&active, self.now()) {
            Worth::Good => Introspection::Access(active),
            Worth::Nothing(_) => Introspection::Dead,
            Worth::Unknown => match self.look_up(&active).await {
                Ok(found) => Introspection::Access(found),
                Err(RenewError::Refused(_)) => Introspection::Dead,
                Err(RenewError::Unavailable) => Introspection::Unavailable,
            },
        }
    }

    /// The record of a session, if `refresh` would be served.
    async fn look_at(&self, refresh: &RefreshClaims) -> Result<Option<SessionRecord>, RenewError> {
        let key = self.key(refresh.subject.clone(), refresh.session);
        let record = known(self.ask("get", self.store.get(&key)).await?, refresh.run)?;
        if self.revocations.is_revoked(&key.id) || self.revocations.is_past(refresh.run) {
            return Ok(None);
        }
        let presented = Presented { generation: refresh.generation, with_body: false };
        Ok(match rotate(&self.policy, presented, &record.family, self.now()) {
            Rotation::Reuse | Rotation::Refuse(_) => None,
            Rotation::Confirm
            | Rotation::Reissue
            | Rotation::Advance
            | Rotation::Replay
            | Rotation::FastForward => Some(record),
        })
    }
}
