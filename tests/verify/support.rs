//! An issuer with one store and one clock, and services next to it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Json, Router, body::Body, routing::get};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};
use tower::ServiceExt as _;
use tower_sliding_sessions::{
    Event, EventKind, HttpClient, HttpClientError, Keyring, ManualClock, PublicKey, Rejection, Session,
    SessionLayer, Sessions, SetCookies, Timestamp, Verified, Verifier, VerifierBuilder, Visitor,
    store::MemoryStore,
};

use crate::vectors::{ED25519_PUBLIC, ED25519_V1};

pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const ISSUER: &str = "https://shop.example";
pub(crate) const BILLING: &str = "https://billing.example";
pub(crate) const ADDRESS: &str = "https://shop.example/.well-known/jwks.json";

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Profile {
    pub(crate) role: String,
}

pub(crate) type Builder = VerifierBuilder<Profile>;

pub(crate) struct Issuer {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) sessions: Sessions<Profile>,
    pub(crate) store: crate::feed::Switch,
    app: Router,
}

/// The tokens of a client.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl Issuer {
    pub(crate) fn new() -> Self {
        Self::with_keys(Keyring::ed25519_pem(ED25519_V1).expect("a key").with_kid("k").expect("a name"))
    }

    pub(crate) fn with_keys(keys: Keyring) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(NOW)));
        let store = crate::feed::Switch::new(MemoryStore::new().expect("random bytes"));
        let sessions = Sessions::builder(keys)
            .issuer(ISSUER)
            .realm("shop")
            .store(store.clone())
            .clock(clock.clone())
            .build()
            .expect("valid settings");
        let app = Router::new()
            .route("/me", get(async |session: Session<Profile>| session.subject().to_owned()))
            .route("/billing", get(billing_token))
            .route_layer(sessions.layer())
            .route("/login", axum::routing::post(login))
            .with_state(sessions.clone());
        Self { clock, sessions, store, app }
    }

    pub(crate) fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub(crate) async fn sign_in(&self) -> Tokens {
        let answer = send(&self.app, Method::POST, "/login", &[]).await;
        assert_eq!(answer.status, StatusCode::OK);
        Tokens { access: answer.cookie("__Host-access"), refresh: answer.cookie("__Host-refresh") }
    }

    /// A token for the billing service. `query` says what is in it.
    pub(crate) async fn billing(&self, tokens: &Tokens, query: &str) -> String {
        let cookie = format!("__Host-access={}", tokens.access);
        let answer = send(&self.app, Method::GET, &format!("/billing?{query}"), &[("cookie", &cookie)]).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.body
    }

    /// The session that a token names.
    pub(crate) fn session_of(token: &str) -> tower_sliding_sessions::SessionId {
        let sid = payload(token)["sid"].as_str().expect("a sid").to_owned();
        tower_sliding_sessions::SessionId::decode(&sid).expect("a session ID")
    }
}

pub(crate) fn payload(token: &str) -> serde_json::Value {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let payload = token.split('.').nth(1).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("JSON")
}

async fn login(visitor: Visitor<Profile>) -> Result<SetCookies, Rejection> {
    Ok(visitor.sign_in("ann", Profile { role: "admin".to_owned() }).by(["pwd"]).await?)
}

#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    scope: Option<String>,
    #[serde(default)]
    audience: Option<String>,
    #[serde(default)]
    sid: bool,
}

async fn billing_token(
    session: Session<Profile>,
    axum::extract::Query(wanted): axum::extract::Query<Wanted>,
) -> Result<String, Rejection> {
    let audience = wanted.audience.unwrap_or_else(|| BILLING.to_owned());
    let mut token = session.token_for(audience).claims(&Profile { role: "payer".to_owned() });
    if let Some(scope) = wanted.scope {
        token = token.scope(scope);
    }
    if wanted.sid {
        token = token.with_session_id();
    }
    Ok(token.mint()?)
}

/// What a handler of the service saw.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) subject: String,
    pub(crate) role: String,
    pub(crate) session: bool,
    pub(crate) scopes: Vec<String>,
    pub(crate) client: Option<String>,
    pub(crate) authenticated_at: Option<u64>,
    pub(crate) methods: Vec<String>,
    pub(crate) expires_in: u64,
}

pub(crate) async fn me(token: Verified<Profile>) -> Json<Seen> {
    Json(Seen {
        subject: token.subject().to_owned(),
        role: token.claims().role.clone(),
        session: token.session_id().is_some(),
        scopes: token.scopes().map(str::to_owned).collect(),
        client: token.client_id().map(str::to_owned),
        authenticated_at: token.authenticated_at().map(Timestamp::as_secs),
        methods: token.methods().to_vec(),
        expires_in: token.expires_in().as_secs(),
    })
}

pub(crate) fn public() -> PublicKey {
    PublicKey::from_pem(ED25519_PUBLIC).expect("a public key").with_kid("k").expect("a name")
}

/// A service next to an issuer.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) app: Router,
    pub(crate) verifier: Verifier<Profile>,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Service {
    /// With the issuer's public key.
    pub(crate) fn new(issuer: &Issuer, tune: impl FnOnce(Builder) -> Builder) -> Self {
        Self::built(Verifier::with_keys([public()]), issuer, tune)
    }

    /// With the issuer's address.
    pub(crate) fn at(issuer: &Issuer, client: &Script, tune: impl FnOnce(Builder) -> Builder) -> Self {
        let address = ADDRESS.parse().expect("an address");
        Self::built(Verifier::from_jwks(address, client.clone()), issuer, tune)
    }

    fn built(builder: Builder, issuer: &Issuer, tune: impl FnOnce(Builder) -> Builder) -> Self {
        let events = Arc::<Mutex<Vec<Event>>>::default();
        let log = events.clone();
        let builder = builder
            .issuer(ISSUER)
            .realm("shop")
            .audience(BILLING)
            .accept_session_tokens()
            .clock(issuer.clock.clone())
            .on_event(move |event| log.lock().expect("no panic").push(event.clone()));
        let verifier = tune(builder).build().expect("valid settings");
        let app = Router::new().route("/me", get(me).post(me)).route_layer(verifier.layer());
        Self { app, verifier, events }
    }

    pub(crate) fn routed(
        self,
        route: impl FnOnce(Router, &Verifier<Profile>, SessionLayer<Profile>) -> Router,
    ) -> Self {
        Self { app: route(Router::new(), &self.verifier, self.verifier.layer()), ..self }
    }

    pub(crate) async fn get(&self, token: &str) -> Answer {
        self.get_path("/me", token).await
    }

    pub(crate) async fn get_path(&self, path: &str, token: &str) -> Answer {
        send(&self.app, Method::GET, path, &[("authorization", &format!("Bearer {token}"))]).await
    }

    pub(crate) async fn status(&self, token: &str) -> u16 {
        self.get(token).await.status.as_u16()
    }

    /// The events above DEBUG.
    pub(crate) fn reported(&self) -> Vec<EventKind> {
        let events = std::mem::take(&mut *self.events.lock().expect("no panic"));
        let is_reported = |event: &Event| event.kind.severity() > tower_sliding_sessions::Severity::Debug;
        events.into_iter().filter(is_reported).map(|event| event.kind).collect()
    }

    /// The causes of failed fetches.
    pub(crate) fn fetch_failures(&self) -> Vec<String> {
        let events = std::mem::take(&mut *self.events.lock().expect("no panic"));
        let failures = events.into_iter().filter(|event| event.kind == EventKind::KeyFetchFailed);
        failures.map(|event| event.cause.expect("a cause").to_string()).collect()
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    fn cookie(&self, name: &str) -> String {
        let lines = self.headers.get_all(header::SET_COOKIE).iter().map(|line| line.to_str().expect("ASCII"));
        let value =
            |line: &str| Some(line.strip_prefix(name)?.strip_prefix('=')?.split(';').next()?.to_owned());
        lines.filter_map(value).next().expect("the cookie")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }

    pub(crate) fn seen(&self) -> Seen {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

pub(crate) async fn send(app: &Router, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, "app.example");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).expect("a request");
    let (parts, body) = app.clone().oneshot(request).await.expect("infallible").into_parts();
    let body = body.collect().await.expect("a body").to_bytes().to_vec();
    Answer { status: parts.status, headers: parts.headers, body: String::from_utf8(body).expect("UTF-8") }
}

/// What the issuer's address answers.
#[derive(Clone)]
pub(crate) enum Reply {
    Is(StatusCode, Vec<(&'static str, &'static str)>, Vec<u8>),
    Fails,
    Hangs,
}

impl Reply {
    pub(crate) fn keys(keys: &[PublicKey]) -> Self {
        Self::keys_for(keys, "max-age=60")
    }

    pub(crate) fn keys_for(keys: &[PublicKey], cache: &'static str) -> Self {
        let keys: Vec<_> = keys.iter().map(PublicKey::to_jwk).collect();
        let set = format!(r#"{{"keys":[{}]}}"#, keys.join(","));
        Self::Is(StatusCode::OK, vec![("cache-control", cache)], set.into_bytes())
    }

    pub(crate) fn body(body: impl Into<Vec<u8>>) -> Self {
        Self::Is(StatusCode::OK, Vec::new(), body.into())
    }
}

/// An HTTP client that answers by a script, and counts. The last reply is repeated.
#[derive(Clone)]
pub(crate) struct Script(Arc<Mutex<Replies>>);

/// What comes next, and the requests until now.
type Replies = (VecDeque<Reply>, Vec<Request<Vec<u8>>>);

impl Script {
    pub(crate) fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self(Arc::new(Mutex::new((replies.into_iter().collect(), Vec::new()))))
    }

    /// From now on, this is the reply.
    pub(crate) fn set(&self, reply: Reply) {
        self.0.lock().expect("no panic").0 = [reply].into();
    }

    pub(crate) fn fetches(&self) -> usize {
        self.0.lock().expect("no panic").1.len()
    }

    pub(crate) fn last_header(&self, name: &str) -> Option<String> {
        let script = self.0.lock().expect("no panic");
        let value = script.1.last().expect("a request").headers().get(name)?;
        Some(value.to_str().expect("ASCII").to_owned())
    }
}

impl HttpClient for Script {
    async fn send(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, HttpClientError> {
        let reply = {
            let mut script = self.0.lock().expect("no panic");
            script.1.push(request);
            let next = if script.0.len() > 1 { script.0.pop_front() } else { script.0.front().cloned() };
            next.expect("a reply")
        };
        match reply {
            Reply::Is(status, headers, body) => {
                let mut response = Response::builder().status(status);
                for (name, value) in headers {
                    response = response.header(name, value);
                }
                Ok(response.body(body).expect("a response"))
            }
            Reply::Fails => Err(HttpClientError::new("connection refused")),
            Reply::Hangs => std::future::pending().await,
        }
    }
}

/// Lets background tasks run.
pub(crate) async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}
