//! A provider whose token endpoint counts its requests, and rotates refresh tokens with reuse detection.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Form, Json, Router,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower_sliding_sessions::{
    Clock, ReqwestClient, Timestamp,
    vault::{Provider, TokenEndpoint, TokenSet},
};

/// How the token endpoint answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Each refresh token is good for one request. A second one revokes all tokens.
    Rotates,
    /// As Google: refresh tokens stay, and are not in the answer.
    Keeps,
    Fails,
    Refuses,
}

#[derive(Debug)]
struct State {
    mode: Mutex<Mode>,
    requests: AtomicUsize,
    next: AtomicU64,
    /// The refresh tokens that can be used.
    good: Mutex<HashSet<String>>,
    /// Every token that was ever issued.
    issued: Mutex<Vec<String>>,
    pause: Duration,
}

#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    state: Arc<State>,
    uri: String,
}

/// How long an access token is valid.
pub(crate) const LIFETIME: Duration = Duration::from_secs(3600);

impl Upstream {
    pub(crate) async fn start(mode: Mode) -> Self {
        let state = Arc::new(State {
            mode: Mutex::new(mode),
            requests: AtomicUsize::new(0),
            next: AtomicU64::new(0),
            good: Mutex::default(),
            issued: Mutex::default(),
            // So that parallel calls overlap.
            pause: Duration::from_millis(50),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let uri = format!("http://{}/token", listener.local_addr().expect("an address"));
        let shared = state.clone();
        let answer = move |form: Form<Vec<(String, String)>>| answer(shared.clone(), form.0);
        let app = Router::new().route("/token", post(answer));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { state, uri }
    }

    pub(crate) fn set_mode(&self, mode: Mode) {
        *self.state.mode.lock().expect("no panic") = mode;
    }

    pub(crate) fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }

    /// Every token that was issued.
    pub(crate) fn issued(&self) -> Vec<String> {
        self.state.issued.lock().expect("no panic").clone()
    }

    /// The tokens of a user who signs in at the provider at this time.
    pub(crate) fn sign_in(&self, now: Timestamp) -> TokenSet {
        let body = serde_json::to_vec(&self.state.issue(true)).expect("JSON");
        TokenSet::from_response(&body, now).expect("tokens")
    }

    pub(crate) fn endpoint(&self, clock: impl Clock) -> TokenEndpoint {
        let http = ReqwestClient::new().expect("a client");
        TokenEndpoint::new(self.uri.parse().expect("a URI"), http)
            .client("client:id", Some("client secret"))
            .clock(clock)
    }

    /// The provider of a vault that renews at this one.
    pub(crate) fn provider(&self, clock: impl Clock) -> Provider {
        let endpoint = self.endpoint(clock);
        Provider::new("github").renew(move |tokens| endpoint.clone().renew(tokens))
    }
}

impl State {
    fn issue(&self, with_refresh_token: bool) -> Value {
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        let access = format!("upstream-access-token-{number}-Zm9vYmFy/+");
        let mut answer =
            json!({ "access_token": access, "token_type": "Bearer", "expires_in": LIFETIME.as_secs() });
        let mut issued = self.issued.lock().expect("no panic");
        issued.push(access);
        if with_refresh_token {
            let refresh = format!("upstream-refresh-token-{number}-YmF6cXV4/+");
            answer["refresh_token"] = json!(refresh);
            issued.push(refresh.clone());
            self.good.lock().expect("no panic").insert(refresh);
        }
        answer
    }
}

async fn answer(state: Arc<State>, form: Vec<(String, String)>) -> Response {
    state.requests.fetch_add(1, Ordering::SeqCst);
    tokio::time::sleep(state.pause).await;
    let field = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    assert_eq!(field("grant_type").as_deref(), Some("refresh_token"));
    let token = field("refresh_token").expect("a refresh token");
    let mode = *state.mode.lock().expect("no panic");
    let is_good = |used: bool| {
        let mut good = state.good.lock().expect("no panic");
        let is_good = if used { good.remove(&token) } else { good.contains(&token) };
        if !is_good {
            // Reuse detection.
            good.clear();
        }
        is_good
    };
    match mode {
        Mode::Fails => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Mode::Rotates if is_good(true) => Json(state.issue(true)).into_response(),
        Mode::Keeps if is_good(false) => Json(state.issue(false)).into_response(),
        Mode::Rotates | Mode::Keeps | Mode::Refuses => {
            (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid_grant" }))).into_response()
        }
    }
}
