//! Sign-out: here first, and then at the provider (OpenID Connect RP-Initiated Logout 1.0).

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header, request::Parts};

use super::{
    Inner, Problem,
    attempt::{Attempts, Kind},
    problem::{finish, redirect},
    provider_session::ProviderSession,
    sign_in::{add_cookies, parameters},
    verify::Failure,
};
use crate::{
    claims::Claims,
    event::EventKind,
    middleware::Rejection,
    rejection::RejectionKind,
    request::RequestHead,
    session::{SetCookies, SignOutError, Visitor},
};

/// `POST /sign-out`: revokes the session, and sends the browser to the provider. A script gets the address as JSON.
pub(super) async fn sign_out<C: Claims>(State(oidc): State<Arc<Inner<C>>>, parts: Parts) -> Response {
    let head = RequestHead::of_parts(&parts);
    let engine = &oidc.sessions.engine;
    let visitor = match Visitor::new((**engine).clone(), &head) {
        Ok(visitor) => visitor,
        Err(RejectionKind::CrossSite) => return oidc.page(Problem::CrossSite, "/", &head),
        Err(kind) => return Rejection::from(kind).into_response(),
    };
    match oidc.end(&visitor, &head).await {
        Ok((cookies, others, to)) => {
            let mut response = if is_script(&head) { as_json(&to) } else { redirect(&to) };
            cookies.apply(response.headers_mut());
            add_cookies(response.headers_mut(), others);
            response
        }
        Err(failure) => oidc.failed(failure, "/", &head),
    }
}

/// `GET /signed-out`: the provider sends the browser back.
pub(super) async fn signed_out<C: Claims>(State(oidc): State<Arc<Inner<C>>>, parts: Parts) -> Response {
    let engine = &oidc.sessions.engine;
    let query = parameters(&parts.uri).unwrap_or_default();
    let taken = query.get("state").and_then(|state| {
        let codec = engine.tokens.codec();
        oidc.attempts.take(codec.keys(), Kind::SignOut, state, &parts.headers, engine.now())
    });
    match taken {
        // A missing attempt does no harm, because the session here is already revoked.
        None => redirect(&oidc.settings.signed_out),
        Some((attempt, removal)) => {
            let mut response = redirect(&attempt.next);
            response.headers_mut().append(header::SET_COOKIE, removal);
            response
        }
    }
}

impl<C: Claims> Inner<C> {
    /// Revokes the sessions of a request. Returns the cookies of the response, and the address to which the browser
    /// goes.
    async fn end(
        &self,
        visitor: &Visitor<C>,
        head: &RequestHead<'_>,
    ) -> Result<(SetCookies, Vec<HeaderValue>, String), Failure> {
        let engine = &self.sessions.engine;
        let issuer = &**self.provider.registration.issuer;
        let unavailable =
            |error: String| Failure { problem: Problem::Unavailable, why: "sign_out", cause: Some(error) };
        // A revoked record has no provider data any more, so the record is read first.
        let mut attached = None;
        for key in visitor.named() {
            let read = engine.backend.get(key).await.map_err(|error| unavailable(error.to_string()))?;
            attached =
                attached.or(read.record.as_ref().and_then(|record| ProviderSession::of(record, issuer)));
        }
        let cookies = visitor.sign_out().await.map_err(|error| match error {
            SignOutError::Store(error) => unavailable(error.to_string()),
            SignOutError::TooManyCookies => Failure::new(Problem::Internal, "sign_out"),
        })?;
        let here = || self.settings.signed_out.clone();
        let Some(attached) = attached else { return Ok((cookies, Vec::new(), here())) };
        // The session here is already revoked, even if the provider is unavailable.
        let end = match self.provider.get().await {
            Ok(provider) => provider.end_session.clone(),
            Err(error) => {
                engine.config.events.failed(EventKind::OidcFailed { why: error.word() }, &error);
                None
            }
        };
        let Some(end) = end else { return Ok((cookies, Vec::new(), here())) };
        let codec = engine.tokens.codec();
        let now = engine.now();
        let attempt = Attempts::begin(Kind::SignOut, &self.settings.signed_out, false, now);
        let sealed = attempt.ok().and_then(|attempt| {
            let lines = self.attempts.cookies(codec.keys(), &attempt, head.headers, now)?;
            Some((attempt.state, lines))
        });
        let Some((state, lines)) = sealed else { return Ok((cookies, Vec::new(), here())) };
        let mut query = form_urlencoded::Serializer::new(String::new());
        if let Some(id_token) = attached.id_token(codec.keys()) {
            query.append_pair("id_token_hint", &id_token);
        }
        query.append_pair("client_id", &self.provider.registration.client_id);
        query.append_pair("post_logout_redirect_uri", &format!("{}/signed-out", self.address));
        query.append_pair("state", &state);
        let separator = if end.contains('?') { '&' } else { '?' };
        Ok((cookies, lines, format!("{end}{separator}{}", query.finish())))
    }
}

/// Whether a script sent the request with `fetch`. A script cannot follow a redirect to the provider.
fn is_script(head: &RequestHead<'_>) -> bool {
    head.headers.get("sec-fetch-mode").is_some_and(|mode| mode != "navigate")
}

fn as_json(to: &str) -> Response {
    let mut response = Response::new(Body::from(serde_json::json!({ "location": to }).to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    finish(&mut response);
    response
}
