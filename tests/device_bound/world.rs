//! The application, on as many instances as a test needs, over one store in memory.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    response::{AppendHeaders, IntoResponse},
    routing::{any, get, post},
};
use http::{HeaderMap, Request, Response, StatusCode};
use tower::ServiceExt as _;
use tower_sliding_sessions::{
    Clock as _, DeviceBound, EventKind, Keyring, ManualClock, Rejection, Session, Sessions, SessionsBuilder,
    SetCookies, SystemClock, Timestamp, Visitor, oauth::OAuth, store::SessionStore,
};

use super::failing_store::FailingStore;

pub(crate) type Claims = String;
type Builder = SessionsBuilder<Claims>;

pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: FailingStore,
    pub(crate) one: Instance,
    pub(crate) events: Arc<Mutex<Vec<EventKind>>>,
}

/// One instance of the application.
#[derive(Clone)]
pub(crate) struct Instance {
    pub(crate) sessions: Sessions<Claims>,
    pub(crate) app: Router,
}

/// A response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

pub(crate) fn bound() -> DeviceBound {
    DeviceBound::new("/auth/device").exclude_path("/static")
}

impl World {
    pub(crate) fn new() -> Self {
        Self::tuned(|builder| builder.device_bound(bound()))
    }

    pub(crate) fn tuned(tune: impl Fn(Builder) -> Builder) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
        let store = FailingStore::new();
        let events = Arc::default();
        let one = Instance::start(&clock, store.clone(), &events, tune);
        Self { clock, store, one, events }
    }

    /// The same over another store, which may look at the time, too.
    pub(crate) fn over(store: impl SessionStore, tune: impl Fn(Builder) -> Builder) -> Self {
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let events = Arc::default();
        let one = Instance::start(&clock, store, &events, tune);
        Self { clock, store: FailingStore::new(), one, events }
    }

    /// One more instance, over this store.
    pub(crate) fn beside(&self, store: impl SessionStore, tune: impl Fn(Builder) -> Builder) -> Instance {
        Instance::start(&self.clock, store, &self.events, tune)
    }

    /// One more instance.
    pub(crate) fn instance(&self, tune: impl Fn(Builder) -> Builder) -> Instance {
        self.beside(self.store.clone(), tune)
    }

    pub(crate) fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn count(&self, is: impl Fn(&EventKind) -> bool) -> usize {
        self.events.lock().expect("no panic").iter().filter(|kind| is(kind)).count()
    }
}

impl Instance {
    fn start(
        clock: &Arc<ManualClock>,
        store: impl SessionStore,
        events: &Arc<Mutex<Vec<EventKind>>>,
        tune: impl Fn(Builder) -> Builder,
    ) -> Self {
        let recorder = events.clone();
        let keys = Keyring::hs256(b"3q2+7wQmV1xK9rT0pLsYzBnH5cJ8uGfE").expect("a good secret");
        let builder = Sessions::builder(keys)
            .store(store)
            .clock(clock.clone())
            .on_event(move |event| recorder.lock().expect("no panic").push(event.kind.clone()));
        let sessions = tune(builder).build().expect("valid settings");
        Self { app: router(&sessions), sessions }
    }

    pub(crate) async fn answer(&self, request: Request<Body>) -> Answer {
        let response: Response<Body> = self.app.clone().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 1 << 20).await.expect("a body");
        let body = String::from_utf8(body.to_vec()).expect("a text");
        // For writes in the background.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        Answer { status: parts.status, headers: parts.headers, body }
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("ASCII"))
    }

    pub(crate) fn ok(&self) -> bool {
        self.status == StatusCode::OK
    }

    pub(crate) fn set_cookies(&self) -> Vec<&str> {
        self.headers.get_all("set-cookie").iter().map(|line| line.to_str().expect("ASCII")).collect()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

fn router(sessions: &Sessions<Claims>) -> Router {
    let optional = Router::new()
        .route("/public", get(public))
        .route("/sign-in", post(login))
        .route_layer(sessions.layer().optional());
    Router::new()
        .route("/me", any(me))
        .route("/rename", post(rename))
        .route("/confirm", post(reauthenticate))
        .route("/logout", post(logout))
        .route_layer(sessions.layer())
        .merge(optional)
        .route("/login", post(login))
        .merge(OAuth::new(sessions).router())
        .merge(sessions.device_bound_routes())
        .with_state(sessions.clone())
}

async fn login(visitor: Visitor<Claims>) -> Result<SetCookies, Rejection> {
    Ok(visitor.sign_in("ann", "first".to_owned()).await?)
}

async fn me(session: Session<Claims>) -> impl IntoResponse {
    let bound = session.is_device_bound().to_string();
    let headers = [("x-bound", bound), ("x-generation", session.generation().to_string())];
    (AppendHeaders(headers), session.claims().clone())
}

async fn public(session: Option<Session<Claims>>) -> String {
    session.map_or("anonymous".to_owned(), |session| session.subject().to_owned())
}

async fn rename(session: Session<Claims>) -> Result<SetCookies, Rejection> {
    Ok(session.update(&"renamed".to_owned()).await?)
}

async fn reauthenticate(session: Session<Claims>) -> Result<SetCookies, Rejection> {
    Ok(session.reauthenticate(["pwd"]).await?)
}

async fn logout(session: Session<Claims>) -> Result<SetCookies, Rejection> {
    Ok(session.sign_out().await?)
}
