//! The world: one store, one clock, and as many instances of the application as a test wants.

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
    /// Where `/slow` and its like wait.
    pub(crate) door: Gate,
}

/// A ring whose signing key is the `nth` that there is.
pub(crate) fn keys(nth: u8) -> Keyring {
    let mut secret = *b"3q2+7wQmV1xK9rT0pLsYzBnH5cJ8uGfE";
    secret[0] = b'a' + nth;
    Keyring::hs256(secret).unwrap()
}

impl World {
    /// The defaults, but for early renewal, whose moment differs from session to session, and for the
    /// crash window: here the first request that carries a generation confirms it. `crash` is about the
    /// rest.
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

    /// One more instance of the same application around the same store.
    pub(crate) fn instance(&self) -> Instance {
        Instance::start(&self.clock, &self.store, &self.events, &self.tune)
    }

    /// An instance that differs, around the same store.
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

    /// A browser that somebody has signed in with.
    pub(crate) async fn signed_in(&self, name: &str) -> Browser {
        let mut browser = Browser::new();
        let answer = browser.submit(&self.one, &format!("/login?name={name}")).await;
        assert!(answer.ok() && answer.sets_both(), "{answer:?}");
        browser
    }

    /// The same, by way of an instance.
    pub(crate) async fn signed_in_to(&self, instance: &Instance, name: &str) -> Browser {
        let mut browser = Browser::new();
        assert!(browser.submit(instance, &format!("/login?name={name}")).await.ok());
        browser
    }

    /// All that happened, in order.
    pub(crate) fn events(&self) -> Vec<EventKind> {
        self.events.lock().unwrap().clone()
    }

    /// How often this happened.
    pub(crate) fn count(&self, kind: &EventKind) -> usize {
        self.events().iter().filter(|event| *event == kind).count()
    }
}

impl Instance {
    fn start(
        clock: &Arc<ManualClock>,
        store: &Probe,
        events: &Arc<Mutex<Vec<EventKind>>>,
        tune: &dyn Fn(SessionsBuilder<Profile>) -> SessionsBuilder<Profile>,
    ) -> Self {
        let recorder = events.clone();
        let builder = Sessions::builder(keys(0))
            .timing(|timing| timing.renew_before(Duration::ZERO).crash_window(Duration::ZERO))
            .store(store.clone())
            // Gates take as long as they take. What waits for this waits in paused time.
            .store_deadline(Duration::from_secs(600))
            .clock(clock.clone())
            .on_event(move |event| recorder.lock().unwrap().push(event.kind.clone()));
        let sessions = tune(builder).build().unwrap();
        let door = Gate::closed();
        Self { app: app::router(&sessions, &door), sessions, door }
    }

    /// The request arrives here, and is answered.
    pub(crate) async fn answer(&self, sent: Sent) -> Answer {
        Answer(self.app.clone().oneshot(sent.0).await.unwrap())
    }

    /// The same, as a task that goes on by itself.
    pub(crate) fn accept(&self, sent: Sent) -> tokio::task::JoinHandle<Answer> {
        let instance = self.clone();
        tokio::spawn(async move { instance.answer(sent).await })
    }
}

/// Lets everything that can go on go on.
pub(crate) async fn idle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// Waits for something that other tasks are about to bring about.
pub(crate) async fn until(is_so: impl AsyncFn() -> bool) {
    for _ in 0..1000 {
        if is_so().await {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it never came about");
}
