//! The application: every kind of handler that a session can meet.

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

/// What is said of a session in the headers of a response.
pub(super) type Answers = AppendHeaders<Vec<(&'static str, String)>>;

pub(crate) fn router(sessions: &Sessions<Profile>, door: &Gate) -> Router {
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
    let anybody = Router::new().route("/anybody", any(anybody)).route_layer(sessions.layer().optional());
    Router::new()
        .route("/login", any(login))
        .route("/leave", post(leave))
        .merge(signed_in)
        .merge(anybody)
        .merge(people::router(sessions))
        .layer(Extension(door.clone()))
        .with_state(sessions.clone())
}

#[derive(Deserialize)]
struct Login {
    name: String,
    #[serde(default)]
    role: String,
    #[serde(default)]
    remember: bool,
    /// By which methods, with commas between them.
    by: Option<String>,
    /// Timeouts of this session's own, in seconds.
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
    Extension(door): Extension<Gate>,
    visitor: Visitor<Profile>,
    Query(login): Query<Login>,
) -> Result<Response, Rejection> {
    let response = sign_in(&visitor, login).await;
    door.pass().await;
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

async fn slow(Extension(door): Extension<Gate>, session: Session<Profile>) -> (Answers, String) {
    door.pass().await;
    (describe(&session), session.subject().to_owned())
}

async fn anybody(session: Option<Session<Profile>>) -> Json<Option<String>> {
    Json(session.map(|session| session.subject().to_owned()))
}

async fn status(session: Session<Profile>, Path(code): Path<u16>) -> (StatusCode, Answers) {
    (StatusCode::from_u16(code).unwrap(), describe(&session))
}

async fn public_page() -> impl IntoResponse {
    let headers = [("cache-control", "public, s-maxage=600"), ("vary", "accept-encoding")];
    (headers, "a page for everybody")
}

async fn theme() -> impl IntoResponse {
    ([("set-cookie", "theme=dark; Path=/")], "dark")
}

async fn own_access() -> impl IntoResponse {
    ([("set-cookie", "__Host-access=mine; Path=/; Secure")], "mine")
}

async fn panics(session: Session<Profile>) -> Answers {
    assert_eq!(session.subject(), "nobody", "the handler panics");
    describe(&session)
}

/// A stream that goes on for as long as anybody listens.
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
