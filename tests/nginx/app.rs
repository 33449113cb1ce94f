//! The application: uploads, cached pages, and slow requests.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::Query,
    http::{HeaderMap, header},
    response::{IntoResponse, Redirect},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};
use tower_sliding_sessions::{Rejection, Session, Sessions, Visitor};

type User = Session<String>;

/// How the test observes and delays handlers.
#[derive(Clone)]
pub(crate) struct Probe {
    /// The number of requests that have reached a counting handler.
    pub(crate) arrived: Arc<watch::Sender<usize>>,
    /// Each permit lets one request for `/slow` continue.
    pub(crate) open: Arc<Semaphore>,
}

const PUBLIC: [(header::HeaderName, &str); 1] = [(header::CACHE_CONTROL, "public, s-maxage=600")];

pub(crate) fn router(sessions: &Sessions<String>, probe: Probe) -> Router {
    let uploads = probe.clone();
    let upload = async move |session: User, body: axum::body::Body| {
        uploads.arrived.send_modify(|count| *count += 1);
        let body = axum::body::to_bytes(body, usize::MAX).await.expect("a whole body");
        Json(json!({"sub": session.subject(), "bytes": body.len()}))
    };
    let slow = async move |session: User| {
        probe.arrived.send_modify(|count| *count += 1);
        probe.open.acquire().await.expect("a probe").forget();
        me(session).await
    };
    let signed_in = Router::new()
        .route("/me", get(me).post(me))
        .route("/upload", post(upload))
        .route("/slow", get(slow))
        .route(
            "/verbose",
            get(async |session: User| ([("x-policy", "x".repeat(1024))], page(Some(&session)))),
        )
        .route("/silent", get(async |session: User| page(Some(&session))))
        .route("/public", get(async |session: User| (PUBLIC, page(Some(&session)))))
        .route_layer(sessions.layer());
    let optional = Router::new()
        .route("/home", get(async |session: Option<User>| (PUBLIC, page(session.as_ref()))))
        .route_layer(sessions.layer().optional());
    Router::new()
        .merge(signed_in)
        .merge(optional)
        .route("/about", get(async || (PUBLIC, page(None))))
        .route("/login", post(login))
        .route("/callback", get(callback))
        .with_state(sessions.clone())
}

async fn me(session: User) -> Json<Value> {
    let how = session.renewed().map(|how| format!("{how:?}"));
    Json(json!({"sub": session.subject(), "renewed": how.is_some(), "how": how}))
}

fn page(session: Option<&User>) -> String {
    format!("the page of {}", session.map_or("anonymous", |session| session.subject()))
}

#[derive(Deserialize)]
struct Login {
    name: String,
    /// Of the claims, in bytes.
    #[serde(default)]
    size: usize,
}

async fn login(visitor: Visitor<String>, Json(login): Json<Login>) -> Result<impl IntoResponse, Rejection> {
    Ok(visitor.sign_in(login.name, "x".repeat(login.size)).await?)
}

#[derive(Deserialize)]
struct Code {
    code: String,
}

/// The return from an identity provider, whose sign-ins are `GET` requests.
async fn callback(
    visitor: Visitor<String>,
    headers: HeaderMap,
    Query(Code { code }): Query<Code>,
) -> Result<impl IntoResponse, Rejection> {
    // The code is the same for all users, which is the worst case for a cache.
    assert_eq!(code, "x");
    let name = headers.get("x-name").and_then(|name| name.to_str().ok()).expect("a name");
    let cookies = visitor.sign_in(name, String::new()).await?;
    // nginx obeys this before `Cache-Control`.
    let accelerated = [(header::HeaderName::from_static("x-accel-expires"), "600")];
    Ok((accelerated, PUBLIC, cookies, Redirect::to("/me")))
}
