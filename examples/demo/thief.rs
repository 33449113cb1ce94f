//! Somebody with a copy of a refresh token, for the page to show what becomes of both. What a thief
//! needs malware for, the page just asks for.

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
use tower_sliding_sessions::Session;

use super::{Profile, problem};

const COOKIE: &str = "__Host-refresh";
const MOST: usize = 100;

/// What the last thieves hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Loot(Arc<Mutex<Stolen>>);

#[derive(Debug, Default)]
struct Stolen {
    cookies: VecDeque<String>,
    forgotten: usize,
}

impl Loot {
    fn add(&self, cookies: String) -> usize {
        let mut stolen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if stolen.cookies.len() == MOST {
            stolen.cookies.pop_front();
            stolen.forgotten += 1;
        }
        stolen.cookies.push_back(cookies);
        stolen.forgotten + stolen.cookies.len() - 1
    }

    fn with<R>(&self, thief: usize, look: impl FnOnce(&mut String) -> R) -> Option<R> {
        let mut stolen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let index = thief.checked_sub(stolen.forgotten)?;
        stolen.cookies.get_mut(index).map(look)
    }
}

/// `POST /thief`, in a session: its refresh token is copied.
pub(crate) async fn steal(_: Session<Profile>, State(loot): State<Loot>, headers: HeaderMap) -> Response {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let ours = lines.flat_map(|line| line.split("; ")).find(|pair| pair.starts_with(COOKIE));
    match ours {
        Some(pair) => Json(json!({"thief": loot.add(pair.to_owned())})).into_response(),
        None => problem(StatusCode::BAD_REQUEST, "There is no refresh token to steal"),
    }
}

/// Adds `POST /thief/{thief}`: the thief asks the demo who it is, and keeps what it gets.
pub(crate) fn with_use_of_stolen<S: Clone + Send + Sync + 'static>(
    demo: Router<S>,
    loot: Loot,
    state: S,
) -> Router<S> {
    let victim = demo.clone().with_state(state);
    let go = move |Path(thief): Path<usize>| use_stolen(victim, loot, thief);
    demo.route("/thief/{thief}", post(go))
}

async fn use_stolen(demo: Router, loot: Loot, thief: usize) -> Response {
    let Some(cookies) = loot.with(thief, |cookies| cookies.clone()) else {
        return problem(StatusCode::NOT_FOUND, "No such thief");
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
        loot.with(thief, |cookies| pair.clone_into(cookies));
    }
    let status = answer.status().as_u16();
    let body = to_bytes(answer.into_body(), 64 * 1024).await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (outcome, generation) = (body.get("outcome"), body.get("generation"));
    Json(json!({"status": status, "outcome": outcome, "generation": generation})).into_response()
}
