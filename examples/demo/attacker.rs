//! An attacker with a copy of a refresh token, for the page. A real attacker needs malware to get one.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json, Router,
    body::{Body, to_bytes},
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::post,
};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tower_sliding_sessions::{Session, SessionId};

use super::{Profile, problem};

const COOKIE: &str = "__Host-refresh";
const MOST: usize = 100;

/// The tokens of the latest attackers, each under a name that only the page knows.
#[derive(Clone, Default)]
pub(crate) struct Loot(Arc<Mutex<VecDeque<(String, String)>>>);

impl Loot {
    fn add(&self, cookie: String) -> Option<String> {
        let attacker = SessionId::random().ok()?.encode();
        let mut copied = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        copied.truncate(MOST - 1);
        copied.push_front((attacker.clone(), cookie));
        Some(attacker)
    }

    fn with<R>(&self, attacker: &str, look: impl FnOnce(&mut String) -> R) -> Option<R> {
        let mut copied = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        copied.iter_mut().find(|(name, _)| name == attacker).map(|(_, cookie)| look(cookie))
    }
}

/// `POST /attacker`, in a session: copies its refresh token.
pub(crate) async fn copy(_: Session<Profile>, State(loot): State<Loot>, headers: HeaderMap) -> Response {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let ours = lines.flat_map(|line| line.split("; ")).find(|pair| pair.starts_with(COOKIE));
    match ours {
        Some(pair) => Json(json!({"attacker": loot.add(pair.to_owned())})).into_response(),
        None => problem(StatusCode::BAD_REQUEST, "There is no refresh token to copy"),
    }
}

/// Adds `POST /attacker/{attacker}`: the attacker requests `/me` of the demo, and keeps the new token.
pub(crate) fn with_attacker<S: Clone + Send + Sync + 'static>(
    demo: Router<S>,
    loot: Loot,
    state: S,
) -> Router<S> {
    let victim = demo.clone().with_state(state);
    let go = move |Path(attacker): Path<String>| use_copy(victim, loot, attacker);
    demo.route("/attacker/{attacker}", post(go))
}

async fn use_copy(demo: Router, loot: Loot, attacker: String) -> Response {
    let Some(cookies) = loot.with(&attacker, |cookies| cookies.clone()) else {
        return problem(StatusCode::NOT_FOUND, "No such attacker");
    };
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = axum::http::Uri::from_static("/me");
    if let Ok(cookies) = cookies.parse() {
        request.headers_mut().insert(header::COOKIE, cookies);
    }
    let answer = match demo.oneshot(request).await {
        Ok(answer) => answer,
        Err(never) => match never {},
    };
    let set = answer.headers().get_all(header::SET_COOKIE).iter().filter_map(|line| line.to_str().ok());
    for pair in set.filter_map(|line| line.split(';').next()).filter(|pair| pair.starts_with(COOKIE)) {
        loot.with(&attacker, |cookies| pair.clone_into(cookies));
    }
    let status = answer.status().as_u16();
    let body = to_bytes(answer.into_body(), 64 * 1024).await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (outcome, generation) = (body.get("outcome"), body.get("generation"));
    let reason = body.get("code");
    Json(json!({"status": status, "outcome": outcome, "generation": generation, "reason": reason}))
        .into_response()
}
