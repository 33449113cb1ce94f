//! The routes for admins.

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
struct Roles {
    roles: Vec<String>,
}

/// The roles in a body, if it is valid.
pub(crate) fn roles_of(body: &[u8]) -> Option<Vec<String>> {
    let Roles { roles } = serde_json::from_slice(body).ok()?;
    are_sound(&roles).then_some(roles)
}

/// Whether the roles are valid: a session's claims must fit into a cookie.
pub(crate) fn are_sound(roles: &[String]) -> bool {
    roles.len() <= 16 && roles.iter().all(|role| is_name(role))
}

/// Whether this is a valid name of a user or of a role.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
}

/// Sets a user's roles. They apply on every device at its next request, and no session is revoked.
pub(crate) async fn roles(
    State(sessions): State<Sessions<Profile>>,
    State(users): State<Users>,
    Path(user): Path<String>,
    body: Bytes,
) -> Result<Response, Rejection> {
    let (Some(roles), true) = (roles_of(&body), is_name(&user)) else {
        return Ok(problem(StatusCode::BAD_REQUEST, "Send {\"roles\": [\"editor\"]} for a user"));
    };
    users.set_roles(&user, roles, sessions.now());
    sessions.mark_stale(&user).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Locks a user: every device is signed out, and sign-in and renewal are refused.
pub(crate) async fn lock(
    State(sessions): State<Sessions<Profile>>,
    State(users): State<Users>,
    Path(user): Path<String>,
) -> Result<Response, Rejection> {
    if !is_name(&user) {
        return Ok(problem(StatusCode::BAD_REQUEST, "Not a user"));
    }
    users.lock(&user);
    sessions.revoke_all(&user).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The emergency stop: it revokes every session, including this one.
pub(crate) async fn run_id(
    session: Session<Profile>,
    State(sessions): State<Sessions<Profile>>,
) -> Result<(StatusCode, SetCookies), Rejection> {
    sessions.revoke_everything().await?;
    Ok((StatusCode::NO_CONTENT, session.sign_out().await?))
}
