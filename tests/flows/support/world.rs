//! The world: one store, one clock, and as many instances of the application as a test needs.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::Router;
use tower::ServiceExt as _;
use tower_sliding_sessions::{
    EventKind, Keyring, ManualClock, Sessions, SessionsBuilder, Timestamp, store::MemoryStore,
};

use super::{Answer, Browser, Gate, Probe, Profile, Sent, app};

type Tune = dyn Fn(SessionsBuilder<Profile>) -> SessionsBuilder<Profile>;

pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Probe,
    pub(crate) one: Instance,
    events: Arc<Mutex<Vec<EventKind>>>,
    tune: Box<Tune>,
}

/// One process that runs the application.
#[derive(Clone)]
pub(crate) struct Instance {
    pub(crate) sessions: Sessions<Profile>,
    pub(crate) app: Router,
    /// Where `/slow` and similar handlers wait.
    pub(crate) gate: Gate,
}

/// A ring whose signing key is the `nth` key.
pub(crate) fn keys(nth: u8) -> Keyring {
    let mut secret = *b"3q2+7wQmV1xK9rT0pLsYzBnH5cJ8uGfE";
    secret[0] = b'a' + nth;
    Keyring::hs256(secret).unwrap()
}

impl World {
    /// The defaults, except for two: no early renewal, since its time differs from session to session;
    /// and no crash window, so the first request that carries a generation confirms it. `crash` tests the
    /// crash window.
    pub(crate) fn new() -> Self {
        Self::tuned(|builder| builder)
    }

    pub(crate) fn tuned(
        tune: impl Fn(SessionsBuilder<Profile>) -> SessionsBuilder<Profile> + 'static,
    ) -> Self {
        Self::around(Probe::new(MemoryStore::new().unwrap()), tune)
    }

    pub(crate) fn around(
        store: Probe,
        tune: impl Fn(SessionsBuilder<Profile>) -> SessionsBuilder<Profile> + 'static,
    ) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
        let events = Arc::default();
        let one = Instance::start(&clock, &store, &events, &tune);
        Self { clock, store, one, events, tune: Box::new(tune) }
    }

    /// One more instance of the same application with the same store.
    pub(crate) fn instance(&self) -> Instance {
        Instance::start(&self.clock, &self.store, &self.events, &self.tune)
    }

    /// An instance with other settings and the same store.
    pub(crate) fn other(
        &self,
        tune: impl Fn(SessionsBuilder<Profile>) -> SessionsBuilder<Profile>,
    ) -> Instance {
        Instance::start(&self.clock, &self.store, &self.events, &|builder| tune((self.tune)(builder)))
    }

    /// The only process ends, and starts again with the same configuration.
    pub(crate) fn restart(&mut self) {
        self.store = Probe::new(MemoryStore::new().unwrap());
        self.one = self.instance();
    }

    pub(crate) fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// A browser that has signed in.
    pub(crate) async fn signed_in(&self, name: &str) -> Browser {
        let mut browser = Browser::new();
        let answer = browser.submit(&self.one, &format!("/login?name={name}")).await;
        assert!(answer.ok() && answer.sets_both(), "{answer:?}");
        browser
    }

    /// The same, on a given instance.
    pub(crate) async fn signed_in_to(&self, instance: &Instance, name: &str) -> Browser {
        let mut browser = Browser::new();
        assert!(browser.submit(instance, &format!("/login?name={name}")).await.ok());
        browser
    }

    /// All events, in order.
    pub(crate) fn events(&self) -> Vec<EventKind> {
        self.events.lock().unwrap().clone()
    }

    /// How often an event occurred.
    pub(crate) fn count(&self, kind: &EventKind) -> usize {
        self.events().iter().filter(|event| *event == kind).count()
    }
}

/// With `TEST_DEVICE_BOUND`, all these tests run with device-bound sessions turned on. Their browsers bind none.
fn device_bound(builder: SessionsBuilder<Profile>) -> SessionsBuilder<Profile> {
    #[cfg(all(feature = "device-bound", feature = "test-util"))]
    if std::env::var_os("TEST_DEVICE_BOUND").is_some() {
        let settings = tower_sliding_sessions::DeviceBound::new("/auth/device");
        return builder.device_bound(settings.short_lifetimes_for_tests());
    }
    builder
}

impl Instance {
    fn start(
        clock: &Arc<ManualClock>,
        store: &Probe,
        events: &Arc<Mutex<Vec<EventKind>>>,
        tune: &dyn Fn(SessionsBuilder<Profile>) -> SessionsBuilder<Profile>,
    ) -> Self {
        let builder = || {
            let recorder = events.clone();
            Sessions::builder(keys(0))
                .timing(|timing| timing.renew_before(Duration::ZERO).crash_window(Duration::ZERO))
                .store(store.clone())
                // The release of a gate takes no fixed time, so this waits in paused time.
                .store_deadline(Duration::from_secs(600))
                .clock(clock.clone())
                .on_event(move |event| recorder.lock().unwrap().push(event.kind.clone()))
        };
        let sessions = match device_bound(tune(builder())).build() {
            // Not with these cookies.
            #[cfg(feature = "device-bound")]
            Err(tower_sliding_sessions::BuildError::DeviceBound(_)) => tune(builder()).build(),
            built => built,
        };
        Self::of(sessions.unwrap())
    }

    /// The application around these sessions.
    pub(crate) fn of(sessions: Sessions<Profile>) -> Self {
        let gate = Gate::closed();
        Self { app: app::router(&sessions, &gate), sessions, gate }
    }

    /// The instance receives the request and responds.
    pub(crate) async fn answer(&self, sent: Sent) -> Answer {
        Answer(self.app.clone().oneshot(sent.0).await.unwrap())
    }

    /// The same, in a task of its own.
    pub(crate) fn accept(&self, sent: Sent) -> tokio::task::JoinHandle<Answer> {
        let instance = self.clone();
        tokio::spawn(async move { instance.answer(sent).await })
    }
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
