//! Sessions for phones, command lines and other clients without cookies.
//!
//! [`OAuth`] makes a router with a token endpoint (RFC 6749) and a revocation endpoint (RFC 7009). If the application
//! says which callers may use it, the router also has an introspection endpoint (RFC 7662). A layer accepts the access
//! tokens as `Authorization: Bearer` if the layer has [`accept_bearer`](crate::SessionLayer::accept_bearer).
//!
//! ```no_run
//! use axum::{Router, routing::get};
//! use tower_sliding_sessions::{Session, Sessions, oauth::{Grant, GrantError, OAuth}};
//!
//! pub fn app(sessions: &Sessions) -> Router {
//!     let oauth = OAuth::new(sessions).grant("password", async |request| {
//!         let (name, password) = (request.username()?, request.password()?);
//!         // Check the password here.
//!         let right = !password.is_empty();
//!         right.then(|| Grant::new(name, ()).by(["pwd"])).ok_or(GrantError::InvalidGrant)
//!     });
//!     Router::new()
//!         .route("/me", get(|session: Session| async move { session.subject().to_owned() }))
//!         .route_layer(sessions.layer().accept_bearer())
//!         .nest("/oauth", oauth.router()) // /oauth/token and /oauth/revoke
//! }
//! ```
//!
//! # Scope
//!
//! This module serves the clients of your own application, in a way that OAuth libraries understand. The sessions are
//! the same as sessions with cookies: they are listed, revoked and limited in the same way, by the same
//! [protocol](crate::protocol). Lost responses, repeated requests and parallel requests do not sign a client out.
//! Refresh token reuse revokes the session.
//!
//! There is no authorization endpoint, no consent of a third party and no registration of clients. The parameter
//! `scope` is ignored: the claims say what a session may do. A grant can check the client's credentials itself
//! ([`GrantRequest::head`]). The grant `password` is for first-party clients only (RFC 9700, section 2.4). Prefer a
//! grant that you define, such as a device code or a passkey. In your own handler,
//! [`Sessions::issue_tokens`](crate::Sessions::issue_tokens) returns tokens.
//!
//! Serve these endpoints over HTTPS only. With `insecure_plain_http`, requests for hosts other than localhost are
//! refused. The endpoints do not count attempts, so add a rate limit.

mod body;
mod error;
mod form;
mod grant;
mod introspect;
mod tokens;

pub use self::{
    grant::{Grant, GrantError, GrantRequest},
    tokens::TokenResponse,
};

use std::{collections::HashMap, fmt, sync::Arc};

use axum::{
    Router,
    extract::Request,
    response::{IntoResponse, Response},
    routing::post,
};
use http::{StatusCode, request::Parts};

use self::{error::Refused, form::Form, grant::Hook};
use crate::{RequestHead, claims::Claims, cross_site, engine::EngineHandle, sessions::Sessions};

type MayAsk = dyn Fn(&RequestHead<'_>) -> bool + Send + Sync;

/// Builds the router of the endpoints for clients without cookies: see the [module](self).
///
/// All endpoints take `POST` with a form of at most 16 KB, and respond with JSON that is not cached. During an outage
/// of the store, the response is 503 with `Retry-After` and the error `temporarily_unavailable`. The same token works
/// after the outage.
#[must_use = "call `router`"]
pub struct OAuth<C = ()> {
    engine: EngineHandle<C>,
    grants: HashMap<String, Hook<C>>,
    may_introspect: Option<Box<MayAsk>>,
}

impl<C: Claims> OAuth<C> {
    /// Endpoints for these sessions. Without a [grant](Self::grant), the endpoints only renew and revoke sessions.
    pub fn new(sessions: &Sessions<C>) -> Self {
        Self { engine: sessions.engine.clone(), grants: HashMap::new(), may_introspect: None }
    }

    /// Adds a grant: `hook` decides about requests with this `grant_type`. Use `password`, or an absolute URI for a
    /// grant that you define (RFC 6749, section 4.5). Default: none. The grant `refresh_token` is built in.
    ///
    /// The hook can be an async closure. The hook must own its data, for example in an [`Arc`].
    pub fn grant<F>(
        mut self,
        grant_type: impl Into<String>,
        hook: impl Fn(GrantRequest) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Grant<C>, GrantError>> + Send + 'static,
    {
        self.grants.insert(grant_type.into(), Box::new(move |request| Box::pin(hook(request))));
        self
    }

    /// Adds the introspection endpoint. `may_ask` decides which services may use the endpoint: compare a secret in the
    /// headers, or check the certificate of the connection. Other callers get 401, because a response contains personal
    /// data (RFC 7662, section 4). Default: there is no such endpoint.
    ///
    /// For an access token, `ext` contains the current claims of the session, not the claims of the token.
    /// Introspection does not count as use of the session.
    pub fn introspection(
        mut self,
        may_ask: impl Fn(&RequestHead<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.may_introspect = Some(Box::new(may_ask));
        self
    }

    /// The router: `/token`, `/revoke` and, with [`introspection`](Self::introspection), `/introspect`. Merge the
    /// router, or nest it under another path. Do not put it inside a session layer.
    pub fn router<S>(self) -> Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        let introspects = self.may_introspect.is_some();
        let oauth = Arc::new(self);
        let at = |endpoint: Endpoint| {
            let oauth = oauth.clone();
            post(async move |request: Request| oauth.clone().serve(endpoint, request).await)
                .fallback(async || Refused::NOT_POST)
        };
        let router =
            Router::new().route("/token", at(Endpoint::Token)).route("/revoke", at(Endpoint::Revoke));
        if introspects { router.route("/introspect", at(Endpoint::Introspect)) } else { router }
    }

    async fn serve(self: Arc<Self>, endpoint: Endpoint, request: Request) -> Response {
        let answer = match endpoint {
            Endpoint::Token => self.token(request).await,
            Endpoint::Revoke => self.revoke(request).await,
            Endpoint::Introspect => self.introspect(request).await,
        };
        answer.unwrap_or_else(Refused::into_response)
    }

    /// The token endpoint (RFC 6749, sections 4.3, 5 and 6).
    async fn token(&self, request: Request) -> Result<Response, Refused> {
        let arrived = self.engine.revocation.read_clock();
        let (parts, form) = self.read(request).await?;
        match form.require("grant_type")? {
            "refresh_token" => {
                let token = form.require("refresh_token")?;
                let origin = self.engine.origin_to_compare(&RequestHead::of_parts(&parts));
                let issued = self.engine.exchange_refresh_token(token.as_bytes(), arrived, origin).await?;
                Ok(TokenResponse::new(issued).into_response())
            }
            other => {
                let hook = self.grants.get(other).ok_or(Refused::UNSUPPORTED_GRANT_TYPE)?;
                let origin = self.engine.origin_of(&RequestHead::of_parts(&parts));
                let grant = hook(GrantRequest::new(parts, form)).await?.or_from(origin);
                Ok(TokenResponse::open(&self.engine, grant).await?.into_response())
            }
        }
    }

    /// The revocation endpoint (RFC 7009). The response is the same for a valid token, an invalid token, and the token
    /// of a revoked or expired session.
    async fn revoke(&self, request: Request) -> Result<Response, Refused> {
        let (_, form) = self.read(request).await?;
        self.engine.revoke_token(form.require("token")?.as_bytes()).await?;
        Ok(body::json(StatusCode::OK, &serde_json::Map::new()))
    }

    async fn read(&self, request: Request) -> Result<(Parts, Form), Refused> {
        let (parts, body) = request.into_parts();
        self.is_private(&parts)?;
        let form = Form::read(&parts.headers, body).await?;
        Ok((parts, form))
    }

    /// With `insecure_plain_http`, refuses requests for hosts other than localhost, because unencrypted tokens must
    /// stay on this machine.
    fn is_private(&self, parts: &Parts) -> Result<(), Refused> {
        match self.engine.config.loopback_only && !cross_site::is_for_loopback(&parts.uri, &parts.headers) {
            true => Err(Refused::NOT_LOOPBACK),
            false => Ok(()),
        }
    }
}

#[derive(Clone, Copy)]
enum Endpoint {
    Token,
    Revoke,
    Introspect,
}

impl<C> fmt::Debug for OAuth<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuth")
            .field("engine", &self.engine)
            .field("grants", &self.grants.keys())
            .field("introspection", &self.may_introspect.is_some())
            .finish()
    }
}
