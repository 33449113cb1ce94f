//! The application at an address. It can be stopped and restarted.

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
    app::{Probe, router},
    client::{Answer, Client, Jar},
    port::free_port,
    proxy::Nginx,
};

pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    pub(crate) probe: Probe,
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

    /// Another instance with the same store, not started yet.
    pub(crate) fn neighbour(&self) -> Self {
        Self::stopped(self.clock.clone(), self.store.clone(), self.events.clone())
    }

    fn stopped(clock: Arc<ManualClock>, store: MemoryStore, events: Arc<Mutex<Vec<EventKind>>>) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let probe = Probe { arrived: Arc::new(watch::Sender::new(0)), open: Arc::new(Semaphore::new(0)) };
        Self { address, probe, clock, store, events, server: None }
    }

    /// Stops the application.
    pub(crate) async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
            // Its port is closed when the task has ended.
            let _aborted = server.await;
        }
    }

    /// Starts the application with the same store.
    pub(crate) async fn resume(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("its port");
        self.serve(listener);
    }

    /// Starts the application, and serves the connections that wait at `listener`.
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
            .expect("valid settings");
        let app = router(&sessions, self.probe.clone());
        let serving = async move { axum::serve(listener, app).await.expect("it serves") };
        self.server = Some(tokio::spawn(serving));
    }

    /// Starts the application with an empty store, as after a restart with the memory store.
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

    /// Expires the access token. The next renewal rotates.
    pub(crate) fn expire(&self) {
        self.pass(6 * 60);
    }

    pub(crate) fn stale(&self) -> usize {
        self.count(&EventKind::Refused(Refusal::LateBody))
    }

    /// The number of detected reuses.
    pub(crate) fn reuses(&self) -> usize {
        self.count(&EventKind::ReuseDetected)
    }

    fn count(&self, kind: &EventKind) -> usize {
        self.events.lock().expect("no panic").iter().filter(|seen| *seen == kind).count()
    }

    /// Waits until counting handlers have received `count` requests in all.
    pub(crate) async fn arrived(&self, count: usize) {
        let mut arrived = self.probe.arrived.subscribe();
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

/// Signs in, with claims of a given size.
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

/// Visits a page, and stores the response's cookies.
pub(crate) async fn visit(client: &Client, path: &str, jar: &mut Jar) -> Answer {
    let answer = client.get(path, jar).await;
    jar.take(&answer);
    answer
}

/// Confirms the current refresh token by requests with it only. The store is told after the response, so it
/// repeats the request until the response shows that the generation was confirmed before.
pub(crate) async fn confirm(client: &Client, jar: &Jar) {
    let header = jar.header();
    let refresh = header.split("; ").find(|pair| pair.starts_with("__Host-refresh=")).expect("a token");
    for _ in 0..1000 {
        let answer = client.send("GET", "/me", &Jar::default(), "", &[("cookie", refresh)]).await.json();
        match answer["how"].as_str() {
            Some("Confirmed") => tokio::task::yield_now().await,
            Some("Reissued") => return,
            _ => panic!("not a confirmation: {answer}"),
        }
    }
    panic!("the generation is not confirmed after 1000 requests");
}
