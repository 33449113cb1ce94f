//! A single-page application whose views are components. What must they do about tokens?
//!
//! Nothing: they fetch. One hook notices the end of the session, and then the sign-in form replaces the
//! view. The URL stays the same.
//!
//! ```sh
//! cargo run --example preact
//! ```
//!
//! Preact 11.2.0, which has the API of React in 16 KB, and its licence (MIT) are in this folder.

use std::error::Error;

use axum::{
    Form, Json, Router,
    extract::Path,
    http::header,
    response::{Html, IntoResponse},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tower_sliding_sessions::{
    BuildError, Keyring, Rejection, Session, Sessions, SessionsBuilder, SetCookies, Visitor,
};

const PAGE: &str = include_str!("page.html");

async fn room(session: Session, Path(room): Path<u16>) -> Json<Value> {
    Json(json!({"guest": session.subject(), "room": room, "next": room.wrapping_add(1)}))
}

#[derive(Deserialize)]
struct Person {
    name: String,
}

async fn sign_in(visitor: Visitor, Form(person): Form<Person>) -> Result<SetCookies, Rejection> {
    // Check a password here.
    Ok(visitor.sign_in(person.name, ()).await?)
}

async fn sign_out(visitor: Visitor) -> Result<SetCookies, Rejection> {
    Ok(visitor.sign_out().await?)
}

fn script(text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/javascript")], text)
}

pub(crate) fn app(builder: SessionsBuilder<()>) -> Result<Router, BuildError> {
    let sessions = builder.build()?;
    Ok(Router::new()
        .route("/api/rooms/{room}", get(room))
        .route_layer(sessions.layer())
        .route("/api/sign-in", post(sign_in))
        .route("/api/sign-out", post(sign_out))
        .route("/preact.mjs", get(|| async { script(include_str!("preact.mjs")) }))
        .route("/hooks.mjs", get(|| async { script(include_str!("hooks.mjs")) }))
        .fallback(get(|| async { Html(PAGE) })) // every view is this page
        .with_state(sessions))
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
