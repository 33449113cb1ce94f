//! Sign-in: the redirect to the provider, and the callback.

use std::{collections::HashMap, future::poll_fn, sync::Arc, task::Poll};

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Uri, header, request::Parts};
use openidconnect::{
    CsrfToken, Nonce, PkceCodeChallenge, PkceCodeVerifier, Scope,
    core::{CoreAuthPrompt, CoreAuthenticationFlow},
};

use super::{
    Identity, Inner, Problem, User,
    attempt::{Attempt, Attempts, Kind},
    problem::{escape, finish, html, redirect},
    provider::Provider,
    provider_session::{self, ProviderSession},
    verify::{Ends, Failure, Verified},
};
use crate::{
    claims::Claims,
    engine::SignInError,
    event::{EventKind, HookPanic, caught},
    middleware::{Rejection, safe_next},
    request::RequestHead,
    session::Visitor,
    time::Timestamp,
};

/// The maximum length of a callback's query, in bytes. The codes of some providers have 2 KB.
const LONGEST_QUERY: usize = 8 * 1024;

/// The parameters of a query. Returns `None` if a parameter comes twice, or if the query is too long.
pub(super) fn parameters(uri: &Uri) -> Option<HashMap<String, String>> {
    let query = uri.query().unwrap_or_default();
    if query.len() > LONGEST_QUERY {
        return None;
    }
    let mut found = HashMap::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if found.insert(name.into_owned(), value.into_owned()).is_some() {
            return None;
        }
    }
    Some(found)
}

/// `GET /sign-in?next=/path`: sends the browser to the provider. With the parameter `reauthenticate`, the user must
/// authenticate again.
pub(super) async fn start<C: Claims>(State(oidc): State<Arc<Inner<C>>>, parts: Parts) -> Response {
    let head = RequestHead::of_parts(&parts);
    let query = parameters(&parts.uri).unwrap_or_default();
    let next = query.get("next").and_then(|next| safe_next(next)).unwrap_or("/");
    match oidc.to_provider(&head, next, query.contains_key("reauthenticate")).await {
        Ok(response) => response,
        Err(failure) => oidc.failed(failure, next, &head),
    }
}

/// `GET /sign-in/callback`: the provider sends the browser back.
pub(super) async fn callback<C: Claims>(State(oidc): State<Arc<Inner<C>>>, parts: Parts) -> Response {
    let head = RequestHead::of_parts(&parts);
    let engine = &oidc.sessions.engine;
    let visitor = match Visitor::new((**engine).clone(), &head) {
        Ok(visitor) => visitor,
        Err(kind) => return Rejection::from(kind).into_response(),
    };
    let now = engine.now();
    let unknown = || oidc.failed(Failure::new(Problem::UnknownAttempt, "attempt"), "/", &head);
    let Some(mut query) = parameters(&parts.uri) else { return unknown() };
    let taken = query.get("state").and_then(|state| {
        oidc.attempts.take(engine.tokens.codec().keys(), Kind::SignIn, state, head.headers, now)
    });
    let Some((attempt, removal)) = taken else { return unknown() };
    let mut response = match oidc.finish(&visitor, &attempt, &mut query, now).await {
        Ok(response) => response,
        Err(Refusal::Failure(failure)) => oidc.failed(failure, &attempt.next, &head),
        Err(Refusal::TooOld) => match oidc.to_provider(&head, &attempt.next, true).await {
            Ok(response) => response,
            Err(failure) => oidc.failed(failure, &attempt.next, &head),
        },
        Err(Refusal::Response(mut response)) => {
            finish(&mut response);
            *response
        }
    };
    // The attempt is used only once, with any outcome.
    response.headers_mut().append(header::SET_COOKIE, removal);
    response
}

/// The cause of a failure. The text may come from the provider, so the event shortens it and removes control
/// characters.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Cause(String);

/// Why a callback signs no user in.
enum Refusal {
    Failure(Failure),
    /// The application's response.
    Response(Box<Response>),
    /// The user authenticated so long ago that `max_age` leaves no time for a session. So the user must authenticate
    /// again.
    TooOld,
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl<C: Claims> Inner<C> {
    /// Reports a failure, and returns the page about it.
    pub(super) fn failed(&self, failure: Failure, next: &str, head: &RequestHead<'_>) -> Response {
        let Failure { problem, why, cause } = failure;
        let events = &self.sessions.engine.config.events;
        let kind = EventKind::OidcFailed { why };
        match cause {
            None => events.note(kind),
            Some(cause) => events.failed(kind, &Cause(cause)),
        }
        self.page(problem, next, head)
    }

    async fn to_provider(
        &self,
        head: &RequestHead<'_>,
        next: &str,
        reauthenticates: bool,
    ) -> Result<Response, Failure> {
        let engine = &self.sessions.engine;
        if let Err(kind) = engine.check_loopback(head) {
            return Ok(Rejection::from(kind).into_response());
        }
        let provider = self.provider.get().await?;
        let now = engine.now();
        let internal = |_| Failure::new(Problem::Internal, "random");
        let attempt = Attempts::begin(Kind::SignIn, next, reauthenticates, now).map_err(internal)?;
        let codec = engine.tokens.codec();
        let cookies = self.attempts.cookies(codec.keys(), &attempt, head.headers, now);
        let cookies = cookies.ok_or_else(|| Failure::new(Problem::Internal, "seal"))?;
        let mut response = redirect(&self.authorization_url(&provider, &attempt));
        add_cookies(response.headers_mut(), cookies);
        Ok(response)
    }

    fn authorization_url(&self, provider: &Provider, attempt: &Attempt) -> String {
        let Attempt { state, nonce, verifier, reauthenticates, .. } = attempt;
        let (state, nonce) = (CsrfToken::new(state.clone()), Nonce::new(nonce.clone()));
        let challenge =
            PkceCodeChallenge::from_code_verifier_sha256(&PkceCodeVerifier::new(verifier.clone()));
        let mut request = provider
            .client
            .authorize_url(CoreAuthenticationFlow::AuthorizationCode, move || state, move || nonce)
            .set_pkce_challenge(challenge)
            .add_scopes(self.settings.scopes.iter().cloned().map(Scope::new));
        for (name, value) in &self.settings.parameters {
            request = request.add_extra_param(name.clone(), value.clone());
        }
        if *reauthenticates {
            // Some providers know only `prompt`, and other providers know only `max_age=0`. So the request has both.
            request = request.add_prompt(CoreAuthPrompt::Login).set_max_age(std::time::Duration::ZERO);
        } else if let Some(age) = self.settings.max_age {
            request = request.set_max_age(age);
        }
        if provider.takes_claims {
            request = request.add_extra_param("claims", r#"{"id_token":{"auth_time":{"essential":true}}}"#);
        }
        request.url().0.to_string()
    }

    /// Verifies the provider's response, asks the application, and signs the user in.
    async fn finish(
        &self,
        visitor: &Visitor<C>,
        attempt: &Attempt,
        query: &mut HashMap<String, String>,
        now: Timestamp,
    ) -> Result<Response, Refusal> {
        let provider = self.provider.get().await.map_err(Failure::from)?;
        let issuer = &**self.provider.registration.issuer;
        // Refuse the responses of another provider (RFC 9207).
        match query.get("iss") {
            Some(named) if named != issuer => {
                return Err(Failure::invalid("issuer", "iss is another provider").into());
            }
            None if provider.sends_issuer => return Err(Failure::invalid("issuer", "iss is missing").into()),
            _ => {}
        }
        if let Some(error) = query.remove("error") {
            let problem = match &*error {
                "access_denied" | "login_required" | "consent_required" | "interaction_required" => {
                    Problem::AccessDenied
                }
                "temporarily_unavailable" | "server_error" => Problem::ProviderUnavailable,
                _ => Problem::InvalidResponse,
            };
            let cause = [Some(error), query.remove("error_description")].into_iter().flatten();
            let cause = Some(cause.collect::<Vec<_>>().join(": "));
            return Err(Failure { problem, why: "provider", cause }.into());
        }
        let Some(code) = query.remove("code") else {
            return Err(Failure::invalid("code", "the answer has no code").into());
        };
        let verified = self.exchange(&provider, attempt, code, now).await?;
        self.open_session(visitor, attempt, verified).await
    }

    async fn open_session(
        &self,
        visitor: &Visitor<C>,
        attempt: &Attempt,
        verified: Verified,
    ) -> Result<Response, Refusal> {
        let Verified { identity, id_token, issued, ends } = verified;
        let engine = &self.sessions.engine;
        self.check_time_left(attempt, ends, engine.now())?;
        let (methods, auth_time) = (identity.methods.clone(), identity.auth_time);
        let at_provider = ProviderSession::new(
            engine.tokens.codec().keys(),
            identity.issuer.clone(),
            identity.subject.clone(),
            identity.session.clone(),
            &id_token,
        );
        let answer = self.ask_application(identity).await?;
        let User { subject, claims, remember_me } = answer.map_err(|response| {
            let kind = EventKind::OidcFailed { why: "application" };
            engine.config.events.note(kind);
            Refusal::Response(Box::new(response))
        })?;
        // The application's hook may have taken a long time.
        let now = engine.now();
        self.check_time_left(attempt, ends, now)?;
        let longest = engine.config.policy.timing().absolute_timeout;
        let ends = ends.first();
        let ceiling = ends.map(|ends| ends.since(now)).filter(|ceiling| *ceiling < longest);
        let signed_in = visitor
            .sign_in(&subject, claims)
            .by(methods)
            .remember_me(remember_me)
            .with(|options| {
                options.absolute_timeout = ceiling;
                // If the time of the authentication is unknown, the authentication may be old.
                options.authenticated_at = Some(auth_time.unwrap_or(Timestamp::EPOCH));
                options.attached.set(provider_session::NAME, Some(&at_provider.to_bytes()));
            })
            .await;
        let cookies = signed_in.map_err(|error| {
            let problem = match error {
                SignInError::Store(_) => Problem::Unavailable,
                SignInError::TooManySessions | SignInError::Refused => Problem::Refused,
                SignInError::Timeouts(_) => Problem::InvalidResponse,
                _ => Problem::Internal,
            };
            Failure { problem, why: "sign_in", cause: Some(error.to_string()) }
        })?;
        // INVARIANT: the cookies of a sign-in name its session.
        let Some(session) = cookies.session_id() else {
            return Err(Failure::new(Problem::Internal, "sign_in").into());
        };
        let key = engine.key(subject, session);
        let ends = engine.now() + ceiling.unwrap_or(longest);
        if let Err(failure) = self.add_to_index(&at_provider, &key, issued, ends).await {
            // The provider could not sign this session out by the index, or a logout came first. So the session is
            // revoked. If the revocation also fails, no browser has the cookies of the session.
            let _reported = engine.revocation.revoke_by_token(&key).await;
            return Err(failure.into());
        }
        let mut response = self.redirect_after_sign_in(&attempt.next);
        cookies.apply(response.headers_mut());
        Ok(response)
    }

    /// Checks that the time until the session must end is not shorter than the policy's minimum.
    fn check_time_left(&self, attempt: &Attempt, ends: Ends, now: Timestamp) -> Result<(), Refusal> {
        let policy = &self.sessions.engine.config.policy;
        let longest = policy.timing().absolute_timeout;
        let is_too_soon = |end: Option<Timestamp>| {
            end.is_some_and(|end| policy.session_timeouts(None, Some(end.since(now).min(longest))).is_err())
        };
        if is_too_soon(ends.by_provider) {
            let cause = Some("session_expiry is too soon for a session".to_owned());
            return Err(Failure { problem: Problem::AccessDenied, why: "auth_time", cause }.into());
        }
        match is_too_soon(ends.by_age) {
            false => Ok(()),
            // Only once. If the provider ignores `max_age`, the redirects would never stop.
            true if !attempt.reauthenticates => Err(Refusal::TooOld),
            true => Err(Failure::invalid("auth_time", "max_age leaves no time for a session").into()),
        }
    }

    /// Calls the application's hook. A panic of the hook fails only this sign-in.
    async fn ask_application(&self, identity: Identity) -> Result<Result<User<C>, Response>, Failure> {
        let panicked = |panic: HookPanic| {
            let events = &self.sessions.engine.config.events;
            events.failed(EventKind::HookPanicked { hook: "oidc" }, &panic);
            Failure::new(Problem::Internal, "application")
        };
        let mut answer = caught(|| (self.sign_in)(identity)).map_err(panicked)?;
        poll_fn(|cx| match caught(|| answer.as_mut().poll(cx)) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panicked(panic))),
        })
        .await
    }

    /// Redirects to the page after the sign-in.
    fn redirect_after_sign_in(&self, next: &str) -> Response {
        if self.sessions.engine.config.cookies.same_site != cookie::SameSite::Strict {
            return redirect(next);
        }
        // The provider's site began this navigation, so after a redirect the browser would not send `SameSite=Strict`
        // cookies. This page begins a new navigation.
        let next = escape(next);
        let link = format!(
            "<meta http-equiv=refresh content=\"0;url={next}\"><p><a href=\"{next}\">Continue</a></p>"
        );
        html("You are signed in", &link)
    }
}

/// Adds `Set-Cookie` headers.
pub(super) fn add_cookies(headers: &mut HeaderMap, lines: Vec<HeaderValue>) {
    for line in lines {
        headers.append(header::SET_COOKIE, line);
    }
}
