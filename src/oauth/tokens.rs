//! The response with tokens.

use std::{fmt, sync::Arc, time::Duration};

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;

use super::{Grant, body};
use crate::{
    claims::Claims,
    engine::{Engine, Issued, SignInError},
    id::SessionId,
    sessions::Sessions,
};

/// The tokens of a session, for a client that keeps them itself. In axum it is a response (RFC 6749,
/// section 5.1). Its `Debug` shows no token.
#[must_use = "the client only learns of its session if this is the response"]
pub struct TokenResponse {
    session: SessionId,
    body: Body,
}

#[derive(Serialize)]
struct Body {
    token_type: &'static str,
    access_token: String,
    expires_in: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
}

impl TokenResponse {
    pub(super) fn new(issued: Issued) -> Self {
        let Issued { session, access, expires_in, refresh } = issued;
        let expires_in = expires_in.as_secs();
        let body = Body { token_type: "Bearer", access_token: access, expires_in, refresh_token: refresh };
        Self { session, body }
    }

    pub(super) async fn open<C: Claims>(
        engine: &Arc<Engine<C>>,
        grant: Grant<C>,
    ) -> Result<Self, SignInError> {
        let Grant { subject, claims, sign_in } = grant;
        Ok(Self::new(engine.open_tokens(&subject, &claims, sign_in).await?))
    }

    /// The session that began.
    #[must_use]
    pub fn session_id(&self) -> SessionId {
        self.session
    }

    /// The access token.
    #[must_use]
    pub fn access_token(&self) -> &str {
        &self.body.access_token
    }

    /// How long the access token is valid, in whole seconds.
    #[must_use]
    pub fn expires_in(&self) -> Duration {
        Duration::from_secs(self.body.expires_in)
    }

    /// The refresh token. None if the client keeps its own.
    #[must_use]
    pub fn refresh_token(&self) -> Option<&str> {
        self.body.refresh_token.as_deref()
    }
}

impl IntoResponse for TokenResponse {
    fn into_response(self) -> Response {
        body::json(StatusCode::OK, &self.body)
    }
}

impl fmt::Debug for TokenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenResponse").field("session", &self.session).finish_non_exhaustive()
    }
}

impl<C: Claims> Sessions<C> {
    /// Opens a session for a client without cookies, in a handler of your own, such as for a passkey.
    ///
    /// # Errors
    /// [`SignInError`]: no session was opened.
    ///
    /// ```
    /// # use tower_sliding_sessions::{Rejection, Sessions, oauth::{Grant, TokenResponse}};
    /// async fn passkey(sessions: Sessions) -> Result<TokenResponse, Rejection> {
    ///     // Check the passkey here.
    ///     Ok(sessions.issue_tokens(Grant::new("ann", ()).by(["hwk"])).await?)
    /// }
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "oauth")))]
    pub async fn issue_tokens(&self, grant: Grant<C>) -> Result<TokenResponse, SignInError> {
        TokenResponse::open(&self.engine, grant).await
    }
}
