//! One store, one clock, one application.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Body,
    extract::Query,
    routing::{any, post},
};
use http::{Request, header};
use serde::{Deserialize, Serialize};
use tower::ServiceExt as _;
use tower_sliding_sessions::{
    EventKind, Keyring, ManualClock, RedirectToLogin, Rejection, Session, Sessions, SessionsBuilder,
    SetCookies, Timestamp, Visitor,
    oauth::{Grant, GrantError, OAuth},
    store::MemoryStore,
};

use super::{Answer, Client, Probe};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Profile {
    pub(crate) role: String,
}

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Probe,
    pub(crate) sessions: Sessions<Profile>,
    app: Router,
    events: Arc<Mutex<Vec<EventKind>>>,
}

/// With `TEST_DEVICE_BOUND`, all these tests run with device-bound sessions turned on. Their clients bind none.
fn device_bound(builder: SessionsBuilder<Profile>) -> SessionsBuilder<Profile> {
    #[cfg(all(feature = "device-bound", feature = "test-util"))]
    if std::env::var_os("TEST_DEVICE_BOUND").is_some() {
        let settings = tower_sliding_sessions::DeviceBound::new("/auth/device");
        return builder.device_bound(settings.short_lifetimes_for_tests());
    }
    builder
}

impl World {
    pub(crate) fn new() -> Self {
        Self::tuned(|builder| builder)
    }

    pub(crate) fn tuned(tune: impl Fn(SessionsBuilder<Profile>) -> SessionsBuilder<Profile>) -> Self {
        Self::around(Probe::new(MemoryStore::new().unwrap()), tune)
    }

    pub(crate) fn around(
        store: Probe,
        tune: impl Fn(SessionsBuilder<Profile>) -> SessionsBuilder<Profile>,
    ) -> Self {
        Self::with_keys(Keyring::hs256(b"3q2+7wQmV1xK9rT0pLsYzBnH5cJ8uGfE").unwrap(), store, tune)
    }

    pub(crate) fn with_keys(
        keys: Keyring,
        store: Probe,
        tune: impl Fn(SessionsBuilder<Profile>) -> SessionsBuilder<Profile>,
    ) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
        let events = Arc::<Mutex<Vec<EventKind>>>::default();
        let builder = || {
            let recorder = events.clone();
            let builder = Sessions::builder(keys.clone())
                .store(store.clone())
                .store_deadline(Duration::from_secs(600))
                .clock(clock.clone())
                .on_event(move |event| recorder.lock().unwrap().push(event.kind.clone()));
            tune(builder.timing(|timing| timing.crash_window(Duration::ZERO)))
        };
        let sessions = match device_bound(builder()).build() {
            // Not with these cookies.
            #[cfg(feature = "device-bound")]
            Err(tower_sliding_sessions::BuildError::DeviceBound(_)) => builder().build(),
            built => built,
        };
        let sessions = sessions.unwrap();
        Self { app: application(&sessions), clock, store, sessions, events }
    }

    pub(crate) fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// A client that has signed in.
    pub(crate) async fn signed_in(&self, name: &str) -> Client {
        let password = [("grant_type", "password"), ("username", name), ("password", "right")];
        let answer = self.token(&password).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        Client::of(&answer)
    }

    /// The cookies of a browser that has signed in.
    pub(crate) async fn cookies_of(&self, name: &str) -> String {
        let login = request("POST", &format!("/login?name={name}"));
        let answer = self.send(login.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let pairs = answer.set_cookies().into_iter().map(|line| line.split(';').next().unwrap().to_owned());
        pairs.collect::<Vec<_>>().join("; ")
    }

    pub(crate) async fn token(&self, parameters: &[(&str, &str)]) -> Answer {
        self.post("/oauth/token", parameters).await
    }

    pub(crate) async fn post(&self, path: &str, parameters: &[(&str, &str)]) -> Answer {
        self.send(form(path).body(Body::from(encoded(parameters))).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask("GET", path, headers).await
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let request = headers
            .iter()
            .fold(request(method, path), |request, (name, value)| request.header(*name, *value));
        self.send(request.body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        Answer::of(self.app.clone().oneshot(request).await.unwrap()).await
    }

    /// How often an event occurred.
    pub(crate) fn count(&self, kind: &EventKind) -> usize {
        self.events.lock().unwrap().iter().filter(|event| *event == kind).count()
    }

    /// All events as text.
    pub(crate) fn story(&self) -> String {
        format!("{:?}", self.events.lock().unwrap())
    }
}

fn request(method: &str, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(path).header(header::HOST, "app.example")
}

/// A request builder for a form, without its body.
pub(crate) fn form(path: &str) -> http::request::Builder {
    request("POST", path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
}

fn encoded(parameters: &[(&str, &str)]) -> String {
    let escaped = |text: &str| {
        let keep = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        let one = |b: u8| if keep(b) { char::from(b).to_string() } else { format!("%{b:02X}") };
        text.bytes().map(one).collect::<String>()
    };
    let pairs = parameters.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value)));
    pairs.collect::<Vec<_>>().join("&")
}

fn application(sessions: &Sessions<Profile>) -> Router {
    let both = Router::new()
        .route("/me", any(me))
        .route("/logout", post(logout))
        .route("/promote", post(promote))
        .route("/token-for", any(token_for))
        .route_layer(sessions.layer().accept_bearer());
    let optional = Router::new().route("/optional", any(optional));
    let optional = optional.route_layer(sessions.layer().optional().accept_bearer());
    let pages = Router::new().route("/page", any(me));
    let pages =
        pages.route_layer(sessions.layer().accept_bearer().with_reject(RedirectToLogin::new("/login-page")));
    let browsers = Router::new().route("/browsers", any(me)).route_layer(sessions.layer());
    let oauth = OAuth::new(sessions)
        .grant("password", async |request| {
            let (name, password) = (request.username()?, request.password()?);
            match password {
                "right" => Ok(Grant::new(name, Profile { role: "user".into() }).by(["pwd"])),
                "later" => Err(GrantError::Unavailable),
                _ => Err(GrantError::InvalidGrant),
            }
        })
        .grant("urn:example:device", async |request| match request.parameter("device_code") {
            None => Err(GrantError::InvalidRequest),
            Some("pending") => Err(GrantError::AuthorizationPending),
            Some("hasty") => Err(GrantError::SlowDown),
            Some("refused") => Err(GrantError::AccessDenied),
            Some("late") => Err(GrantError::ExpiredToken),
            Some("long") => Ok(Grant::new("ann", Profile { role: "x".repeat(4000) })),
            Some(_) if request.head().headers.contains_key("x-client") => {
                Ok(Grant::new("ann", Profile::default()))
            }
            Some(_) => Err(GrantError::InvalidClient),
        })
        .introspection(|head| head.headers.get("authorization").is_some_and(|it| it == "Basic c2VydmljZQ=="));
    assert!(format!("{oauth:?}").contains("password"), "the name of a grant is no secret");
    Router::new()
        .route("/login", post(login))
        .merge(both)
        .merge(optional)
        .merge(pages)
        .merge(browsers)
        .nest("/oauth", oauth.router())
        .with_state(sessions.clone())
}

#[derive(Deserialize)]
struct Login {
    name: String,
}

async fn login(visitor: Visitor<Profile>, Query(login): Query<Login>) -> Result<SetCookies, Rejection> {
    Ok(visitor.sign_in(login.name, Profile::default()).await?)
}

async fn logout(session: Session<Profile>) -> Result<SetCookies, Rejection> {
    Ok(session.sign_out().await?)
}

/// Adds a second factor and changes the role.
async fn promote(session: Session<Profile>) -> Result<(SetCookies, SetCookies), Rejection> {
    let promoted = session.update(&Profile { role: "boss".into() }).await?;
    Ok((promoted, session.reauthenticate(["otp"]).await?))
}

#[derive(Deserialize)]
struct TokenFor {
    audience: String,
    seconds: Option<u64>,
    scope: Option<String>,
}

/// Mints a token for another service.
async fn token_for(
    session: Session<Profile>,
    Query(wanted): Query<TokenFor>,
) -> Result<Json<serde_json::Value>, Rejection> {
    let mut token = session.token_for(wanted.audience).claims(&serde_json::json!({ "tenant": 7 }));
    if let Some(seconds) = wanted.seconds {
        token = token.lifetime(Duration::from_secs(seconds));
    }
    if let Some(scope) = wanted.scope {
        token = token.scope(scope);
    }
    Ok(Json(serde_json::json!({ "token": token.mint()? })))
}

async fn me(session: Session<Profile>) -> Json<serde_json::Value> {
    Json(serde_json::json!({
        "subject": session.subject(),
        "generation": session.generation(),
        "role": session.claims().role,
        "methods": session.methods(),
        "renewed": session.renewed().is_some(),
        "reauthenticated": session.authenticated_within(Duration::from_secs(60)),
    }))
}

async fn optional(session: Option<Session<Profile>>) -> Json<Option<String>> {
    Json(session.map(|session| session.subject().to_owned()))
}

/// Yields until all tasks wait.
pub(crate) async fn idle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// Waits for a result of other tasks.
pub(crate) async fn until(is_so: impl AsyncFn() -> bool) {
    for _ in 0..1000 {
        if is_so().await {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("the condition never became true");
}
