//! Back-channel logout: the provider reports that a user's session at the provider is over (OpenID Connect Back-Channel
//! Logout 1.0).

use std::sync::Arc;

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    response::Response,
};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::{
    Inner,
    logout_token::{self, LogoutToken, Refused},
    provider::ProviderError,
};
use crate::{claims::Claims, event::EventKind, store::StoreError};

/// The maximum length of a request body, in bytes.
const LONGEST: usize = 16 * 1024;

/// Why a logout request failed.
pub(super) enum Failed {
    Refused(Refused),
    /// The key of the token is unknown. The provider could not be asked for newer keys, because it was asked a moment
    /// ago.
    UnknownKey,
    Provider(ProviderError),
    Store(StoreError),
}

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// `POST /backchannel-logout`: revokes the sessions that a logout token names.
pub(super) async fn logout<C: Claims>(State(oidc): State<Arc<Inner<C>>>, request: Request) -> Response {
    let events = &oidc.sessions.engine.config.events;
    let ended = match token_of(request).await {
        Some(token) => {
            // A task continues even if the provider does not wait for the response.
            let task = oidc.clone();
            let ended = tokio::spawn(async move {
                let ended = task.log_out(&token).await;
                if let Ok(sessions) = &ended {
                    let kind = EventKind::LoggedOutByProvider { sessions: *sessions };
                    task.sessions.engine.config.events.note(kind);
                }
                ended
            });
            ended.await.unwrap_or_else(|panic| Err(StoreError::unavailable(panic).into()))
        }
        None => Err(Refused::Malformed.into()),
    };
    match ended {
        Ok(_) => answer(StatusCode::OK, ""),
        Err(Failed::Refused(refused)) => {
            events.note(EventKind::LogoutTokenRefused { why: refused.word() });
            answer(
                StatusCode::BAD_REQUEST,
                r#"{"error":"invalid_request","error_description":"the logout token is not accepted"}"#,
            )
        }
        // The provider may send the same token again. The status 501 says that this will not help.
        Err(Failed::Store(StoreError::Unsupported(_))) => answer(
            StatusCode::NOT_IMPLEMENTED,
            r#"{"error":"server_error","error_description":"the session store cannot do this"}"#,
        ),
        Err(Failed::Store(_)) => answer(StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE),
        // The same token may be accepted later. After a 400, the provider would not send the token again.
        Err(Failed::UnknownKey) => {
            events.note(EventKind::LogoutTokenRefused { why: Refused::UnknownKey.word() });
            answer(StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE)
        }
        Err(Failed::Provider(error)) => {
            events.failed(EventKind::OidcFailed { why: error.word() }, &error);
            answer(StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE)
        }
    }
}

const UNAVAILABLE: &str =
    r#"{"error":"temporarily_unavailable","error_description":"send the same logout token again"}"#;

fn answer(status: StatusCode, json: &'static str) -> Response {
    let mut response = Response::new(Body::from(json));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if !json.is_empty() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
    }
    response
}

/// The logout token of a form. Returns `None` unless the form has exactly one logout token.
async fn token_of(request: Request) -> Option<String> {
    if !is_form(request.headers()) {
        return None;
    }
    let body = to_bytes(request.into_body(), LONGEST).await.ok()?;
    let mut tokens = form_urlencoded::parse(&body).filter(|(name, _)| name == "logout_token");
    let (_, token) = tokens.next()?;
    tokens.next().is_none().then(|| token.into_owned())
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let essence = kind.split(|b| *b == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
}

impl<C: Claims> Inner<C> {
    /// Verifies a logout token, and revokes the sessions that the token names. Returns the number of revoked sessions.
    async fn log_out(&self, token: &str) -> Result<usize, Failed> {
        let token = self.verify_logout_token(token).await?;
        if self.was_used(&token).await? {
            return Err(Refused::Replayed.into());
        }
        let (mut revoked, mut failed) = (0, None);
        for key in self.end_sessions_of(&token).await? {
            // If one revocation fails, the other sessions are still revoked.
            match self.sessions.engine.revocation.revoke_by_token(&key).await {
                Ok(count) => revoked += count,
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if let Some(error) = failed {
            return Err(error.into());
        }
        // The use is noted last, so that the provider can send the token again if the store failed. If two requests
        // have the same token, the second request finds nothing to revoke.
        match self.note_use(&token).await? {
            true => Ok(revoked),
            false => Err(Refused::Replayed.into()),
        }
    }

    async fn verify_logout_token(&self, token: &str) -> Result<LogoutToken, Failed> {
        let provider = self.provider.get().await.map_err(Failed::Provider)?;
        let registration = &self.provider.registration;
        let now = self.sessions.engine.now();
        let verify = |provider| {
            logout_token::verify(token, provider, &registration.issuer, &registration.client_id, now)
        };
        match verify(&provider) {
            Err(Refused::UnknownKey) => match self.provider.newer(&provider).await {
                Ok(newer) => Ok(verify(&newer)?),
                Err(ProviderError::Recently) => Err(Failed::UnknownKey),
                Err(error) => Err(Failed::Provider(error)),
            },
            verified => Ok(verified?),
        }
    }
}
