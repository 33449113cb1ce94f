//! One instance of the application: its clock, its sessions, and its link to the store.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::Path,
    http::{HeaderMap, Request, StatusCode, header},
    routing::{get, post},
};
use tokio::{sync::watch, time::Instant};
use tower::ServiceExt as _;
use tower_sliding_sessions::{
    Clock, CookieJar, EventKind, Keyring, Session, Sessions, SystemClock, Timestamp, Visitor,
    store::{SessionStore, StoreError},
};

use crate::{
    checker::Assumptions,
    faulty_store::{Faults, FaultyStore},
    history::{History, Process, What},
    link::Mode,
    recording::{Recorder, Recording},
};

/// The number of instances.
pub(crate) const INSTANCES: usize = 3;

/// A clock that runs with Tokio's, which tests can pause, and that can be set.
#[derive(Debug)]
pub(crate) struct SteppedClock {
    began: Instant,
    epoch: Timestamp,
    /// In milliseconds.
    pub(crate) ahead: AtomicI64,
}

impl SteppedClock {
    fn new() -> Self {
        Self { began: Instant::now(), epoch: SystemClock.now(), ahead: AtomicI64::new(0) }
    }
}

impl Clock for SteppedClock {
    fn now(&self) -> Timestamp {
        let (ahead, now) = (self.ahead.load(Ordering::Relaxed), self.epoch + self.began.elapsed());
        let by = Duration::from_millis(ahead.unsigned_abs());
        if ahead < 0 { now - by } else { now + by }
    }

    fn monotonic(&self) -> Duration {
        self.began.elapsed()
    }
}

/// What an instance is built with.
pub(crate) struct Setup {
    pub(crate) recorder: Recorder,
    clock: Arc<SteppedClock>,
    faults: Faults,
    asks_when_lagging: bool,
    assumptions: Assumptions,
}

type Opening = Pin<Box<dyn Future<Output = Result<Sessions, StoreError>> + Send>>;

/// Opens the store of the instance in this place, and builds its sessions.
pub(crate) type Open = Arc<dyn Fn(usize, Setup) -> Opening + Send + Sync>;

/// The sessions of an instance, whose store calls are recorded.
pub(crate) fn build<S: SessionStore>(store: S, setup: Setup) -> Sessions {
    let inner = FaultyStore { inner: store, faults: setup.faults.clone() };
    let recorder = setup.recorder.clone();
    build_unrecorded(Recording { inner, recorder }, setup)
}

pub(crate) fn build_unrecorded<S: SessionStore>(store: S, setup: Setup) -> Sessions {
    let Setup { recorder, clock, asks_when_lagging, assumptions, .. } = setup;
    let keys = Keyring::hs256(b"3q2+7wQmV1xK9rT0pLsYzBnH5cJ8uGfE").expect("a key");
    Sessions::builder(keys)
        .store(store)
        .clock(clock)
        .timing(|_| assumptions.timing)
        .store_deadline(assumptions.store_deadline)
        .feed_lag_bound(assumptions.feed_lag_bound)
        .ask_store_when_lagging(asks_when_lagging)
        .ride_through(if asks_when_lagging { Duration::ZERO } else { assumptions.ride_through })
        .on_event(move |event| {
            if let (EventKind::ReuseDetected, Some(tag)) = (&event.kind, &event.session) {
                let now = recorder.history.now();
                recorder.history.add(recorder.process, now, What::Reuse { tag: tag.clone() });
            }
        })
        .build()
        .expect("valid settings")
}

fn router(sessions: &Sessions) -> Router {
    Router::new()
        .route("/me", get(async |session: Session| session.subject().to_owned()))
        .route(
            "/slow/{millis}",
            get(async |session: Session, Path(millis): Path<u64>| {
                tokio::time::sleep(Duration::from_millis(millis)).await;
                session.subject().to_owned()
            }),
        )
        .route_layer(sessions.layer())
        .route(
            "/login/{name}",
            post(async |visitor: Visitor, Path(name): Path<String>| visitor.sign_in(name, ()).await),
        )
        .route("/logout", post(async |visitor: Visitor| visitor.sign_out().await))
        .with_state(sessions.clone())
}

/// A place for instances, one after the other.
pub(crate) struct Instance {
    place: usize,
    open: Open,
    history: Arc<History>,
    assumptions: Assumptions,
    pub(crate) clock: Arc<SteppedClock>,
    pub(crate) faults: Faults,
    pub(crate) link: watch::Sender<Mode>,
    /// The number of instances that were started here.
    started: AtomicUsize,
    /// None while none runs.
    running: Mutex<Option<Running>>,
    /// Aborts the requests of the process that is killed.
    killed: watch::Sender<Process>,
    /// Whether `link` is a proxy, and not a part of the store.
    has_proxy: bool,
}

#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) process: Process,
    pub(crate) sessions: Sessions,
    router: Router,
}

impl Instance {
    pub(crate) fn new(
        place: usize,
        open: Open,
        history: Arc<History>,
        assumptions: Assumptions,
        proxied: Option<watch::Sender<Mode>>,
    ) -> Self {
        let has_proxy = proxied.is_some();
        Self {
            place,
            open,
            history,
            assumptions,
            clock: Arc::new(SteppedClock::new()),
            faults: Faults::default(),
            link: proxied.unwrap_or_else(|| watch::Sender::new(Mode::Open)),
            started: AtomicUsize::new(0),
            running: Mutex::new(None),
            killed: watch::Sender::new(usize::MAX),
            has_proxy,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn running(&self) -> Option<Running> {
        self.lock().clone()
    }

    /// The number of the process that runs, or ran last.
    pub(crate) fn process(&self) -> Process {
        self.place + INSTANCES * self.started.load(Ordering::Relaxed).saturating_sub(1)
    }

    /// Starts a process. Fails if its store cannot be opened.
    pub(crate) async fn start(&self) -> Result<(), StoreError> {
        let process = self.place + INSTANCES * self.started.load(Ordering::Relaxed);
        let link = (!self.has_proxy).then(|| self.link.subscribe());
        let setup = Setup {
            recorder: Recorder { history: self.history.clone(), process, link },
            clock: self.clock.clone(),
            faults: self.faults.clone(),
            asks_when_lagging: self.assumptions.asks_when_lagging(process),
            assumptions: self.assumptions,
        };
        let sessions = (self.open)(self.place, setup).await?;
        self.started.fetch_add(1, Ordering::Relaxed);
        let router = router(&sessions);
        *self.lock() = Some(Running { process, sessions, router });
        Ok(())
    }

    /// Ends the process. Its requests get no answer.
    pub(crate) fn kill(&self) {
        if let Some(running) = self.lock().take() {
            self.killed.send_replace(running.process);
        }
    }

    /// Runs a call of this process. None if the process is killed meanwhile.
    pub(crate) async fn call<T>(&self, process: Process, call: impl Future<Output = T>) -> Option<T> {
        let mut killed = self.killed.subscribe();
        tokio::select! {
            answer = call => Some(answer),
            _ = killed.wait_for(|killed| *killed == process) => None,
        }
    }
}

impl Running {
    pub(crate) async fn send(&self, method: &str, path: &str, jar: &CookieJar) -> (StatusCode, HeaderMap) {
        let request = Request::builder().method(method).uri(path).header(header::HOST, "app.example");
        let request = jar.add_to(request.body(Body::empty()).expect("a request"));
        let response = self.router.clone().oneshot(request).await.expect("an answer");
        (response.status(), response.headers().clone())
    }
}
