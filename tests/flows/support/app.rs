//! The application: one handler for each thing that an application does with a session.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Extension, Json, Router,
    body::{Body, Bytes},
    extract::{Path, Query},
    http::StatusCode,
    response::{AppendHeaders, IntoResponse, Redirect, Response},
    routing::{any, get, post},
};
use serde::{Deserialize, Serialize};
use tower_sliding_sessions::{Rejection, Session, Sessions, SetCookies, Visitor};

use super::{Gate, people};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Profile {
    pub(crate) role: String,
}

/// The response headers that describe the session.
pub(super) type Answers = AppendHeaders<Vec<(&'static str, String)>>;

pub(crate) fn router(sessions: &Sessions<Profile>, gate: &Gate) -> Router {
    let signed_in = Router::new()
        .route("/me", any(me))
        .route("/slow", any(slow))
        .route("/logout", post(logout))
        .route("/switch", post(switch))
        .route("/slow-switch", post(slow_switch))
        .route("/status/{code}", get(status))
        .route("/redirect", get(|| async { Redirect::to("/me") }))
        .route("/public-page", get(public_page))
        .route("/theme", get(theme))
        .route("/own-access", get(own_access))
        .route("/stream", get(|| async { Body::new(Endless) }))
        .route("/panic", get(panics))
        .route_layer(sessions.layer());
    let optional = Router::new().route("/optional", any(optional)).route_layer(sessions.layer().optional());
    Router::new()
        .route("/login", any(login))
        .route("/leave", post(leave))
        .merge(signed_in)
        .merge(optional)
        .merge(people::router(sessions))
        .layer(Extension(gate.clone()))
        .with_state(sessions.clone())
}

#[derive(Deserialize)]
struct Login {
    name: String,
    #[serde(default)]
    role: String,
    #[serde(default)]
    remember: bool,
    /// The authentication methods, separated by commas.
    by: Option<String>,
    /// This session's own timeouts, in seconds.
    idle: Option<u64>,
    absolute: Option<u64>,
}

async fn sign_in(visitor: &Visitor<Profile>, login: Login) -> Result<Response, Rejection> {
    let mut signing_in =
        visitor.sign_in(login.name, Profile { role: login.role }).remember_me(login.remember);
    if let Some(by) = login.by {
        signing_in = signing_in.by(by.split(','));
    }
    if let Some(idle) = login.idle {
        signing_in = signing_in.idle_timeout(Duration::from_secs(idle));
    }
    if let Some(absolute) = login.absolute {
        signing_in = signing_in.absolute_timeout(Duration::from_secs(absolute));
    }
    Ok(signing_in.await?.into_response())
}

async fn login(visitor: Visitor<Profile>, Query(login): Query<Login>) -> Result<Response, Rejection> {
    sign_in(&visitor, login).await
}

async fn switch(
    _: Session<Profile>,
    visitor: Visitor<Profile>,
    Query(login): Query<Login>,
) -> Result<Response, Rejection> {
    sign_in(&visitor, login).await
}

async fn slow_switch(
    Extension(gate): Extension<Gate>,
    visitor: Visitor<Profile>,
    Query(login): Query<Login>,
) -> Result<Response, Rejection> {
    let response = sign_in(&visitor, login).await;
    gate.pass().await;
    response
}

async fn logout(session: Session<Profile>) -> Result<SetCookies, Rejection> {
    Ok(session.sign_out().await?)
}

async fn leave(visitor: Visitor<Profile>) -> Result<SetCookies, Rejection> {
    Ok(visitor.sign_out().await?)
}

pub(super) fn describe(session: &Session<Profile>) -> Answers {
    let mut headers = vec![
        ("x-sid", session.id().encode()),
        ("x-generation", session.generation().to_string()),
        ("x-auth-time", session.auth_time().as_secs().to_string()),
        ("x-auth-time-ms", session.auth_time().as_millis().to_string()),
        ("x-role", session.claims().role.clone()),
    ];
    headers.extend(session.renewed().map(|how| ("x-renewed", format!("{how:?}"))));
    AppendHeaders(headers)
}

pub(super) async fn me(session: Session<Profile>) -> (Answers, String) {
    (describe(&session), session.subject().to_owned())
}

async fn slow(Extension(gate): Extension<Gate>, session: Session<Profile>) -> (Answers, String) {
    gate.pass().await;
    (describe(&session), session.subject().to_owned())
}

async fn optional(session: Option<Session<Profile>>) -> Json<Option<String>> {
    Json(session.map(|session| session.subject().to_owned()))
}

async fn status(session: Session<Profile>, Path(code): Path<u16>) -> (StatusCode, Answers) {
    (StatusCode::from_u16(code).unwrap(), describe(&session))
}

async fn public_page() -> impl IntoResponse {
    let headers = [("cache-control", "public, s-maxage=600"), ("vary", "accept-encoding")];
    (headers, "a public page")
}

async fn theme() -> impl IntoResponse {
    ([("set-cookie", "theme=dark; Path=/")], "dark")
}

async fn own_access() -> impl IntoResponse {
    ([("set-cookie", "__Host-access=mine; Path=/; Secure")], "mine")
}

async fn panics(session: Session<Profile>) -> Answers {
    assert_eq!(session.subject(), "no user", "the handler panics");
    describe(&session)
}

/// A stream that never ends.
struct Endless;

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        Poll::Pending
    }
}
