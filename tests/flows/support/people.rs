//! What people do with a session they have: change it, prove who they are, look after their devices.
//! A request that says `x-poll` is one that a page makes by itself.

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
        .route("/end-others", post(revoke_others))
        .route("/session", any(hand_out))
        .route_layer(sessions.layer().passive(|head| head.headers.contains_key("x-poll")))
}

#[derive(Deserialize)]
struct Change {
    role: String,
    /// Whether the handler waits at the door, `before` or `after` it did its work.
    #[serde(default)]
    wait: String,
}

async fn profile(
    Extension(door): Extension<Gate>,
    session: Session<Profile>,
    Query(Change { role, wait }): Query<Change>,
) -> Result<Response, Rejection> {
    wait_if(wait == "before", &door).await;
    let cookies = session.update(&Profile { role }).await?;
    wait_if(wait == "after", &door).await;
    Ok((cookies, describe(&session)).into_response())
}

#[derive(Deserialize)]
struct Proof {
    by: String,
    #[serde(default)]
    wait: String,
}

async fn sudo(
    Extension(door): Extension<Gate>,
    session: Session<Profile>,
    Query(Proof { by, wait }): Query<Proof>,
) -> Result<Response, Rejection> {
    wait_if(wait == "before", &door).await;
    let cookies = session.reauthenticate(by.split(',')).await?;
    wait_if(wait == "after", &door).await;
    Ok((cookies, describe(&session)).into_response())
}

async fn wait_if(it_does: bool, door: &Gate) {
    if it_does {
        door.pass().await;
    }
}

async fn revoke_others(session: Session<Profile>) -> Result<String, Rejection> {
    Ok(session.revoke_others().await?.to_string())
}

/// Leaves the session itself with the response.
async fn hand_out(session: Session<Profile>) -> impl IntoResponse {
    (describe(&session), Extension(session))
}
