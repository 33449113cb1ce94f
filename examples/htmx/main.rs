//! htmx requests parts of a page. How does it get to the sign-in page when the session has ended?
//!
//! A redirect does not work: `fetch` follows it, and htmx shows the sign-in page in place of the part. So
//! the response to a part is a 401 with `HX-Redirect`, which makes htmx open another page. The response
//! to a page is a redirect. As long as the session lasts there is nothing to do: parts renew it like any
//! other request.
//!
//! ```sh
//! cargo run --example htmx
//! ```
//!
//! htmx 4.0.1 and its licence (0BSD) are in this folder. The code is the same for htmx 2.

use std::{
    collections::HashMap,
    error::Error,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Form, Router,
    extract::{FromRef, Query, State},
    http::{HeaderValue, StatusCode, Uri, header},
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use serde::Deserialize;
use tower_sliding_sessions::{
    BuildError, Keyring, RedirectToLogin, Reject as _, Rejection, RequestHead, Session, Sessions,
    SessionsBuilder, Visitor, safe_next,
};

const HTMX: &str = include_str!("htmx.min.js");

const HEAD: &str = "<!doctype html><html lang=en><meta charset=utf-8>
    <meta name=viewport content='width=device-width,initial-scale=1'>
    <title>Shop</title><link rel=icon href='data:,'>";

/// The carts of all users: a database, in a real application.
type Carts = Arc<Mutex<HashMap<String, u32>>>;

#[derive(Clone, FromRef)]
struct App {
    sessions: Sessions,
    carts: Carts,
}

/// The layer's response to a request without a session.
fn to_sign_in(rejection: Rejection, request: &RequestHead<'_>) -> Response {
    let mut response = RedirectToLogin::new("/sign-in").reject(rejection, request).into_response();
    if response.status() == StatusCode::UNAUTHORIZED && request.headers.contains_key("hx-request") {
        // The return path is the page that contains the part.
        let page = request.headers.get("hx-current-url").and_then(|url| Uri::try_from(url.as_bytes()).ok());
        let next = page.as_ref().and_then(Uri::path_and_query).map_or("/", |target| target.as_str());
        let next: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
        if let Ok(location) = HeaderValue::try_from(format!("/sign-in?next={next}")) {
            response.headers_mut().insert("hx-redirect", location);
        }
    }
    response
}

async fn shop(session: Session, State(carts): State<Carts>) -> Html<String> {
    let carts = carts.lock().unwrap_or_else(PoisonError::into_inner);
    let count = carts.get(session.subject()).copied().unwrap_or_default();
    Html(format!(
        "{HEAD}<script src=/htmx.min.js></script><h1>Apples</h1>
         <button id=more hx-post=/cart hx-target='#cart'>One more</button> <span id=cart>{count} apples</span>
         <form method=post action=/sign-out><button id=out>Sign out</button></form>"
    ))
}

/// A part of the page.
async fn add(session: Session, State(carts): State<Carts>) -> Html<String> {
    let mut carts = carts.lock().unwrap_or_else(PoisonError::into_inner);
    let count = carts.entry(session.subject().to_owned()).or_default();
    *count = count.saturating_add(1);
    Html(format!("{count} apples"))
}

async fn home() -> Html<String> {
    Html(format!("{HEAD}<h1>Welcome</h1><a href='/shop?sort=price&page=2'>The shop</a>"))
}

/// The form is submitted to the URL of the page, so `next` is sent with it.
async fn sign_in_page() -> Html<String> {
    Html(format!(
        "{HEAD}<h1>Sign in</h1><form method=post>
         <label>Name <input name=name required autofocus></label><button>Sign in</button></form>"
    ))
}

#[derive(Deserialize)]
struct Next {
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
struct Person {
    name: String,
}

async fn sign_in(
    visitor: Visitor,
    Query(Next { next }): Query<Next>,
    Form(person): Form<Person>,
) -> Result<impl IntoResponse, Rejection> {
    // Check a password here.
    let cookies = visitor.sign_in(person.name, ()).await?;
    Ok((cookies, Redirect::to(safe_next(&next).unwrap_or("/"))))
}

async fn sign_out(visitor: Visitor) -> Result<impl IntoResponse, Rejection> {
    Ok((visitor.sign_out().await?, Redirect::to("/")))
}

pub(crate) fn app(builder: SessionsBuilder<()>) -> Result<Router, BuildError> {
    let sessions = builder.build()?;
    let script = [(header::CONTENT_TYPE, "text/javascript")];
    Ok(Router::new()
        .route("/shop", get(shop))
        .route("/cart", post(add))
        .route_layer(sessions.layer().with_rejection(to_sign_in))
        .route("/", get(home))
        .route("/htmx.min.js", get(move || async move { (script, HTMX) }))
        .route("/sign-in", get(sign_in_page).post(sign_in))
        .route("/sign-out", post(sign_out))
        .with_state(App { sessions, carts: Carts::default() }))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut secret = [0; 32]; // A real one must be the same on all instances.
    getrandom::fill(&mut secret)?;
    let app = app(Sessions::builder(Keyring::hs256(secret)?))?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("http://localhost:3000");
    axum::serve(listener, app).await?;
    Ok(())
}
