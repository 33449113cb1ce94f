//! A server for one browser: a page that polls, and a log of the responses.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use tokio::net::TcpListener;
use tower_sliding_sessions::{
    Clock, EventKind, Keyring, Rejection, Renewed, Session, Sessions, SystemClock, Timestamp, Visitor,
};

const PAGE: &str = "<!doctype html><title>poll</title><link rel=icon href=data:,><script>
(async () => {
    if (location.hash === '#sign-in') await fetch('/sign-in', {method: 'POST'});
    for (;;) {
        try { await fetch('/me'); } catch {}
        await new Promise(done => setTimeout(done, 250));
    }
})();
</script>";

/// The system clock, which a test can set forward.
#[derive(Debug, Default)]
struct ShiftedClock(AtomicU64);

impl Clock for ShiftedClock {
    fn now(&self) -> Timestamp {
        SystemClock.now() + Duration::from_millis(self.0.load(Ordering::SeqCst))
    }
}

#[derive(Default)]
struct Log {
    /// Of `/me`, in the order of the responses.
    statuses: Mutex<Vec<u16>>,
    events: Mutex<Vec<EventKind>>,
}

pub(crate) struct Site {
    port: u16,
    clock: Arc<ShiftedClock>,
    log: Arc<Log>,
    server: tokio::task::JoinHandle<()>,
}

async fn note(State(log): State<Arc<Log>>, request: Request, next: Next) -> Response {
    let is_poll = request.uri().path() == "/me";
    let response = next.run(request).await;
    if is_poll {
        log.statuses.lock().expect("no panic").push(response.status().as_u16());
    }
    response
}

async fn sign_in(visitor: Visitor<()>) -> Result<impl IntoResponse, Rejection> {
    Ok(visitor.sign_in("alice", ()).remember_me(true).await?)
}

impl Site {
    /// Durations of seconds, except for the crash window, which Chromium determines.
    pub(crate) async fn start() -> Self {
        let (clock, log) = (Arc::<ShiftedClock>::default(), Arc::<Log>::default());
        let events = log.clone();
        let key = Keyring::hs256(b"3q2+7wQmV1xK9rT0pLsYzBnH5cJ8uGfE").expect("a key");
        let builder = crate::device_bound::device_bound(Sessions::<()>::builder(key));
        let sessions = builder
            .timing(|timing| {
                timing
                    .access_ttl(Duration::from_secs(2))
                    .grace(Duration::from_secs(1))
                    .write_window(Duration::from_secs(1))
                    .rotation_interval(Duration::from_secs(4))
            })
            .clock(clock.clone())
            .on_event(move |event| events.events.lock().expect("no panic").push(event.kind.clone()))
            .build()
            .expect("valid settings");
        let app = Router::new()
            .route("/me", get(async |session: Session<()>| session.subject().to_owned()))
            .route_layer(sessions.layer())
            .route("/page", get(async || Html(PAGE)))
            .route("/sign-in", post(sign_in))
            .layer(from_fn_with_state(log.clone(), note))
            .with_state(sessions);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let server = tokio::spawn(async move { axum::serve(listener, app).await.expect("it serves") });
        Self { port, clock, log, server }
    }

    pub(crate) fn at(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.port)
    }

    /// Sets the server's clock forward.
    pub(crate) fn pass(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).expect("a short time");
        self.clock.0.fetch_add(millis, Ordering::SeqCst);
    }

    fn answered(&self) -> usize {
        self.log.statuses.lock().expect("no panic").len()
    }

    /// Waits for more responses to the page.
    pub(crate) async fn answers(&self, more: usize) {
        let wanted = self.answered() + more;
        self.until("answers", || self.answered() >= wanted).await;
    }

    async fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        for _ in 0..2400 {
            if is_so() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("no {what} within 120 s; so far {:?}", self.log.statuses.lock().expect("no panic"));
    }

    fn events(&self, counts: impl Fn(&EventKind) -> bool) -> usize {
        self.log.events.lock().expect("no panic").iter().filter(|kind| counts(kind)).count()
    }

    pub(crate) fn rotations(&self) -> usize {
        self.events(|kind| *kind == EventKind::Renewed(Renewed::Rotated))
    }

    pub(crate) fn alarms(&self) -> usize {
        self.events(|kind| *kind == EventKind::ReuseDetected)
    }

    /// The number of polls with a status other than 200.
    pub(crate) fn refused(&self) -> usize {
        self.log.statuses.lock().expect("no panic").iter().filter(|status| **status != 200).count()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.abort();
    }
}
