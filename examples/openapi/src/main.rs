//! How do I describe the session routes in an OpenAPI document, and that my own routes need a session?
//!
//! ```sh
//! cargo run --manifest-path examples/openapi/Cargo.toml
//! ```
//!
//! `utoipa` makes the document. The cookies are security schemes of the type `apiKey`. `Sessions::routes` brings its
//! routes without a description: `sessions.rs` has one for each, to copy.

use std::error::Error;

use axum::{
    Json, Router,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use tower_sliding_sessions::{
    BuildError, Keyring, Rejection, Session, Sessions, SessionsBuilder, SetCookies, Visitor,
};
use utoipa::{OpenApi as _, ToSchema};

mod document;
#[expect(dead_code, reason = "only described")]
mod sessions;
#[cfg(test)]
mod tests;

const TRY: &str = "\
curl -s 127.0.0.1:3000/openapi.json
curl -s -c jar -H 'content-type: application/json' -d '{\"name\":\"ann\"}' 127.0.0.1:3000/login
curl -s -b jar 127.0.0.1:3000/me
curl -s -b jar 127.0.0.1:3000/sessions";

#[derive(Clone, Serialize, Deserialize, ToSchema)]
struct Profile {
    name: String,
}

/// Signs in.
#[utoipa::path(post, path = "/login", tag = "application",
    request_body = Profile,
    responses((status = 200, description = "Signed in. Sets the cookies")))]
async fn login(visitor: Visitor<Profile>, Json(profile): Json<Profile>) -> Result<SetCookies, Rejection> {
    // Check a password here.
    Ok(visitor.sign_in(&profile.name, &profile).await?)
}

/// The profile of the user.
#[utoipa::path(get, path = "/me", tag = "application",
    security(("access" = []), ("refresh" = [])), // either is enough
    responses(
        (status = 200, body = Profile),
        (status = 401, description = "No session", content_type = "application/problem+json", body = document::Problem),
    ))]
async fn me(session: Session<Profile>) -> Json<Profile> {
    Json(session.claims().clone())
}

fn app(builder: SessionsBuilder<Profile>) -> Result<Router, BuildError> {
    let sessions = builder.build()?;
    Ok(Router::new()
        .route("/me", get(me))
        .route_layer(sessions.layer())
        .route("/login", post(login))
        .route("/openapi.json", get(|| async { Json(document::Document::openapi()) }))
        .merge(sessions.routes())
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
