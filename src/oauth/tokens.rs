//! The response that contains tokens.

use std::{fmt, sync::Arc, time::Duration};

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;

use super::{Grant, body};
use crate::{
    claims::Claims,
    engine::{Engine, IssuedTokens, RefreshExpiry, SignInError},
    id::SessionId,
    sessions::Sessions,
};

/// The tokens of a session, for a client that keeps the tokens itself. In axum, `TokenResponse` is a response (RFC
/// 6749, section 5.1). Its `Debug` shows no token.
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
    /// The value of `refresh_token_timeout`, under the name that clients know from other servers.
    refresh_token_expires_in: u64,
    #[serde(flatten)]
    refresh_expiry: RefreshExpirySecs,
}

/// When a refresh token expires, in seconds, as in draft-ietf-oauth-refresh-token-expiration-03 (sections 6.1 and 7).
#[derive(Clone, Copy, Serialize)]
pub(super) struct RefreshExpirySecs {
    refresh_token_timeout: u64,
    authorization_expires_in: u64,
}

impl From<RefreshExpiry> for RefreshExpirySecs {
    fn from(RefreshExpiry { expires_in_unused, session_expires_in }: RefreshExpiry) -> Self {
        Self {
            refresh_token_timeout: expires_in_unused.as_secs(),
            authorization_expires_in: session_expires_in.as_secs(),
        }
    }
}

impl TokenResponse {
    pub(super) fn new(issued: IssuedTokens) -> Self {
        let IssuedTokens { session, access, expires_in, refresh, refresh_expiry } = issued;
        let refresh_expiry = RefreshExpirySecs::from(refresh_expiry);
        let body = Body {
            token_type: "Bearer",
            access_token: access,
            expires_in: expires_in.as_secs(),
            refresh_token: refresh,
            refresh_token_expires_in: refresh_expiry.refresh_token_timeout,
            refresh_expiry,
        };
        Self { session, body }
    }

    pub(super) async fn open<C: Claims>(
        engine: &Arc<Engine<C>>,
        grant: Grant<C>,
    ) -> Result<Self, SignInError> {
        let Grant { subject, claims, sign_in } = grant;
        Ok(Self::new(engine.open_tokens(&subject, &claims, sign_in).await?))
    }

    /// The ID of the session.
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

    /// The refresh token. Returns `None` if the client keeps the refresh token that it already has.
    #[must_use]
    pub fn refresh_token(&self) -> Option<&str> {
        self.body.refresh_token.as_deref()
    }

    /// How long the refresh token is valid without use, in whole seconds: until the idle timeout or the absolute
    /// timeout, whichever is earlier. Each use extends the idle timeout.
    #[must_use]
    pub fn refresh_token_expires_in(&self) -> Duration {
        Duration::from_secs(self.body.refresh_token_expires_in)
    }

    /// The time until the absolute timeout of the session, in whole seconds. Use of the session does not extend this
    /// time.
    #[must_use]
    pub fn authorization_expires_in(&self) -> Duration {
        Duration::from_secs(self.body.refresh_expiry.authorization_expires_in)
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
    /// Opens a session for a client without cookies. Call this method in your own handler, for example for a passkey.
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
