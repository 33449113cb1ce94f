//! How do I require the password again before something dangerous, or a second factor?
//!
//! `Require` refuses with 403 and names what it requires. A front end asks for exactly that, posts it to
//! `/reauthenticate`, and repeats its first request:
//!
//! ```json
//! {"type": "https://docs.rs/…", "code": "reauthentication_required", "title": "Re-authentication is required", "status": 403}
//! {"type": "https://docs.rs/…", "code": "method_required", "title": "Authentication by another method is required", "status": 403}
//! ```
//!
//! ```sh
//! cargo run --example step_up
//! ```

use std::{error::Error, time::Duration};

use axum::{
    Form, Router,
    http::{StatusCode, header::USER_AGENT},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use serde::{Deserialize, Serialize};
use tower_sliding_sessions::{
    BuildError, Keyring, OriginVerdict, Rejection, Session, Sessions, SessionsBuilder, SetCookies, Visitor,
};

const TRY: &str = "\
curl -s -c jar -d ann 127.0.0.1:3000/login
curl -i -b jar -c jar -d '' 127.0.0.1:3000/transfer  # wants a second factor
curl -i -b jar -c jar -d password=swordfish -d code=123456 127.0.0.1:3000/reauthenticate
sleep 60; curl -i -b jar -c jar -X DELETE 127.0.0.1:3000/account  # wants the password again";

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Profile {
    /// Whether the user has a second factor.
    second_factor: bool,
}

#[derive(Deserialize)]
struct Credentials {
    password: String,
    code: Option<String>,
}

async fn login(visitor: Visitor<Profile>, name: String) -> Result<SetCookies, Rejection> {
    // Check a password here.
    Ok(visitor.sign_in(name, Profile { second_factor: false }).by(["pwd"]).await?)
}

/// A re-authentication replaces the last one, so it names all its methods.
async fn reauthenticate(
    session: Session<Profile>,
    Form(credentials): Form<Credentials>,
) -> Result<Response, Rejection> {
    let methods: &[&str] = match (credentials.password.as_str(), credentials.code.as_deref()) {
        ("swordfish", None) => &["pwd"],
        ("swordfish", Some("123456")) => &["pwd", "otp"],
        _ => return Ok((StatusCode::FORBIDDEN, "Wrong.\n").into_response()),
    };
    Ok(session.reauthenticate(methods.iter().copied()).await?.into_response())
}

/// Applies at once on this device. The other devices get it by a `reload_claims` hook.
async fn add_second_factor(session: Session<Profile>) -> Result<SetCookies, Rejection> {
    Ok(session.update(&Profile { second_factor: true }).await?)
}

async fn account(session: Session<Profile>) -> String {
    format!("{}, second factor: {}.\n", session.subject(), session.claims().second_factor)
}

pub(crate) fn app(builder: SessionsBuilder<Profile>) -> Result<Router, BuildError> {
    let sessions = builder
        .origin(|request| Some(request.headers.get(USER_AGENT)?.to_str().ok()?.to_owned()))
        // If a session is renewed in another browser than it was opened in, it stays valid, but a
        // re-authentication in one browser does not count in the other. A copied access token is noticed
        // when it has expired, after 5 min at most.
        .compare_origin(|home, here| match here == Some(home) {
            true => OriginVerdict::Ignore,
            false => OriginVerdict::StepUp,
        })
        .build()?;
    let fresh = sessions.require().authenticated_within(Duration::from_secs(60));
    let otp = sessions.require().method("otp");
    Ok(Router::new()
        .route("/account", delete(|| async { "Gone.\n" }).route_layer(fresh.clone()))
        .route("/second-factor", post(add_second_factor).route_layer(fresh))
        .route("/transfer", post(|| async { "Sent.\n" }).route_layer(otp))
        .route("/account", get(account))
        .route("/reauthenticate", post(reauthenticate))
        .route_layer(sessions.layer())
        .route("/login", post(login))
        .with_state(sessions))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let app = app(Sessions::builder(Keyring::random()?))?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("{TRY}");
    axum::serve(listener, app).await?;
    Ok(())
}
