//! A page that calls an API by `fetch`. What must it do about tokens?
//!
//! Nothing. It cannot read them, and it need not: every request is served, and renewed tokens come with
//! its response. The page only handles the end of the session: a dialog asks for the name, and then the
//! request is sent once more. No typed text is lost.
//!
//! ```sh
//! cargo run --example fetch
//! ```

use std::{
    collections::HashMap,
    error::Error,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Form, Json, Router,
    extract::{FromRef, State},
    response::Html,
    routing::{get, post},
};
use serde::Deserialize;
use tower_sliding_sessions::{
    BuildError, Keyring, Rejection, Session, Sessions, SessionsBuilder, SetCookies, Visitor,
};

const PAGE: &str = include_str!("page.html");

/// The notes of all users: a database, in a real application.
type Notes = Arc<Mutex<HashMap<String, Vec<String>>>>;

#[derive(Clone, FromRef)]
struct App {
    sessions: Sessions,
    notes: Notes,
}

async fn list(session: Session, State(notes): State<Notes>) -> Json<Vec<String>> {
    let notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
    Json(notes.get(session.subject()).cloned().unwrap_or_default())
}

async fn add(session: Session, State(notes): State<Notes>, note: String) -> Json<Vec<String>> {
    let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
    let own = notes.entry(session.subject().to_owned()).or_default();
    own.push(note);
    Json(own.clone())
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

pub(crate) fn app(builder: SessionsBuilder<()>) -> Result<Router, BuildError> {
    let sessions = builder.build()?;
    Ok(Router::new()
        .route("/notes", get(list).post(add))
        .route_layer(sessions.layer())
        .route("/", get(|| async { Html(PAGE) }))
        .route("/sign-in", post(sign_in))
        .route("/sign-out", post(sign_out))
        .with_state(App { sessions, notes: Notes::default() }))
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
