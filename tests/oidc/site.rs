//! The application, and browsers without a browser.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{Method, Request, Response, StatusCode, Uri, header},
    routing::get,
};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tower_sliding_sessions::{
    CookieJar, Keyring, ManualClock, Session, Sessions, SessionsBuilder, Timestamp,
    oidc::{Identity, Oidc, OidcBuilder, Problem, User},
};

use crate::fake::{CLIENT, Fake, ISSUER, merge, sign};

pub(crate) const NOW: u64 = 1_800_000_000;

/// The events: name and outcome.
pub(crate) type Events = Arc<Mutex<Vec<(&'static str, Option<&'static str>)>>>;

/// An instance of the application.
pub(crate) struct Site {
    pub(crate) router: Router,
    pub(crate) oidc: Oidc<String>,
    pub(crate) sessions: Sessions<String>,
    pub(crate) provider: Fake,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) events: Events,
}

pub(crate) type Reply = Response<Body>;

async fn me(session: Session<String>, State(_): State<Sessions<String>>) -> String {
    let recent = session.authenticated_within(Duration::from_secs(60));
    let (at, methods) = (session.authenticated_at().map(Timestamp::as_secs), session.methods());
    json!({ "sub": session.subject(), "name": session.claims(), "recent": recent, "at": at, "amr": methods })
        .to_string()
}

/// A response whose body ends with the session.
async fn stream(session: Session<String>) -> Body {
    let ended = session.ended();
    Body::from_stream(futures_util::stream::once(async move {
        ended.await;
        Ok::<_, std::convert::Infallible>("ended")
    }))
}

async fn admit(identity: Identity) -> Result<User<String>, Problem> {
    match &*identity.subject {
        "locked" => Err(Problem::Refused),
        "panics" => panic!("as the test asks for"),
        name => {
            assert_eq!(identity.issuer, ISSUER);
            Ok(User::new(format!("user-{name}"), identity.text("name").unwrap_or("none").to_owned()))
        }
    }
}

impl Site {
    pub(crate) fn new() -> Self {
        Self::with(|sessions| sessions, |oidc| oidc)
    }

    pub(crate) fn with(
        sessions: impl FnOnce(SessionsBuilder<String>) -> SessionsBuilder<String>,
        oidc: impl FnOnce(OidcBuilder<String>) -> OidcBuilder<String>,
    ) -> Self {
        Self::instance(Fake::new(), Arc::new(ManualClock::new(Timestamp::from_secs(NOW))), sessions, oidc)
    }

    pub(crate) fn instance(
        provider: Fake,
        clock: Arc<ManualClock>,
        sessions: impl FnOnce(SessionsBuilder<String>) -> SessionsBuilder<String>,
        oidc: impl FnOnce(OidcBuilder<String>) -> OidcBuilder<String>,
    ) -> Self {
        let events = Events::default();
        let kept = events.clone();
        let keys = Keyring::hs256(b"3q2+7wQmV1xK9rT0pLsYzBnH5cJ8uGfE").expect("a key");
        let builder = Sessions::builder(keys).clock(clock.clone());
        let builder = builder.on_event(move |event| {
            kept.lock().expect("no panic").push((event.kind.name(), event.kind.outcome()));
        });
        let sessions = sessions(builder).build().expect("a good configuration");
        let builder = Oidc::builder(&sessions, provider.clone(), ISSUER, CLIENT, "https://app.example/auth");
        let oidc = oidc(builder.client_secret("a secret")).build(admit).expect("a good configuration");
        let router = Router::new()
            .route("/me", get(me))
            .route("/stream", get(stream))
            .route_layer(sessions.layer())
            .merge(oidc.routes())
            .with_state(sessions.clone());
        Self { router, oidc, sessions, provider, clock, events }
    }

    pub(crate) async fn send(
        &self,
        jar: &mut CookieJar,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, "app.example");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = jar.add_to(request.body(body.into()).expect("a request"));
        let response = self.router.clone().oneshot(request).await.expect("a response");
        jar.keep(&response);
        response
    }

    pub(crate) async fn get(&self, jar: &mut CookieJar, path: &str) -> Reply {
        self.send(jar, Method::GET, path, &[], Body::empty()).await
    }

    /// What `/me` says, or its status.
    pub(crate) async fn me(&self, jar: &mut CookieJar) -> Result<Value, StatusCode> {
        let response = self.get(jar, "/me").await;
        match response.status() {
            StatusCode::OK => Ok(serde_json::from_str(&text(response).await).expect("JSON")),
            status => Err(status),
        }
    }

    /// Opens a stream, and returns a future that ends with it.
    pub(crate) async fn stream(&self, jar: &mut CookieJar) -> impl Future<Output = String> + use<> {
        text(self.get(jar, "/stream").await)
    }

    /// Begins a sign-in.
    pub(crate) async fn start(&self, jar: &mut CookieJar, query: &str) -> Started {
        let response = self.get(jar, &format!("/auth/sign-in{query}")).await;
        assert_eq!(response.status(), StatusCode::SEE_OTHER);
        Started::of(location(&response))
    }

    /// The provider's answer to a sign-in: an ID token of `alice` with other `claims`.
    pub(crate) async fn answer(&self, jar: &mut CookieJar, started: &Started, claims: Value) -> Reply {
        let mut all = started.claims(self.sessions.now());
        merge(&mut all, &claims);
        self.answer_with(jar, started, sign(&all)).await
    }

    pub(crate) async fn answer_with(
        &self,
        jar: &mut CookieJar,
        started: &Started,
        id_token: String,
    ) -> Reply {
        started.at(&self.provider, id_token);
        self.get(jar, &started.callback()).await
    }

    /// Signs in.
    pub(crate) async fn sign_in(&self, jar: &mut CookieJar, claims: Value) {
        let started = self.start(jar, "").await;
        let response = self.answer(jar, &started, claims).await;
        assert_eq!(location(&response), "/");
    }

    /// The outcomes of events of this name. Forgets all events.
    pub(crate) fn outcomes(&self, name: &str) -> Vec<&'static str> {
        let events = std::mem::take(&mut *self.events.lock().expect("no panic"));
        events.iter().filter(|(event, _)| *event == name).map(|(_, outcome)| outcome.unwrap_or("")).collect()
    }
}

/// What the browser carries to the provider.
pub(crate) struct Started {
    pub(crate) uri: Uri,
    pub(crate) state: String,
    pub(crate) nonce: String,
}

impl Started {
    pub(crate) fn of(location: &str) -> Self {
        let uri: Uri = location.parse().expect("a URI");
        let (state, nonce) = (parameter(&uri, "state"), parameter(&uri, "nonce"));
        assert_eq!(parameter(&uri, "code_challenge_method").as_deref(), Some("S256"));
        Self { state: state.expect("a state"), nonce: nonce.expect("a nonce"), uri }
    }

    pub(crate) fn claims(&self, now: Timestamp) -> Value {
        let now = now.as_secs();
        json!({
            "iss": ISSUER, "aud": CLIENT, "sub": "alice", "nonce": self.nonce, "iat": now, "exp": now + 60,
            "auth_time": now - 5, "amr": ["pwd", "otp"], "sid": "provider-session", "name": "Alice",
        })
    }

    /// The provider knows the code challenge of this sign-in, and answers with this token.
    pub(crate) fn at(&self, provider: &Fake, id_token: String) {
        let mut provider = provider.state();
        provider.challenge = parameter(&self.uri, "code_challenge").expect("a challenge");
        provider.id_token = id_token;
    }

    pub(crate) fn callback(&self) -> String {
        format!("/auth/sign-in/callback?code=c&state={}&iss=https%3A%2F%2Fprovider.example", self.state)
    }
}

/// The name and the value of the cookie of an attempt, in a `Cookie` or `Set-Cookie` header.
pub(crate) fn attempt_cookie(header: &str, state: &str) -> (String, String) {
    let pairs = header.split("; ").filter_map(|pair| pair.split_once('='));
    let mut found = pairs.filter(|(name, _)| name.starts_with("__Host-oidc-") && name.ends_with(&state[..8]));
    let (name, value) = found.next().expect("a cookie");
    (name.to_owned(), value.to_owned())
}

pub(crate) fn parameter(uri: &Uri, name: &str) -> Option<String> {
    let pairs = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(found, _)| *found == name).map(|(_, value)| value.to_owned()).next()
}

pub(crate) fn location(response: &Reply) -> &str {
    response.headers().get(header::LOCATION).map_or("", |to| to.to_str().expect("ASCII"))
}

pub(crate) async fn text(response: Reply) -> String {
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    String::from_utf8(body.to_vec()).expect("UTF-8")
}
