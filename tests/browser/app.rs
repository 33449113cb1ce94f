//! The application: one route for each kind of request that a browser sends.

use axum::{
    Form, Json, Router,
    extract::{Query, WebSocketUpgrade},
    http::header,
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tower_sliding_sessions::{RedirectToLogin, Rejection, Session, Sessions, Visitor, safe_next};

/// An image of one pixel.
const DOT: &[u8] = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";

const WORKER: &str = "self.onactivate = event => event.waitUntil(self.clients.claim());
self.onfetch = event => event.respondWith(fetch(event.request));";

type Alice = Session<String>;

pub(crate) fn router(sessions: &Sessions<String>) -> Router {
    let signed_in = Router::new()
        .route("/account", get(account))
        .route("/me", get(me))
        .route("/post", post(account))
        .route("/stream", get(stream))
        .route("/ws", get(ws))
        .route("/bounce", get(|| async { Redirect::to("/blank") }))
        .route("/dot", get(|| async { ([(header::CONTENT_TYPE, "image/gif")], DOT) }))
        .route("/kept", get(kept))
        .route("/secret", get(secret))
        .route("/worker.js", get(|| async { ([(header::CONTENT_TYPE, "text/javascript")], WORKER) }))
        .route_layer(sessions.layer());
    let optional = Router::new().route("/home", get(home)).route_layer(sessions.layer().optional());
    let members = Router::new()
        .route("/area", get(account).post(account))
        .route_layer(sessions.layer().with_reject(RedirectToLogin::new("/login")));
    let vault = Router::new().route("/vault", get(account)).route_layer(sessions.layer().no_store());
    Router::new()
        .merge(vault)
        .route("/blank", get(|| async { page("blank", "") }))
        .route("/planting", get(planting))
        .route("/login", get(form).post(login))
        .route("/logout", post(logout))
        .merge(signed_in)
        .merge(optional)
        .nest("/members", members)
        .with_state(sessions.clone())
}

fn page(title: &str, body: &str) -> Html<String> {
    let icon = "<link rel=icon href=data:,>";
    Html(format!("<!doctype html><title>{title}</title>{icon}<h1>{title}</h1>{body}"))
}

fn description(session: &Alice) -> String {
    let how = if session.renewed().is_some() { "renewed" } else { "fresh" };
    format!("{} {how}", session.subject())
}

async fn account(session: Alice) -> Html<String> {
    page(
        &description(&session),
        "<a href=/account>again</a><form method=post action=/logout><button id=out>out</button></form>
         <form method=post action=/logout?clear=true><button id=clear>out, and clear</button></form>
         <form method=post action=/post><button id=post>post</button></form>",
    )
}

/// A page with `no-store`.
async fn secret(session: Alice) -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "no-store")], account(session).await)
}

/// A page with an optional session.
async fn home(session: Option<Alice>) -> Html<String> {
    page(&session.as_ref().map_or("anonymous".to_owned(), description), "<a href=/home>again</a>")
}

async fn me(session: Alice) -> Json<Value> {
    let renewed = session.renewed().is_some();
    Json(json!({"sub": session.subject(), "renewed": renewed, "generation": session.generation()}))
}

/// A page that the browser may cache.
async fn kept(session: Alice) -> impl IntoResponse {
    let secret = format!("the secret of {}", session.subject());
    ([(header::CACHE_CONTROL, "private, max-age=3600")], page(&secret, ""))
}

async fn stream(session: Alice) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/event-stream")], format!("data: {}\n\n", description(&session)))
}

async fn ws(session: Alice, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async move |mut socket| {
        // The client may have disconnected.
        let _gone = socket.send(description(&session).into()).await;
    })
}

#[derive(Deserialize)]
struct Next {
    #[serde(default)]
    next: String,
}

async fn form(Query(Next { next }): Query<Next>) -> Html<String> {
    let next = next.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
    let form = |id: &str, more: &str| {
        format!(
            "<form method=post><input type=hidden name=next value=\"{next}\">{more}<button id={id}>{id}</button></form>"
        )
    };
    let remembered = form("remembered", "<input type=hidden name=remember value=true>");
    let huge = form("huge", "<input type=hidden name=size value=4000>");
    page("sign in", &(form("plain", "") + &remembered + &huge))
}

#[derive(Deserialize)]
struct Login {
    #[serde(default)]
    next: String,
    #[serde(default)]
    remember: bool,
    /// Of the claims, in bytes.
    #[serde(default)]
    size: usize,
}

async fn login(visitor: Visitor<String>, Form(login): Form<Login>) -> Result<impl IntoResponse, Rejection> {
    let cookies = visitor.sign_in("alice", "x".repeat(login.size)).remember_me(login.remember).await?;
    Ok((cookies, Redirect::to(safe_next(&login.next).unwrap_or("/account"))))
}

#[derive(Deserialize)]
struct Logout {
    #[serde(default)]
    clear: bool,
}

async fn logout(
    visitor: Visitor<String>,
    Query(Logout { clear }): Query<Logout>,
) -> Result<impl IntoResponse, Rejection> {
    let cookies = visitor.sign_out().await?;
    Ok((if clear { cookies.clear_cache() } else { cookies }, Redirect::to("/blank")))
}

#[derive(Deserialize)]
struct Cookie {
    line: String,
}

/// Sets any cookie, as another application on the same host can.
async fn planting(Query(Cookie { line }): Query<Cookie>) -> impl IntoResponse {
    let bytes: Vec<u8> = line.chars().filter_map(|c| u8::try_from(u32::from(c)).ok()).collect();
    let value = header::HeaderValue::from_bytes(&bytes).expect("a header value");
    ([(header::SET_COOKIE, value)], page("planted", ""))
}
