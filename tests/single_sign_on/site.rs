//! Two instances of an application with one store, as a client of the real provider.

use std::{
    collections::HashMap,
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use axum::{
    Extension, Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::header,
    middleware::{Next, from_fn_with_state},
    response::{
        Html, IntoResponse, Response,
        sse::{Event, Sse},
    },
    routing::get,
};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::Instant};
use tower_sliding_sessions::{
    CookieOptions, HttpClient as _, Keyring, RedirectToLogin, Reload, ReqwestClient, Session, Sessions,
    oidc::{Identity, Oidc, Problem, User},
    store::MemoryStore,
};

/// What the instances have seen.
#[derive(Default)]
pub(crate) struct Log {
    /// `GET /path?query`, and the body of logout requests.
    pub(crate) requests: Mutex<Vec<String>>,
    /// Names and outcomes of events.
    pub(crate) events: Mutex<Vec<String>>,
    /// When the logout request came, and when the stream ended.
    /// Access tokens of the provider, by subject.
    tokens: Mutex<HashMap<String, String>>,
    pub(crate) times: Mutex<Vec<(&'static str, Instant)>>,
}

impl Log {
    fn note(&self, what: &'static str) {
        self.times.lock().expect("no panic").push((what, Instant::now()));
    }
}

pub(crate) struct Site {
    ports: [u16; 2],
    pub(crate) issuer: String,
    pub(crate) log: Arc<Log>,
    /// Of the first instance.
    pub(crate) sessions: Sessions<String>,
    servers: Vec<tokio::task::JoinHandle<()>>,
}

pub(crate) fn issuer() -> String {
    std::env::var("TEST_OIDC_ISSUER").unwrap_or_else(|_| {
        panic!("TEST_OIDC_ISSUER is not set: run this by tests/servers/oidc_provider, which sets it")
    })
}

/// Sends a request, and answers with its JSON.
pub(crate) async fn send(method: &str, uri: &str, kind: &str, body: String) -> (u16, Value) {
    let request = axum::http::Request::builder().method(method).uri(uri).header(header::CONTENT_TYPE, kind);
    let client = ReqwestClient::new().expect("a client");
    let response =
        client.send(request.body(body.into_bytes()).expect("a request")).await.expect("a response");
    (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap_or_default())
}

async fn admit(identity: Identity, log: Arc<Log>) -> Result<User<String>, Problem> {
    let email = identity.verified_email().ok_or(Problem::Refused)?.to_owned();
    log.tokens.lock().expect("no panic").insert(identity.subject.clone(), identity.tokens.access_token);
    Ok(User::new(&identity.subject, email))
}

/// The reload hook: asks the provider whether the user is still good.
async fn ask(
    name: Arc<str>,
    oidc: Arc<OnceLock<Oidc<String>>>,
    log: Arc<Log>,
) -> Result<Reload<String>, &'static str> {
    let token = log.tokens.lock().expect("no panic").get(&*name).cloned();
    let (Some(token), Some(oidc)) = (token, oidc.get()) else { return Ok(Reload::Keep) };
    match oidc.userinfo(&token, &name).await {
        Ok(_) => Ok(Reload::Keep),
        Err(Problem::AccessDenied) => Ok(Reload::revoke("locked at the provider")),
        Err(problem) => Err(problem.code()),
    }
}

impl Site {
    /// Starts the instances, and registers them. The provider sends its logout requests to the second one.
    pub(crate) async fn start() -> Self {
        Self::with(|cookies| cookies).await
    }

    pub(crate) async fn with(options: fn(CookieOptions) -> CookieOptions) -> Self {
        let issuer = issuer();
        let mut listeners = Vec::new();
        for _ in 0..2 {
            listeners.push(TcpListener::bind("127.0.0.1:0").await.expect("a port"));
        }
        let ports = [0, 1].map(|index: usize| listeners[index].local_addr().expect("an address").port());
        let at = |index: usize, path: &str| format!("http://localhost:{}{path}", ports[index]);
        let client = json!({
            "redirect_uris": [at(0, "/auth/sign-in/callback"), at(1, "/auth/sign-in/callback")],
            "post_logout_redirect_uris": [at(0, "/auth/signed-out"), at(1, "/auth/signed-out")],
            "backchannel_logout_uri": at(1, "/auth/backchannel-logout"),
            "backchannel_logout_session_required": true,
        });
        let (status, client) =
            send("POST", &format!("{issuer}/reg"), "application/json", client.to_string()).await;
        assert_eq!(status, 201, "{client}");
        let (store, log) = (MemoryStore::new().expect("random bytes"), Arc::<Log>::default());
        let (mut servers, mut all) = (Vec::new(), Vec::new());
        for (index, listener) in listeners.into_iter().enumerate() {
            let (app, sessions) = app(&store, &log, &issuer, &client, at(index, "/auth"), options);
            all.push(sessions);
            servers.push(tokio::spawn(async move { axum::serve(listener, app).await.expect("it serves") }));
        }
        Self { ports, issuer, log, sessions: all.swap_remove(0), servers }
    }

    /// A URL of the first instance.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.ports[0])
    }

    /// A URL of the second instance.
    pub(crate) fn other(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.ports[1])
    }

    pub(crate) fn requests(&self, start: &str) -> Vec<String> {
        let requests = self.log.requests.lock().expect("no panic");
        requests.iter().filter(|line| line.starts_with(start)).cloned().collect()
    }

    /// From the logout request on one instance to the end of the stream on the other.
    pub(crate) fn took(&self) -> Duration {
        let times = self.log.times.lock().expect("no panic");
        let at = |what| times.iter().find(|(noted, _)| *noted == what).expect("noted").1;
        at("ended").duration_since(at("logout"))
    }

    pub(crate) fn has_event(&self, event: &str) -> bool {
        self.log.events.lock().expect("no panic").iter().any(|seen| seen == event)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.servers.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

fn app(
    store: &MemoryStore,
    log: &Arc<Log>,
    issuer: &str,
    client: &Value,
    address: String,
    options: fn(CookieOptions) -> CookieOptions,
) -> (Router, Sessions<String>) {
    let (kept, hooks, reloads) = (log.clone(), log.clone(), log.clone());
    let provider = Arc::<OnceLock<Oidc<String>>>::default();
    let asked = provider.clone();
    let keys = Keyring::hs256(b"3q2+7wQmV1xK9rT0pLsYzBnH5cJ8uGfE").expect("a key");
    let builder = Sessions::<String>::builder(keys).store(store.clone()).on_event(move |event| {
        let name = format!("{}/{}", event.kind.name(), event.kind.outcome().unwrap_or_default());
        kept.events.lock().expect("no panic").push(name);
    });
    let builder =
        builder.cookies(options).reload_claims(move |name, _| ask(name, asked.clone(), reloads.clone()));
    let sessions = crate::device_bound::device_bound(builder).build().expect("valid settings");
    let text = |name: &str| client[name].as_str().expect("a text").to_owned();
    let http = ReqwestClient::new().expect("a client");
    let oidc = Oidc::builder(&sessions, http, issuer, text("client_id"), address)
        .client_secret(text("client_secret"))
        .scopes(["email"])
        .userinfo(true)
        .build(move |identity| admit(identity, hooks.clone()))
        .expect("valid settings");
    assert!(provider.set(oidc.clone()).is_ok());
    let pages = Router::new()
        .route("/account", get(account))
        .route("/stream", get(live))
        .route_layer(sessions.layer().with_reject(RedirectToLogin::new("/auth/sign-in")));
    let router = Router::new()
        .route("/", get(|| async { page("home", "<a id=in href=/account>account</a>") }))
        .merge(pages)
        .merge(oidc.routes())
        .layer(from_fn_with_state(log.clone(), note))
        .layer(Extension(log.clone()))
        .with_state(sessions.clone());
    (router, sessions)
}

/// Writes requests down. Those of browsers have no body that matters.
async fn note(State(log): State<Arc<Log>>, request: Request, next: Next) -> Response {
    let line = format!("{} {}", request.method(), request.uri());
    if request.uri().path() == "/auth/backchannel-logout" {
        log.note("logout");
    }
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 100_000).await.expect("a short body");
    let line = if body.is_empty() { line } else { format!("{line} {}", String::from_utf8_lossy(&body)) };
    log.requests.lock().expect("no panic").push(line);
    next.run(Request::from_parts(parts, Body::from(body))).await
}

fn page(title: &str, body: &str) -> Html<String> {
    Html(format!("<!doctype html><title>{title}</title><link rel=icon href=data:,><h1>{title}</h1>{body}"))
}

async fn account(session: Session<String>) -> Html<String> {
    page(
        &format!("{} {}", session.subject(), session.claims()),
        "<form method=post action=/auth/sign-out><button id=out>Sign out</button></form>",
    )
}

/// One event at the start, and one when the session has ended.
async fn live(session: Session<String>, Extension(log): Extension<Arc<Log>>) -> impl IntoResponse {
    type Step = Option<Pin<Box<dyn Future<Output = ()> + Send>>>;
    let first: Result<Event, Infallible> = Ok(Event::default().data("open"));
    let ended = session.ended();
    let ended: Step = Some(Box::pin(async move {
        ended.await;
        log.note("ended");
    }));
    Sse::new(stream::unfold((Some(first), ended), |(first, ended)| async move {
        match (first, ended) {
            (Some(first), ended) => Some((first, (None, ended))),
            (None, Some(ended)) => {
                ended.await;
                Some((Ok(Event::default().event("ended").data("-")), (None, None)))
            }
            (None, None) => None,
        }
    }))
}
