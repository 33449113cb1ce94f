//! "Your devices": list them, revoke one, revoke the others, and revoke sessions after a password change.
//!
//! ```sh
//! cargo run --example devices
//! ```

use std::error::Error;

use axum::{
    Form, Json, Router,
    extract::{Path, State},
    http::header::USER_AGENT,
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tower_sliding_sessions::{
    BuildError, Keyring, Rejection, Session, SessionId, Sessions, SessionsBuilder, SetCookies, Visitor,
    store::Cap,
};

const TRY: &str = "\
curl -s -c phone -A phone -d name=ann 127.0.0.1:3000/login
curl -s -c laptop -A laptop -d 'name=ann&remember=true' 127.0.0.1:3000/login
curl -b phone 127.0.0.1:3000/devices
curl -b phone -d new 127.0.0.1:3000/password; curl -i -b laptop 127.0.0.1:3000/devices";

#[derive(Deserialize)]
struct Login {
    name: String,
    /// `<input type="checkbox" name="remember" value="true">`
    #[serde(default)]
    remember: bool,
}

async fn login(visitor: Visitor, Form(login): Form<Login>) -> Result<SetCookies, Rejection> {
    // Check a password here.
    Ok(visitor.sign_in(login.name, ()).remember_me(login.remember).await?)
}

async fn list(session: Session, State(sessions): State<Sessions>) -> Result<Json<Value>, Rejection> {
    let devices = sessions.list(session.subject()).await?;
    let shown = devices.iter().map(|device| {
        json!({
            "id": device.id,
            "from": device.origin,
            "since": device.created_at.as_secs(), // also `last_seen` and `expires_at`
            "this_one": device.id == session.id(),
        })
    });
    Ok(Json(shown.collect()))
}

async fn end(
    session: Session,
    State(sessions): State<Sessions>,
    Path(device): Path<SessionId>,
) -> Result<Response, Rejection> {
    if device == session.id() {
        return Ok(session.sign_out().await?.into_response()); // removes the cookies too
    }
    // Only the user's own sessions: another user's session is not found under this name.
    let revoked = sessions.revoke(session.subject(), device).await?;
    Ok(if revoked { "Revoked.\n" } else { "It had ended.\n" }.into_response())
}

async fn revoke_others(session: Session) -> Result<String, Rejection> {
    Ok(format!("{} revoked.\n", session.revoke_others().await?))
}

async fn change_password(session: Session, _new: String) -> Result<String, Rejection> {
    // Check the old password and store the new one here. Revoke the other sessions only after that: then
    // no client can sign in with the old password any more.
    revoke_others(session).await
}

pub(crate) fn app(builder: SessionsBuilder<()>) -> Result<Router, BuildError> {
    let sessions = builder
        .max_sessions(Cap::RevokeOldest(3)) // a fourth sign-in revokes the oldest one
        .origin(|request| {
            let agent = request.headers.get(USER_AGENT)?.to_str().ok()?;
            Some(agent.chars().take(100).collect())
        })
        .build()?;
    Ok(Router::new()
        .route("/devices", get(list))
        .route("/devices/{id}", delete(end))
        .route("/devices/revoke-others", post(revoke_others))
        .route("/password", post(change_password))
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
