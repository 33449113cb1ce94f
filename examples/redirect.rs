//! Pages without scripts. An anonymous client should get the sign-in page, and then the page it
//! requested.
//!
//! The layer responds to anonymous page requests with a redirect, and to all others with a 401. The
//! redirect carries the return path, and `safe_next` checks that it is on this site: a link from another
//! site to `/sign-in?next=//evil.example` leads only to the home page.
//!
//! ```sh
//! cargo run --example redirect
//! ```

use std::error::Error;

use axum::{
    Form, Router,
    extract::{Path, Query},
    response::{Html, IntoResponse, Redirect},
    routing::{get, post},
};
use serde::Deserialize;
use tower_sliding_sessions::{
    BuildError, Keyring, RedirectToLogin, Rejection, Sessions, SessionsBuilder, Visitor, safe_next,
};

const HEAD: &str = "<!doctype html><html lang=en><meta charset=utf-8>
    <meta name=viewport content='width=device-width,initial-scale=1'>
    <title>Reports</title><link rel=icon href='data:,'>";

async fn home() -> Html<String> {
    Html(format!("{HEAD}<h1>Welcome</h1><a href='/reports/2031?sort=name&page=2'>The report of 2031</a>"))
}

async fn report(Path(year): Path<u16>) -> Html<String> {
    let (earlier, later) = (year.saturating_sub(1), year.saturating_add(1));
    Html(format!(
        "{HEAD}<h1>The report of {year}</h1>
         <a id=earlier href=/reports/{earlier}>earlier</a> <a id=later href=/reports/{later}>later</a>
         <form method=post action=/sign-out><button>Sign out</button></form>"
    ))
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
    Ok(Router::new()
        .route("/reports/{year}", get(report))
        .route_layer(sessions.layer().with_reject(RedirectToLogin::new("/sign-in")))
        .route("/", get(home))
        .route("/sign-in", get(sign_in_page).post(sign_in))
        .route("/sign-out", post(sign_out))
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
