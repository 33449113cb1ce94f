//! An application with one signed-in user, and its responses.

use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    body::Body,
    extract::Path,
    http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header},
    routing::{get, post},
};
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};
use tower::ServiceExt as _;
use tower_sliding_sessions::{
    Event, Keyring, ManualClock, Rejection, Session, Sessions, SessionsBuilder, SetCookies, Timestamp,
    Visitor,
};

use crate::{forge::Forge, store::Counted};

/// A formerly random secret, now public.
pub(crate) const SECRET: &[u8; 32] = b"u7Xq2LmV9sKd4RzB1wYpTf6NhJc8GaEo";
pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const ACCESS: &str = "__Host-access";
pub(crate) const REFRESH: &str = "__Host-refresh";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Profile {
    pub(crate) name: String,
    pub(crate) roles: Vec<String>,
    /// Any JSON: the application itself is not strict.
    #[serde(default)]
    pub(crate) extra: serde_json::Value,
}

pub(crate) type Builder = SessionsBuilder<Profile>;

/// Both cookies of a session.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

pub(crate) struct World {
    pub(crate) app: Router,
    pub(crate) sessions: Sessions<Profile>,
    pub(crate) store: Counted,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) events: Arc<Mutex<Vec<Event>>>,
    pub(crate) legitimate: Pair,
    /// The response to a request without cookies.
    pub(crate) anonymous: Answer,
    /// The response to the legitimate cookies.
    pub(crate) welcome: Answer,
    pub(crate) forge: Forge,
    /// A service that only verifies, where the settings are the defaults.
    #[cfg(all(feature = "verify", any(feature = "aws_lc_rs", feature = "rust_crypto")))]
    pub(crate) twin: Option<crate::twin::Twin>,
}

impl World {
    pub(crate) async fn new() -> Self {
        #[cfg_attr(
            not(all(feature = "verify", any(feature = "aws_lc_rs", feature = "rust_crypto"))),
            expect(unused_mut, reason = "there is no twin to add")
        )]
        let mut world =
            Self::with_keys(Keyring::hs256(SECRET).expect("a valid secret"), |builder| builder).await;
        #[cfg(all(feature = "verify", any(feature = "aws_lc_rs", feature = "rust_crypto")))]
        world.add_twin(|builder| builder).await;
        world
    }

    /// From now on, a service that only verifies must refuse and accept the same access tokens.
    #[cfg(all(feature = "verify", any(feature = "aws_lc_rs", feature = "rust_crypto")))]
    pub(crate) async fn add_twin(
        &mut self,
        configure: impl FnOnce(crate::twin::Builder) -> crate::twin::Builder,
    ) {
        let twin = crate::twin::Twin::new(&self.store, &self.clock, configure);
        // It has read the feed.
        while !twin.accepts(&self.forge, self.legitimate.access.as_bytes()).await {
            tokio::task::yield_now().await;
        }
        self.twin = Some(twin);
    }

    pub(crate) async fn with_keys(keys: Keyring, configure: impl FnOnce(Builder) -> Builder) -> Self {
        let store = Counted::new();
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(NOW)));
        let events = Arc::<Mutex<Vec<Event>>>::default();
        let log = events.clone();
        let builder = Sessions::builder(keys)
            .store(store.clone())
            .clock(clock.clone())
            .on_event(move |event| log.lock().expect("no panic").push(event.clone()));
        let sessions = configure(builder).build().expect("valid settings");
        let app = router(&sessions);
        let legitimate = sign_in(&app, "ann").await;
        let forge = Forge::new(SECRET, &legitimate);
        let anonymous = send(&app, Method::GET, "/me", &[]).await;
        assert_eq!(anonymous.status, StatusCode::UNAUTHORIZED);
        let cookies = format!("{ACCESS}={}; {REFRESH}={}", legitimate.access, legitimate.refresh);
        let welcome = send(&app, Method::GET, "/me", &[cookies.as_bytes()]).await;
        assert_eq!(welcome.status, StatusCode::OK);
        Self {
            app,
            sessions,
            store,
            clock,
            events,
            legitimate,
            anonymous,
            welcome,
            forge,
            #[cfg(all(feature = "verify", any(feature = "aws_lc_rs", feature = "rust_crypto")))]
            twin: None,
        }
    }

    /// The response of `GET /me` to these `Cookie` lines.
    pub(crate) async fn get(&self, lines: &[&[u8]]) -> Answer {
        send(&self.app, Method::GET, "/me", lines).await
    }

    pub(crate) async fn get_with(&self, access: Option<&[u8]>, refresh: Option<&[u8]>) -> Answer {
        let cookie = |name: &str, value: &[u8]| [name.as_bytes(), b"=", value].concat();
        let lines: Vec<_> = [(ACCESS, access), (REFRESH, refresh)]
            .into_iter()
            .filter_map(|(name, value)| Some(cookie(name, value?)))
            .collect();
        self.get(&lines.iter().map(Vec::as_slice).collect::<Vec<_>>()).await
    }

    /// The response to these cookies is the anonymous one, and the store is not asked.
    pub(crate) async fn refuses(&self, what: &str, access: Option<&[u8]>, refresh: Option<&[u8]>) {
        let (calls, sessions) = (self.store.calls(), self.store.sessions());
        let answer = self.get_with(access, refresh).await;
        assert_eq!(answer, self.anonymous, "{what}");
        assert!(!answer.headers.contains_key(header::SET_COOKIE), "{what}");
        assert_eq!(self.store.calls(), calls, "{what}: the store was asked");
        assert_eq!(self.store.sessions(), sessions, "{what}: a session began");
        #[cfg(all(feature = "verify", any(feature = "aws_lc_rs", feature = "rust_crypto")))]
        if let (Some(twin), Some(access)) = (&self.twin, access) {
            twin.refuses(what, &self.forge, access).await;
        }
    }

    /// Refused as an access cookie, as a refresh cookie, and as both.
    pub(crate) async fn refuses_token(&self, what: &str, token: impl AsRef<[u8]>) {
        let token = Some(token.as_ref());
        self.refuses(&format!("{what}, as access"), token, None).await;
        self.refuses(&format!("{what}, as refresh"), None, token).await;
        self.refuses(&format!("{what}, as both"), token, token).await;
    }

    /// The legitimate cookies still get the same responses.
    pub(crate) async fn still_serves_legitimate_clients(&self) {
        let (calls, Pair { access, refresh }) = (self.store.calls(), &self.legitimate);
        let both = self.get_with(Some(access.as_bytes()), Some(refresh.as_bytes())).await;
        assert_eq!(both, self.welcome);
        assert_eq!(self.store.calls(), calls);
        let renewed = self.get_with(None, Some(refresh.as_bytes())).await;
        assert_eq!(renewed.status, StatusCode::OK);
        assert_eq!(renewed.body, self.welcome.body);
    }
}

fn router(sessions: &Sessions<Profile>) -> Router {
    Router::new()
        .route("/me", get(async |session: Session<Profile>| Json(session.claims().clone())))
        .route("/logout", post(async |session: Session<Profile>| sign_out(&session).await))
        .route_layer(sessions.layer())
        .route("/login/{name}", post(login))
        .with_state(sessions.clone())
}

async fn login(visitor: Visitor<Profile>, Path(name): Path<String>) -> Result<SetCookies, Rejection> {
    let profile =
        Profile { name: name.clone(), roles: vec!["reader".to_owned()], extra: serde_json::Value::Null };
    Ok(visitor.sign_in(name, profile).await?)
}

async fn sign_out(session: &Session<Profile>) -> Result<SetCookies, Rejection> {
    Ok(session.sign_out().await?)
}

pub(crate) async fn sign_in(app: &Router, name: &str) -> Pair {
    let answer = send(app, Method::POST, &format!("/login/{name}"), &[]).await;
    assert_eq!(answer.status, StatusCode::OK);
    Pair {
        access: answer.cookie(ACCESS).expect("an access cookie"),
        refresh: answer.cookie(REFRESH).expect("a refresh cookie"),
    }
}

pub(crate) async fn send(app: &Router, method: Method, path: &str, lines: &[&[u8]]) -> Answer {
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, "app.example");
    for line in lines {
        request = request.header(header::COOKIE, HeaderValue::from_bytes(line).expect("a header value"));
    }
    let request = request.body(Body::empty()).expect("a request");
    let (parts, body) = app.clone().oneshot(request).await.expect("infallible").into_parts();
    let body = body.collect().await.expect("a body").to_bytes().to_vec();
    // Writes that happen after a response complete before the next request.
    tokio::task::yield_now().await;
    Answer { status: parts.status, headers: parts.headers, body }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?} {}", self.status, self.headers, String::from_utf8_lossy(&self.body))
    }
}

impl Answer {
    /// The value that the response sets a cookie to.
    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        self.headers.get_all(header::SET_COOKIE).iter().find_map(|line| {
            let pair = line.to_str().ok()?.split(';').next()?;
            Some(pair.strip_prefix(name)?.strip_prefix('=')?.to_owned())
        })
    }
}
