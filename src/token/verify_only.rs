//! Tokens that a service with only public keys accepts: the access tokens of sessions, and the tokens that
//! `Session::token_for` minted for the service.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::{
    access::{AccessClaims, ServiceDetails, read_claims},
    codec::{TokenCodec, could_be_ours},
    error::InvalidToken,
    jws,
    key::Key,
    keyring::Keyring,
    public_key::PublicKey,
    service::ServiceClaims,
    step_up::StepUp,
};
use crate::{
    id::{RunId, SessionId},
    time::Timestamp,
};

impl Keyring {
    /// Makes a ring of public keys. The ring may be empty. A key is left out if issuers of this crate cannot use its
    /// name.
    pub(crate) fn of_public(keys: &[PublicKey]) -> Self {
        let keys = keys.iter().filter_map(|key| Key::public(key.clone()).ok()).collect();
        Self { keys, pulled: Arc::default(), term: None }
    }
}

impl TokenCodec {
    /// Also accepts tokens for `audience`.
    pub(crate) fn with_service(self, audience: Arc<str>) -> Self {
        Self { service: Some(audience), ..self }
    }

    /// Does not accept the access tokens of sessions.
    pub(crate) fn without_sessions(self) -> Self {
        Self { sessions: false, ..self }
    }

    /// Reads a token that was minted for this service. Returns `None` if no service audience is set, or if the token is
    /// not a token for a service.
    pub(super) fn read_service<C: DeserializeOwned>(
        &self,
        payload: &[u8],
    ) -> Option<Result<AccessClaims<C>, InvalidToken>> {
        let audience = self.service.as_deref()?;
        let claims: ServiceClaims<'_> = jws::claims(payload).ok()?;
        Some(self.check_service(claims, audience))
    }

    fn check_service<C: DeserializeOwned>(
        &self,
        wire: ServiceClaims<'_>,
        audience: &str,
    ) -> Result<AccessClaims<C>, InvalidToken> {
        if *wire.aud != *audience || self.issuer.as_deref() != Some(&*wire.iss) {
            return Err(InvalidToken::Audience);
        }
        if wire.exp.saturating_sub(wire.iat) > self.longest_access_secs()
            || !could_be_ours(&wire.sub, wire.iat, wire.exp)
            || wire.jti.is_empty()
            || wire.client_id.is_empty()
            || wire.sid.is_some() != wire.run.is_some()
        {
            return Err(InvalidToken::Claims);
        }
        let issued = Timestamp::from_secs(wire.iat);
        Ok(AccessClaims {
            claims: read_claims(wire.ext.map_or("null", RawValue::get))?,
            subject: wire.sub.into(),
            // Without `sid`, no event of the feed names this ID.
            session: wire.sid.unwrap_or(SessionId::from_bytes([0; 32])),
            generation: 0,
            // Without `run`, only a run ID that is newer than the token's `iat` makes the token invalid.
            run: wire.run.unwrap_or(RunId::at(issued, 0)),
            issued,
            not_before: None,
            expires: Timestamp::from_secs(wire.exp),
            auth_time: Timestamp::from_secs(wire.auth_time.unwrap_or_default()),
            // Without `auth_time`, no authentication counts for this service.
            step_up: if wire.auth_time.is_some() { StepUp::None } else { StepUp::Required },
            methods: wire.amr.into_owned(),
            device: None,
            service: Some(Box::new(ServiceDetails {
                has_session: wire.sid.is_some(),
                id: wire.jti.into(),
                client_id: wire.client_id.into(),
                scope: wire.scope.map(Into::into),
            })),
        })
    }
}
