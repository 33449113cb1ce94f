//! The application at an address, which can go away and come back.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::json;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinHandle,
};
use tower_sliding_sessions::{
    EventKind, Keyring, ManualClock, Sessions, Timestamp, protocol::Refusal, store::MemoryStore,
};

use crate::{
    app::{Door, router},
    client::{Answer, Client, Jar},
    port::free_port,
    proxy::Nginx,
};

pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    pub(crate) door: Door,
    clock: Arc<ManualClock>,
    store: MemoryStore,
    events: Arc<Mutex<Vec<EventKind>>>,
    server: Option<JoinHandle<()>>,
}

impl Site {
    pub(crate) async fn start() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
        let mut site = Self::stopped(clock, MemoryStore::new().expect("random bytes"), Arc::default());
        site.resume().await;
        site
    }

    /// Another instance over the same store, which does not run yet.
    pub(crate) fn neighbour(&self) -> Self {
        Self::stopped(self.clock.clone(), self.store.clone(), self.events.clone())
    }

    fn stopped(clock: Arc<ManualClock>, store: MemoryStore, events: Arc<Mutex<Vec<EventKind>>>) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let door = Door { arrived: Arc::new(watch::Sender::new(0)), open: Arc::new(Semaphore::new(0)) };
        Self { address, door, clock, store, events, server: None }
    }

    /// Nobody answers from now on.
    pub(crate) async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
            // Its port is closed when it has ended.
            let _aborted = server.await;
        }
    }

    /// The application starts, over the same store.
    pub(crate) async fn resume(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("its port");
        self.serve(listener);
    }

    /// The application starts, and takes what has come to `listener` meanwhile.
    pub(crate) fn serve(&mut self, listener: TcpListener) {
        let keys = Keyring::hs256(b"3q2+7wQmV1xK9rT0pLsYzBnH5cJ8uGfE").expect("a key");
        let events = self.events.clone();
        let sessions = Sessions::builder(keys)
            // The first request with a new refresh token confirms it.
            .timing(|timing| timing.crash_window(Duration::ZERO))
            .clock(self.clock.clone())
            .store(self.store.clone())
            .on_event(move |event| events.lock().expect("no panic").push(event.kind.clone()))
            .build()
            .expect("good settings");
        let app = router(&sessions, self.door.clone());
        let serving = async move { axum::serve(listener, app).await.expect("it serves") };
        self.server = Some(tokio::spawn(serving));
    }

    /// The application starts with nothing, as with the embedded store.
    pub(crate) async fn resume_empty(&mut self) {
        self.store = MemoryStore::new().expect("random bytes");
        self.resume().await;
    }

    pub(crate) async fn behind(&self, settings: &str) -> (Nginx, Client) {
        let nginx =
            Nginx::before(&[self.address], &format!("proxy_set_header Host $http_host; {settings}")).await;
        let client = nginx.client();
        (nginx, client)
    }

    pub(crate) fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// The access token is over, and the next renewal rotates.
    pub(crate) fn expire(&self) {
        self.pass(6 * 60);
    }

    pub(crate) fn stale(&self) -> usize {
        self.count(&EventKind::Refused(Refusal::LateBody))
    }

    /// How often refresh token reuse was detected.
    pub(crate) fn reuses(&self) -> usize {
        self.count(&EventKind::ReuseDetected)
    }

    fn count(&self, kind: &EventKind) -> usize {
        self.events.lock().expect("no panic").iter().filter(|seen| *seen == kind).count()
    }

    /// Waits for requests that reach a handler that tells, up to `count` in all.
    pub(crate) async fn arrived(&self, count: usize) {
        let mut arrived = self.door.arrived.subscribe();
        let there = tokio::time::timeout(Duration::from_secs(10), arrived.wait_for(|seen| *seen >= count));
        there.await.expect("it arrives within 10 s").expect("an application");
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}

/// Signs in, with claims of a size.
pub(crate) async fn sign_in_with(client: &Client, name: &str, size: usize) -> (Jar, Answer) {
    let body = json!({"name": name, "size": size}).to_string();
    let answer = client.post("/login", &Jar::default(), &body).await;
    let mut jar = Jar::default();
    jar.take(&answer);
    (jar, answer)
}

pub(crate) async fn sign_in(client: &Client, name: &str) -> Jar {
    let (jar, answer) = sign_in_with(client, name, 0).await;
    assert_eq!((answer.status.as_u16(), answer.set_cookies.len()), (200, 2));
    jar
}

/// Visits a page, and keeps the cookies that came.
pub(crate) async fn visit(client: &Client, path: &str, jar: &mut Jar) -> Answer {
    let answer = client.get(path, jar).await;
    jar.take(&answer);
    answer
}

/// The current refresh token is seen in use: alone, which confirms it before the answer. Beside an
/// access token that is good, the confirmation would be written some time after it.
pub(crate) async fn confirm(client: &Client, jar: &Jar) {
    let header = jar.header();
    let refresh = header.split("; ").find(|pair| pair.starts_with("__Host-refresh=")).expect("a token");
    let answer = client.send("GET", "/me", &Jar::default(), "", &[("cookie", refresh)]).await;
    assert_eq!(answer.json()["renewed"], true);
}
