//! Instances of an application: each has its own pool, its own denylist and its own follower of the feed.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::Path,
    http::StatusCode,
    routing::{get, post},
};
use tower_sliding_sessions::{
    EventKind, Keyring, Session, Sessions, Visitor,
    store::{PostgresStore, SessionStore as _, Subject},
};

use crate::client::{Client, Jar};

/// How long an access token lives: so long an instance can serve a session that another one has revoked while it
/// cannot read the feed.
pub(crate) const ACCESS_TTL: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub(crate) struct Instance {
    pub(crate) client: Client,
    pub(crate) sessions: Sessions,
    pub(crate) store: PostgresStore,
    pub(crate) gaps: Arc<AtomicUsize>,
    last_failure: Arc<Mutex<Option<Arc<str>>>>,
}

impl Instance {
    pub(crate) async fn start(url: &str, schema: &str) -> Self {
        let store = PostgresStore::connect_in_schema(url, schema).await.expect("the cluster answers");
        let keys = Keyring::hs256(b"3q2+7wQmV1xK9rT0pLsYzBnH5cJ8uGfE").expect("a key");
        let gaps = Arc::<AtomicUsize>::default();
        let last_failure = Arc::<Mutex<Option<Arc<str>>>>::default();
        let (counted, noted) = (gaps.clone(), last_failure.clone());
        let milliseconds = Duration::from_millis;
        let sessions = Sessions::builder(keys)
            .store(store.clone())
            .timing(|timing| {
                timing
                    .access_ttl(ACCESS_TTL)
                    .grace(milliseconds(500))
                    .write_window(milliseconds(500))
                    .rotation_interval(milliseconds(1600))
                    .renew_before(milliseconds(500))
                    .idle_timeout(Duration::from_secs(600))
            })
            .on_event(move |event| {
                if event.kind == EventKind::FeedGap {
                    counted.fetch_add(1, Ordering::SeqCst);
                }
                if matches!(event.kind, EventKind::StoreFailed { .. }) {
                    noted.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&event.cause);
                }
            })
            .build()
            .expect("valid settings");
        Self { client: Client::new(router(&sessions)), sessions, store, gaps, last_failure }
    }

    /// Why the store last failed.
    pub(crate) fn last_failure(&self) -> Option<Arc<str>> {
        self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Until the feed has been read once, each request asks the store.
    pub(crate) async fn sign_in(&self, name: &str) -> Option<Jar> {
        let answer = self.client.post(&format!("/login/{name}"), &Jar::default(), "").await;
        let mut jar = Jar::default();
        jar.take(&answer);
        (answer.status == StatusCode::OK).then_some(jar)
    }

    pub(crate) async fn visit(&self, jar: &mut Jar) -> StatusCode {
        let answer = self.client.get("/me", jar).await;
        jar.take(&answer);
        answer.status
    }

    /// Whether it was acknowledged.
    pub(crate) async fn sign_out(&self, jar: &Jar) -> bool {
        self.client.post("/logout", jar, "").await.status == StatusCode::OK
    }

    /// Whether the store has a live session of the user. None if it does not answer.
    pub(crate) async fn is_live(&self, name: &str) -> Option<bool> {
        let subject = Subject { realm: "sessions".into(), name: name.into() };
        self.store.list(&subject, self.sessions.now()).await.ok().map(|live| !live.is_empty())
    }
}

fn router(sessions: &Sessions) -> Router {
    Router::new()
        .route("/me", get(async |session: Session| session.subject().to_owned()))
        .route_layer(sessions.layer())
        .route(
            "/login/{name}",
            post(async |visitor: Visitor, Path(name): Path<String>| visitor.sign_in(name, ()).await),
        )
        .route("/logout", post(async |visitor: Visitor| visitor.sign_out().await))
        .with_state(sessions.clone())
}
