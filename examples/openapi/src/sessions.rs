//! Descriptions of the routes of `Sessions::routes`. The functions are never called.

use serde::Deserialize;
use utoipa::ToSchema;

use crate::document::Problem;

/// A session of the user. Times are in seconds since 1970.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Device {
    pub(crate) sid: String,
    pub(crate) created: u64,
    pub(crate) last_seen: u64,
    pub(crate) expires: u64,
    /// Where the session was opened from.
    pub(crate) from: Option<String>,
    /// Whether it is the session of this request.
    pub(crate) current: bool,
}

/// The sessions of the user, oldest first.
#[utoipa::path(get, path = "/sessions", tag = "sessions",
    security(("access" = []), ("refresh" = [])),
    responses(
        (status = 200, body = Vec<Device>),
        (status = 401, description = "No session", content_type = "application/problem+json", body = Problem),
        (status = 501, description = "The store cannot list", content_type = "application/problem+json", body = Problem),
    ))]
pub(crate) fn list() {}

/// Revokes one session of the user. Also 204 if it was revoked or expired before.
#[utoipa::path(delete, path = "/sessions/{sid}", tag = "sessions",
    params(("sid" = String, Path, description = "The ID of the session")),
    security(("access" = []), ("refresh" = [])),
    responses(
        (status = 204, description = "Revoked"),
        (status = 400, description = "Not a session ID"),
        (status = 401, description = "No session", content_type = "application/problem+json", body = Problem),
        (status = 403, description = "A request from another site", content_type = "application/problem+json", body = Problem),
    ))]
pub(crate) fn revoke() {}

/// Revokes all sessions of the user except the session of this request.
#[utoipa::path(post, path = "/sessions/revoke-others", tag = "sessions",
    security(("access" = []), ("refresh" = [])),
    responses(
        (status = 204, description = "Revoked"),
        (status = 401, description = "No session", content_type = "application/problem+json", body = Problem),
        (status = 403, description = "A request from another site", content_type = "application/problem+json", body = Problem),
    ))]
pub(crate) fn revoke_others() {}

/// Revokes all sessions of the user, and removes the cookies.
#[utoipa::path(post, path = "/sessions/revoke-all", tag = "sessions",
    security(("access" = []), ("refresh" = [])),
    responses(
        (status = 204, description = "Revoked"),
        (status = 401, description = "No session", content_type = "application/problem+json", body = Problem),
        (status = 403, description = "A request from another site", content_type = "application/problem+json", body = Problem),
    ))]
pub(crate) fn revoke_all() {}

/// Signs out, and removes the cookies. Works with expired tokens, and without any.
#[utoipa::path(post, path = "/sign-out", tag = "sessions",
    security((), ("access" = []), ("refresh" = [])),
    responses(
        (status = 204, description = "Signed out"),
        (status = 403, description = "A request from another site", content_type = "application/problem+json", body = Problem),
    ))]
pub(crate) fn sign_out() {}
