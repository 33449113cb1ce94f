//! What an admin can do.

use axum::{
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;
use tower_sliding_sessions::{Rejection, Session, Sessions, SetCookies};

use super::{Profile, problem, users::Users};

#[derive(Deserialize)]
pub(crate) struct Roles {
    pub(crate) roles: Vec<String>,
}

/// A user's roles: in force on every device at its next request, and nobody is signed out.
pub(crate) async fn roles(
    State(sessions): State<Sessions<Profile>>,
    State(users): State<Users>,
    Path(user): Path<String>,
    body: Bytes,
) -> Result<Response, Rejection> {
    let Ok(Roles { roles }) = serde_json::from_slice(&body) else {
        return Ok(problem(StatusCode::BAD_REQUEST, "Send {\"roles\": [\"editor\"]}"));
    };
    users.set_roles(&user, roles);
    sessions.mark_stale(&user).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// A user is out, on every device, and stays out: sign-in and renewal are refused.
pub(crate) async fn lock(
    State(sessions): State<Sessions<Profile>>,
    State(users): State<Users>,
    Path(user): Path<String>,
) -> Result<StatusCode, Rejection> {
    users.lock(&user);
    sessions.revoke_all(&user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The emergency stop: every session of everyone ends, this one too.
pub(crate) async fn run_id(
    session: Session<Profile>,
    State(sessions): State<Sessions<Profile>>,
) -> Result<(StatusCode, SetCookies), Rejection> {
    sessions.end_everything().await?;
    Ok((StatusCode::NO_CONTENT, session.sign_out().await?))
}
