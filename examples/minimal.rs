//! Signs a user in, and keeps the session alive while the application is used.
//!
//! ```sh
//! cargo run --example minimal
//! curl -si -X POST 127.0.0.1:3000/login -H 'content-type: application/json' -d '{"name":"ann"}'
//! ```

use std::{error::Error, time::Duration};

use axum::{
    Json, Router,
    response::IntoResponse,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use tower_sliding_sessions::{Keyring, Rejection, Session, Sessions, SetCookies, Visitor};

#[derive(Clone, Serialize, Deserialize)]
struct Profile {
    name: String,
}

async fn login(
    visitor: Visitor<Profile>,
    Json(profile): Json<Profile>,
) -> Result<impl IntoResponse, Rejection> {
    // Check a password here.
    let cookies = visitor.sign_in(&profile.name, &profile).await?; // revokes the session it replaces
    Ok((cookies, Json(profile)))
}

async fn me(session: Session<Profile>) -> Json<Profile> {
    Json(session.claims().clone())
}

async fn logout(session: Session<Profile>) -> Result<SetCookies, Rejection> {
    Ok(session.sign_out().await?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let sessions = Sessions::<Profile>::builder(Keyring::random()?)
        .timing(|timing| {
            timing.access_ttl(Duration::from_secs(5 * 60)).idle_timeout(Duration::from_secs(2 * 60 * 60))
        })
        .build()?; // keeps sessions in memory

    let app = Router::new()
        .route("/me", get(me))
        .route("/logout", post(logout))
        .route_layer(sessions.layer()) // the routes above need a session, and keep it alive
        .route("/login", post(login)) // everything below does not
        .with_state(sessions);

    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app).await?;
    Ok(())
}
