//! How do I ask for the password again before something dangerous, or for a second factor?
//!
//! `Require` refuses with 403 and says what it wants. A front end asks for just that, posts it to
//! `/reauthenticate`, and sends its first request again:
//!
//! ```json
//! {"type": "https://docs.rs/…#variant.ReauthenticationRequired", "title": "Re-authentication is required", "status": 403}
//! {"type": "https://docs.rs/…#variant.MethodRequired", "title": "Authentication by another method is required", "status": 403}
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
    /// Whether there is a second factor to ask for.
    second_factor: bool,
}

#[derive(Deserialize)]
struct Proof {
    password: String,
    code: Option<String>,
}

async fn login(visitor: Visitor<Profile>, name: String) -> Result<SetCookies, Rejection> {
    // Check a password here.
    Ok(visitor.sign_in(name, Profile { second_factor: false }).by(["pwd"]).await?)
}

/// A proof takes the place of the last one, so it names all the methods it was made by.
async fn reauthenticate(session: Session<Profile>, Form(proof): Form<Proof>) -> Result<Response, Rejection> {
    let methods: &[&str] = match (proof.password.as_str(), proof.code.as_deref()) {
        ("swordfish", None) => &["pwd"],
        ("swordfish", Some("123456")) => &["pwd", "otp"],
        _ => return Ok((StatusCode::FORBIDDEN, "Wrong.\n").into_response()),
    };
    Ok(session.reauthenticate(methods.iter().copied()).await?.into_response())
}

/// In force at once on this device. The others learn of it from a `reload_claims`, if need be.
async fn add_second_factor(session: Session<Profile>) -> Result<SetCookies, Rejection> {
    Ok(session.update(&Profile { second_factor: true }).await?)
}

async fn account(session: Session<Profile>) -> String {
    format!("{}, second factor: {}.\n", session.subject(), session.claims().second_factor)
}

pub(crate) fn app(builder: SessionsBuilder<Profile>) -> Result<Router, BuildError> {
    let sessions = builder
        .origin(|request| Some(request.headers.get(USER_AGENT)?.to_str().ok()?.to_owned()))
        // Renewed in another browser than it was opened in: it goes on, but proofs made there do not
        // count here. A copied access token is found out when it has expired, in 5 min at most.
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
