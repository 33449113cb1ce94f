//! Routes that change a session, re-authenticate its user, and manage devices. A request with `x-poll` is
//! one that a page sends without its user.

use std::time::Duration;

use axum::{
    Extension, Router,
    extract::Query,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{any, post},
};
use serde::Deserialize;
use tower_sliding_sessions::{Rejection, Session, Sessions};

use super::{
    Gate, Profile,
    app::{describe, me},
};

pub(crate) fn router(sessions: &Sessions<Profile>) -> Router<Sessions<Profile>> {
    let no_content = || any(async || StatusCode::NO_CONTENT);
    let fresh = sessions.require().authenticated_within(Duration::from_secs(60));
    let fresh_otp = sessions.require().method_within("otp", Duration::from_secs(60));
    Router::new()
        .merge(Router::new().route("/danger", no_content()).route_layer(fresh))
        .merge(Router::new().route("/otp", no_content()).route_layer(sessions.require().method("otp")))
        .merge(Router::new().route("/fresh-otp", no_content()).route_layer(fresh_otp))
        .route("/poll", any(me))
        .route("/profile", post(profile))
        .route("/sudo", post(sudo))
        .route("/revoke-others", post(revoke_others))
        .route("/session", any(hand_out))
        .route_layer(sessions.layer().passive(|head| head.headers.contains_key("x-poll")))
}

#[derive(Deserialize)]
struct Change {
    role: String,
    /// Whether the handler waits at the gate, `before` or `after` its work.
    #[serde(default)]
    wait: String,
}

async fn profile(
    Extension(gate): Extension<Gate>,
    session: Session<Profile>,
    Query(Change { role, wait }): Query<Change>,
) -> Result<Response, Rejection> {
    wait_if(wait == "before", &gate).await;
    let cookies = session.update(&Profile { role }).await?;
    wait_if(wait == "after", &gate).await;
    Ok((cookies, describe(&session)).into_response())
}

#[derive(Deserialize)]
struct Reauthentication {
    by: String,
    #[serde(default)]
    wait: String,
}

async fn sudo(
    Extension(gate): Extension<Gate>,
    session: Session<Profile>,
    Query(Reauthentication { by, wait }): Query<Reauthentication>,
) -> Result<Response, Rejection> {
    wait_if(wait == "before", &gate).await;
    let cookies = session.reauthenticate(by.split(',')).await?;
    wait_if(wait == "after", &gate).await;
    Ok((cookies, describe(&session)).into_response())
}

async fn wait_if(it_does: bool, gate: &Gate) {
    if it_does {
        gate.pass().await;
    }
}

async fn revoke_others(session: Session<Profile>) -> Result<String, Rejection> {
    Ok(session.revoke_others().await?.to_string())
}

/// Puts the session into the response's extensions.
async fn hand_out(session: Session<Profile>) -> impl IntoResponse {
    (describe(&session), Extension(session))
}
