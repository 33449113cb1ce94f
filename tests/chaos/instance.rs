//! One process of the application, with its own clock and runtime.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, mpsc},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::Path,
    http::{HeaderMap, Request, StatusCode, header},
    routing::{get, post},
};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt as _;
use tower_sliding_sessions::{
    Clock as _, Keyring, ManualClock, Session, Sessions, Timestamp, Visitor,
    store::{SessionStore, StoreError},
};

use crate::faulty_store::{Faults, FaultyStore};

pub(crate) type Connect<S> = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = S> + Send>>>;

const HOUR: Duration = Duration::from_secs(3600);

/// The cookies of one browser, or a copy of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Jar(BTreeMap<String, String>);

impl Jar {
    fn header(&self) -> String {
        self.0.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    fn take(&mut self, headers: &HeaderMap) {
        for line in headers.get_all(header::SET_COOKIE) {
            let line = line.to_str().expect("text");
            let pair = line.split(';').next().and_then(|pair| pair.split_once('=')).expect("a cookie");
            if line.contains("Max-Age=0") {
                self.0.remove(pair.0);
            } else {
                self.0.insert(pair.0.to_owned(), pair.1.to_owned());
            }
        }
    }
}

pub(crate) struct Instance<S> {
    connect: Connect<S>,
    pub(crate) faults: Faults,
    clock: Arc<ManualClock>,
    /// How far the wall clock is ahead, in hours.
    pub(crate) ahead: i8,
    sessions: Sessions,
    app: Router,
    runtime: Option<Runtime>,
}

impl<S: SessionStore> Instance<S> {
    pub(crate) fn start(connect: Connect<S>, faults: Faults, now: Timestamp) -> Self {
        let (runtime, clock) = (new_runtime(), Arc::new(ManualClock::new(now)));
        let sessions = sessions(runtime.block_on(connect()), &faults, &clock);
        let app = router(&sessions);
        Self { connect, faults, clock, ahead: 0, sessions, app, runtime: Some(runtime) }
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("a runtime")
    }

    /// Advances the clock.
    pub(crate) fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    /// Steps the wall clock.
    pub(crate) fn step_to(&mut self, hours_ahead: i8) {
        let now = match hours_ahead - self.ahead {
            by @ 0.. => self.clock.now() + HOUR * u32::from(by.unsigned_abs()),
            by => self.clock.now() - HOUR * u32::from(by.unsigned_abs()),
        };
        self.ahead = hours_ahead;
        self.clock.set(now);
    }

    /// Ends the runtime with all its tasks, and starts another one.
    pub(crate) fn kill_runtime(&mut self) {
        if let Some(runtime) = self.runtime.replace(new_runtime()) {
            runtime.shutdown_background();
        }
    }

    /// Ends the process, and starts another one.
    pub(crate) fn restart(&mut self) {
        self.kill_runtime();
        // The clock continues: it is the machine's.
        self.sessions = sessions(self.runtime().block_on((self.connect)()), &self.faults, &self.clock);
        self.app = router(&self.sessions);
    }

    fn send(&self, method: &str, path: &str, jar: &mut Jar) -> StatusCode {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, "app.example");
        if !jar.0.is_empty() {
            request = request.header(header::COOKIE, jar.header());
        }
        let request = request.body(Body::empty()).expect("a request");
        let response = self.runtime().block_on(self.app.clone().oneshot(request)).expect("an answer");
        jar.take(response.headers());
        response.status()
    }

    pub(crate) fn sign_in(&self, name: &str) -> Option<Jar> {
        let mut jar = Jar::default();
        (self.send("POST", &format!("/login/{name}"), &mut jar) == StatusCode::OK).then_some(jar)
    }

    pub(crate) fn visit(&self, jar: &mut Jar) -> StatusCode {
        self.send("GET", "/me", jar)
    }

    pub(crate) fn sign_out(&self, jar: &Jar) -> bool {
        self.send("POST", "/logout", &mut jar.clone()) == StatusCode::OK
    }

    pub(crate) fn revoke_all(&self, name: &str) -> Result<usize, StoreError> {
        self.runtime().block_on(self.sessions.revoke_all(name))
    }

    /// Starts an emergency stop. Its result comes through the channel, or nothing if the runtime is
    /// killed.
    pub(crate) fn start_emergency_stop(&self) -> mpsc::Receiver<bool> {
        let (tell, told) = mpsc::channel();
        let sessions = self.sessions.clone();
        self.runtime().spawn(async move { tell.send(sessions.revoke_everything().await.is_ok()) });
        told
    }
}

fn new_runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

fn sessions<S: SessionStore>(store: S, faults: &Faults, clock: &Arc<ManualClock>) -> Sessions {
    let keys = Keyring::hs256(b"3q2+7wQmV1xK9rT0pLsYzBnH5cJ8uGfE").expect("a key");
    let store = FaultyStore { inner: store, faults: faults.clone() };
    Sessions::builder(keys)
        .store(store)
        .clock(clock.clone())
        // More than the clocks differ by.
        .timing(|timing| {
            timing.idle_timeout(HOUR * 12).absolute_timeout(HOUR * 48).renew_before(Duration::ZERO)
        })
        .build()
        .expect("valid settings")
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
