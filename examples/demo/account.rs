//! The routes for anonymous clients, and for a signed-in user's own session.

use std::time::Duration;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, Query, Request, State},
    http::{HeaderValue, StatusCode},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tower_sliding_sessions::{Rejection, Renewed, Session, SessionId, Sessions, SetCookies, Visitor};

use super::{
    Profile,
    admin::{are_sound, is_name, roles_of},
    problem,
    users::Users,
};

#[derive(Deserialize)]
struct Login {
    user: String,
    roles: Option<Vec<String>>,
}

/// Signs in. There is no password: it is a demo.
pub(crate) async fn login(
    visitor: Visitor<Profile>,
    State(users): State<Users>,
    body: Bytes,
) -> Result<Response, Rejection> {
    let login = match serde_json::from_slice::<Login>(&body) {
        Ok(login) if is_name(&login.user) && login.roles.as_deref().is_none_or(are_sound) => login,
        _ => {
            return Ok(problem(
                StatusCode::BAD_REQUEST,
                "Send {\"user\": \"alice\", \"roles\": [\"admin\"]}",
            ));
        }
    };
    let Some(profile) = users.profile(&login.user, login.roles) else {
        return Ok(problem(StatusCode::FORBIDDEN, "This user is locked"));
    };
    let roles = profile.roles.clone();
    let cookies = visitor.sign_in(&login.user, profile).by(["demo"]).await?;
    let sid = cookies.session_id();
    Ok((cookies, Json(json!({"sub": login.user, "sid": sid, "roles": roles}))).into_response())
}

pub(crate) async fn logout(session: Session<Profile>) -> Result<(StatusCode, SetCookies), Rejection> {
    Ok((StatusCode::NO_CONTENT, session.sign_out().await?))
}

pub(crate) async fn me(session: Session<Profile>) -> Json<Value> {
    Json(describe(&session, &session.claims().roles))
}

pub(crate) async fn public(session: Option<Session<Profile>>) -> Json<Value> {
    Json(json!({"sub": session.as_ref().map(Session::subject)}))
}

#[derive(Deserialize)]
pub(crate) struct Slow {
    #[serde(default)]
    ms: u64,
}

/// Responds like `/me`, after a delay of at most ten minutes.
pub(crate) async fn slow(session: Session<Profile>, Query(Slow { ms }): Query<Slow>) -> Json<Value> {
    tokio::time::sleep(Duration::from_millis(ms.min(600_000))).await;
    Json(describe(&session, &session.claims().roles))
}

/// Responds with the requested status.
pub(crate) async fn status(Path(code): Path<String>) -> Response {
    match code.parse().ok().and_then(|code: u16| StatusCode::from_u16(code).ok()) {
        Some(status) if status.as_u16() >= 200 => status.into_response(),
        _ => problem(StatusCode::BAD_REQUEST, "Not a final status code"),
    }
}

/// The subject's live sessions.
pub(crate) async fn list(
    session: Session<Profile>,
    State(sessions): State<Sessions<Profile>>,
) -> Result<Json<Value>, Rejection> {
    let devices = sessions.list(session.subject()).await?;
    Ok(Json(
        devices
            .iter()
            .map(|device| {
                json!({
                    "sid": device.id,
                    "created": device.created_at.as_secs(),
                    "last_seen": device.last_seen.as_secs(),
                    "expires": device.expires_at.as_secs(),
                    "from": device.origin,
                    "current": device.id == session.id(),
                })
            })
            .collect(),
    ))
}

pub(crate) async fn end_one(
    session: Session<Profile>,
    State(sessions): State<Sessions<Profile>>,
    Path(sid): Path<String>,
) -> Result<Response, Rejection> {
    match SessionId::decode(&sid) {
        // The current session is signed out, which removes the cookies.
        Some(sid) if sid == session.id() => {
            Ok((StatusCode::NO_CONTENT, session.sign_out().await?).into_response())
        }
        Some(sid) => {
            // Only the subject's own sessions: another user's session is not found under this name.
            sessions.revoke(session.subject(), sid).await?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        None => Ok(problem(StatusCode::BAD_REQUEST, "Not a session")),
    }
}

pub(crate) async fn revoke_others(session: Session<Profile>) -> Result<StatusCode, Rejection> {
    session.revoke_others().await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn end_all(
    session: Session<Profile>,
    State(sessions): State<Sessions<Profile>>,
) -> Result<(StatusCode, SetCookies), Rejection> {
    sessions.revoke_all(session.subject()).await?;
    Ok((StatusCode::NO_CONTENT, session.sign_out().await?))
}

/// Changes the claims of this session, and of no other.
pub(crate) async fn profile(session: Session<Profile>, body: Bytes) -> Result<Response, Rejection> {
    let Some(roles) = roles_of(&body) else {
        return Ok(problem(StatusCode::BAD_REQUEST, "Send {\"roles\": [\"editor\"]}"));
    };
    let profile = Profile { roles, ..session.claims().clone() };
    let cookies = session.update(&profile).await?;
    Ok((cookies, Json(describe(&session, &profile.roles))).into_response())
}

/// Re-authenticates. A real application checks the password first.
pub(crate) async fn sudo(session: Session<Profile>) -> Result<(StatusCode, SetCookies), Rejection> {
    Ok((StatusCode::NO_CONTENT, session.reauthenticate(["demo"]).await?))
}

fn describe(session: &Session<Profile>, roles: &[String]) -> Value {
    json!({
        "sub": session.subject(),
        "sid": session.id(),
        "roles": roles,
        "auth_time": session.auth_time().as_secs(),
        "expires_in": session.expires_in().as_secs(),
        "renewed": session.renewed().is_some(),
        "bound": session.is_device_bound(),
        "generation": session.generation(),
        "outcome": word(session.renewed()),
    })
}

/// The headers by which the page colours its dots, on every response to a signed-in user.
pub(crate) async fn outcome(session: Option<Session<Profile>>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Some(session) = session {
        let headers = response.headers_mut();
        headers.insert("demo-outcome", HeaderValue::from_static(word(session.renewed())));
        headers.insert("demo-generation", HeaderValue::from(session.generation()));
    }
    response
}

fn word(renewed: Option<Renewed>) -> &'static str {
    match renewed {
        None => "fresh",
        Some(Renewed::Rotated) => "rotated",
        Some(Renewed::Confirmed) => "confirmed",
        Some(Renewed::PredecessorServed) => "replayed",
        Some(_) => "reissued",
    }
}
