//! A token for another service.

use std::{fmt, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use serde_json::value::RawValue;

use super::Session;
use crate::{
    claims::Claims,
    event::EventKind,
    id,
    protocol::SessionStatus,
    time::Timestamp,
    token::{MintError, ServiceToken, ServiceTokenError, write_service_claims},
};

/// The default lifetime of a token for another service.
const LIFETIME: Duration = Duration::from_secs(300);

/// Mints a token for another service. Made by [`Session::token_for`].
#[must_use = "call `mint`"]
pub struct TokenFor<'s, C = ()> {
    session: &'s Session<C>,
    audience: String,
    lifetime: Duration,
    client_id: Option<String>,
    scope: Option<String>,
    claims: Result<Option<Box<RawValue>>, MintError>,
    with_session_id: bool,
}

impl<'s, C: Claims> TokenFor<'s, C> {
    pub(super) fn new(session: &'s Session<C>, audience: String) -> Self {
        Self {
            session,
            audience,
            lifetime: LIFETIME,
            client_id: None,
            scope: None,
            claims: Ok(None),
            with_session_id: false,
        }
    }

    /// The lifetime of the token. Default 5 minutes. The token does not expire later than the access token of this
    /// request, so not later than the session: see [`Session::expires_in`].
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// The claim `scope`: what the service may do for the user. It has scope tokens with single spaces between them.
    /// Default: none.
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// The claim `client_id`: the caller's name that the service knows. Default: the
    /// [realm](crate::SessionsBuilder::realm).
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = Some(client_id.into());
        self
    }

    /// The claim `ext`: claims for the service. Default: none. The token has claims of the session only if you pass
    /// them here. So the service learns only what it needs.
    pub fn claims(mut self, claims: &impl Serialize) -> Self {
        self.claims = write_service_claims(claims);
        self
    }

    /// Adds the claims `sid` (the session ID) and `run` (the session's run ID), so that the service can follow the
    /// revocation of the session. Default: off.
    pub fn with_session_id(mut self) -> Self {
        self.with_session_id = true;
        self
    }

    /// Mints and signs the token. Makes no store call.
    ///
    /// # Errors
    /// [`ServiceTokenError`]. An event reports each error except [`Ended`](ServiceTokenError::Ended) to the operator.
    pub fn mint(self) -> Result<String, ServiceTokenError> {
        let (engine, key) = (self.session.engine(), &self.session.view().key);
        self.try_mint().inspect_err(|error| match error {
            ServiceTokenError::Ended => {}
            ServiceTokenError::Mint(error) => engine.report_unwritten(error, key),
            _ => {
                let event = EventKind::InternalError { operation: "token_for" };
                engine.config.events.failed_of(event, error, &key.id, &key.subject.name);
            }
        })
    }

    fn try_mint(self) -> Result<String, ServiceTokenError> {
        let Self { session, audience, lifetime, client_id, scope, claims, with_session_id } = self;
        let (engine, view, now) = (session.engine(), session.view(), session.now());
        if engine.only_verifies() {
            let error = jsonwebtoken::signature::Error::from_source("this service only verifies");
            return Err(MintError::Signing(Arc::new(error)).into());
        }
        // The session was valid when the request was authenticated, but that may be long ago.
        let ended = match engine.status_of(view) {
            SessionStatus::Valid | SessionStatus::Stale => false,
            SessionStatus::Revoked => true,
            // The session's run ID may be newer than the run ID that this instance knows.
            SessionStatus::OtherRunId => engine.revocation.denylist.is_older_run_id(view.run),
        };
        if ended || now >= view.expires {
            return Err(ServiceTokenError::Ended);
        }
        let expires = Timestamp::from_secs((now + lifetime).as_secs_ceil()).min(view.expires);
        let id = id::random::<16>().map_err(|error| MintError::Signing(Arc::new(error)))?;
        let authenticated_at = session.authenticated_at();
        engine.tokens.codec().mint_for_service(&ServiceToken {
            subject: session.subject(),
            audience: &audience,
            client_id: client_id.as_deref(),
            now,
            expires,
            id: &URL_SAFE_NO_PAD.encode(id),
            auth_time: authenticated_at,
            methods: session.last_methods(),
            session: with_session_id.then_some((view.key.id, view.run)),
            scope: scope.as_deref(),
            claims: claims?.as_deref(),
        })
    }
}

/// Shows the audience only.
impl<C> fmt::Debug for TokenFor<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenFor").field("audience", &self.audience).finish_non_exhaustive()
    }
}
