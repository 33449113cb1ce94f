//! The application of these tests, a log of its requests, and switches for what goes wrong.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{
        Html, IntoResponse, Response,
        sse::{Event, Sse},
    },
    routing::{get, post},
};
use futures_util::{StreamExt as _, stream};
use tokio::net::{TcpListener, TcpSocket};
use tower_sliding_sessions::{
    DeviceBound, EventKind, Keyring, Rejection, Session, Sessions, SessionsBuilder, SetCookies, Visitor,
    oauth::OAuth, store::SqliteStore,
};

use crate::{ACCESS_TTL, driver::Browser, failing_store::FailingStore};

/// A request and its response.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) status: u16,
    pub(crate) has_proof: bool,
    pub(crate) skipped: String,
}

#[derive(Default)]
pub(crate) struct Switches {
    seen: Mutex<Vec<Seen>>,
    events: Mutex<Vec<EventKind>>,
    /// Refreshes answer 503.
    pub(crate) refresh_fails: AtomicBool,
    /// How many registrations get no response, although they are processed.
    pub(crate) lost_registrations: AtomicUsize,
    /// How many get only the head of a response.
    pub(crate) cut_registrations: AtomicUsize,
}

pub(crate) struct Site {
    address: SocketAddr,
    pub(crate) switches: Arc<Switches>,
    pub(crate) store: FailingStore,
    database: Option<tempfile::TempDir>,
    server: tokio::task::JoinHandle<()>,
}

const PAGE: &str = "<!doctype html><title>page</title><link rel=icon href=data:,><h1>page</h1>";

impl Site {
    /// With a store in memory.
    pub(crate) async fn start() -> Self {
        Self::with(None).await
    }

    /// With a store on disk, which outlives [restarts](Self::restart).
    pub(crate) async fn on_disk() -> Self {
        Self::with(Some(tempfile::tempdir().expect("a folder"))).await
    }

    async fn with(database: Option<tempfile::TempDir>) -> Self {
        let (switches, store) = (Arc::default(), FailingStore::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = serve(listener, &switches, &store, database.as_ref().map(tempfile::TempDir::path)).await;
        Self { address, switches, store, database, server }
    }

    /// Stops the server, and starts another one with the same store.
    pub(crate) async fn restart(&mut self) {
        self.server.abort();
        let _stopped = (&mut self.server).await;
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("an option");
        socket.bind(self.address).expect("the same port");
        let listener = socket.listen(64).expect("it listens");
        let database = self.database.as_ref().map(tempfile::TempDir::path);
        self.server = serve(listener, &self.switches, &self.store, database).await;
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn at(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.address.port())
    }

    /// Signs in on a page.
    pub(crate) async fn sign_in(&self, browser: &Browser) {
        browser.open(&self.at("/login")).await;
        assert_eq!(browser.text().await, "signed in");
    }

    /// Signs in, and waits until the session is bound to the browser's key.
    pub(crate) async fn sign_in_bound(&self, browser: &Browser) {
        self.sign_in(browser).await;
        for _ in 0..100 {
            if self.events(|kind| matches!(kind, EventKind::DeviceConfirmed)) > 0 {
                return;
            }
            assert_eq!(fetch(browser, "/me").await, 200);
            crate::pass(Duration::from_millis(200)).await;
        }
        panic!("not bound within 20 s; seen {:#?}", self.seen());
    }

    /// All requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.switches.seen.lock().expect("no panic").clone()
    }

    /// The refreshes with a proof that were served.
    pub(crate) fn refreshes(&self) -> usize {
        let is_one = |seen: &&Seen| seen.line == REFRESH && seen.has_proof && seen.status == 200;
        self.seen().iter().filter(is_one).count()
    }

    pub(crate) fn events(&self, counts: impl Fn(&EventKind) -> bool) -> usize {
        self.switches.events.lock().expect("no panic").iter().filter(|kind| counts(kind)).count()
    }

    /// The browser was never refused as a visitor without a session, and nothing looked like reuse.
    pub(crate) fn never_signed_out(&self) {
        let refused: Vec<_> = self.seen().into_iter().filter(|seen| seen.status == 401).collect();
        assert!(refused.is_empty(), "{refused:#?}");
        assert_eq!(self.events(|kind| *kind == EventKind::ReuseDetected), 0);
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.abort();
    }
}

pub(crate) const REFRESH: &str = "POST /auth/device/refresh";
const START: &str = "POST /auth/device/start";

/// Sends a request from the page, and returns the status.
pub(crate) async fn fetch(browser: &Browser, path: &str) -> u16 {
    let status = browser.run(&format!("return (await fetch('{path}')).status")).await;
    status.as_u64().and_then(|status| status.try_into().ok()).expect("a status")
}

async fn serve(
    listener: TcpListener,
    switches: &Arc<Switches>,
    store: &FailingStore,
    database: Option<&Path>,
) -> tokio::task::JoinHandle<()> {
    let seconds = Duration::from_secs;
    let events = switches.clone();
    // A busy machine is no outage.
    let builder = Sessions::builder(Keyring::hs256(b"3q2+7wQmV1xK9rT0pLsYzBnH5cJ8uGfE").expect("a key"))
        .timing(|timing| {
            timing
                .access_ttl(ACCESS_TTL)
                .renew_before(Duration::ZERO)
                .grace(seconds(1))
                .write_window(seconds(1))
                .crash_window(Duration::ZERO)
                .late_body(seconds(1))
                .rotation_interval(seconds(4))
        })
        .store_deadline(seconds(5))
        .device_bound(DeviceBound::new("/auth/device").exclude_path("/static").short_lifetimes_for_tests())
        .on_event(move |event| events.events.lock().expect("no panic").push(event.kind.clone()));
    let sessions = match database {
        Some(folder) => {
            let url = format!("sqlite:{}", folder.join("sessions.db").display());
            build(builder.store(SqliteStore::open(&url).await.expect("a database")))
        }
        None => build(builder.store(store.clone())),
    };
    let app = router(&sessions).layer(from_fn_with_state(switches.clone(), note));
    tokio::spawn(async move { axum::serve(listener, app).await.expect("it serves") })
}

fn build(builder: SessionsBuilder<()>) -> Sessions<()> {
    builder.build().expect("valid settings")
}

fn router(sessions: &Sessions<()>) -> Router {
    Router::new()
        .route("/page", get(async |_: Session<()>| Html(PAGE)))
        .route("/me", get(async |session: Session<()>| session.is_device_bound().to_string()))
        .route("/stream", get(stream_events))
        .route("/logout", post(sign_out))
        .route_layer(sessions.layer())
        .route("/static/page", get(async || Html(PAGE)))
        .route("/login", get(sign_in))
        .merge(sessions.device_bound_routes())
        .merge(OAuth::new(sessions).router())
        .with_state(sessions.clone())
}

async fn sign_in(visitor: Visitor<()>) -> Result<impl IntoResponse, Rejection> {
    Ok((visitor.sign_in("alice", ()).remember_me(true).await?, "signed in"))
}

async fn sign_out(session: Session<()>) -> Result<SetCookies, Rejection> {
    Ok(session.sign_out().await?)
}

/// One event, and then the connection stays open until the session ends.
async fn stream_events(session: Session<()>) -> impl IntoResponse {
    let first = stream::iter([Ok::<_, axum::Error>(Event::default().data("open"))]);
    let ended = stream::once(async move {
        session.ended().await;
        Ok(Event::default().event("ended").data("ended"))
    });
    Sse::new(first.chain(ended))
}

async fn note(State(switches): State<Arc<Switches>>, request: Request, next: Next) -> Response {
    let seen = Seen::of(&request);
    let mut response = if seen.line == REFRESH && switches.refresh_fails.load(SeqCst) {
        (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")]).into_response()
    } else {
        next.run(request).await
    };
    let status = response.status().as_u16();
    let registers = seen.line == START && status == 200;
    switches.seen.lock().expect("no panic").push(Seen { status, ..seen });
    if registers && take(&switches.lost_registrations) {
        // The server closes the connection without a response.
        std::panic::resume_unwind(Box::new(()));
    }
    if registers && take(&switches.cut_registrations) {
        // The head is sent, the body is not.
        let cut = async {
            crate::pass(Duration::from_millis(100)).await;
            Err::<&str, _>(std::io::Error::other("cut"))
        };
        *response.body_mut() = Body::from_stream(stream::once(cut));
    }
    response
}

impl Seen {
    fn of(request: &Request) -> Self {
        let headers = request.headers();
        let skipped = headers.get("secure-session-skipped").and_then(|value| value.to_str().ok());
        Self {
            line: format!("{} {}", request.method(), request.uri().path()),
            status: 0,
            has_proof: headers.contains_key("secure-session-response"),
            skipped: skipped.unwrap_or_default().to_owned(),
        }
    }
}

fn take(count: &AtomicUsize) -> bool {
    count.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok()
}
