//! What an admin can do.

use axum::{extract::State, http::StatusCode};
use tower_sliding_sessions::{Rejection, Session, Sessions, SetCookies};

use super::Profile;

/// The emergency stop: every session of everyone ends, this one too.
pub(crate) async fn run_id(
    session: Session<Profile>,
    State(sessions): State<Sessions<Profile>>,
) -> Result<(StatusCode, SetCookies), Rejection> {
    sessions.end_everything().await?;
    Ok((StatusCode::NO_CONTENT, session.sign_out().await?))
}
