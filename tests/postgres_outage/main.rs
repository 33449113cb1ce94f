//! The PostgreSQL store while its server is stopped, killed and frozen. Needs a server that no other
//! process uses at the same time: `tests/run` starts one, and `tests/servers/postgres` runs a command
//! with one.

#![expect(clippy::expect_used, clippy::panic, reason = "a failed test is a panic")]

mod former;
mod proxy;
mod slow;
mod switch_over;
mod synchronous;
mod tls;

#[path = "../support/records.rs"]
#[expect(dead_code, reason = "shared with the tests of other stores")]
mod records;

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Mutex, MutexGuard},
    task::JoinSet,
    time::{Instant, timeout},
};
use tower_sliding_sessions::{
    Clock as _, SystemClock, Timestamp,
    store::{
        CreateError, FeedEvent, FeedFrom, PostgresStore, Revoke, SessionKey, SessionRecord,
        SessionStore as _, StoreError, Subject,
    },
};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// The server, for one test at a time.
struct Server(#[expect(dead_code, reason = "held, not read")] MutexGuard<'static, ()>);

impl Server {
    async fn take() -> (Self, PostgresStore) {
        static ALONE: Mutex<()> = Mutex::const_new(());
        let server = Self(ALONE.lock().await);
        let store = PostgresStore::connect(&given("TEST_POSTGRES_URL")).await;
        (server, store.expect("the server answers"))
    }

    /// Starts, stops, kills, freezes or thaws the server.
    fn does(what: &str) {
        let status = Command::new(given("TEST_POSTGRES_CTL")).arg(what).status().expect("it runs");
        assert!(status.success(), "{what}");
    }

    /// The same, and returns the output.
    fn says(what: &str) -> String {
        let output = Command::new(given("TEST_POSTGRES_CTL")).arg(what).output().expect("it runs");
        assert!(output.status.success(), "{what}: {output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }
}

/// After a failed test, the server runs again for the next one.
impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for what in ["thaw", "start", "plain"] {
                let _done = Command::new(given("TEST_POSTGRES_CTL")).arg(what).status();
            }
        }
    }
}

fn given(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: tests/run starts a server and sets it"))
}

fn now() -> Timestamp {
    SystemClock.now()
}

fn record() -> SessionRecord {
    records::record(now(), HOUR, 24 * HOUR)
}

async fn try_open(store: &PostgresStore) -> Result<SessionKey, CreateError> {
    let record = record();
    let subject = Subject { realm: "outage".into(), name: record.id().tag().to_string().into() };
    store.create(&subject, &record, None).await?;
    Ok(SessionKey { subject, id: record.id() })
}

/// Opens a session as soon as the store allows it. Returns how long that took.
async fn open_when_back(store: &PostgresStore) -> (SessionKey, Duration) {
    let began = Instant::now();
    loop {
        // The engine's deadline.
        match timeout(Duration::from_millis(500), try_open(store)).await {
            Ok(Ok(key)) => return (key, began.elapsed()),
            Ok(Err(CreateError::Store(StoreError::Unavailable(_)))) | Err(_) => {}
            Ok(Err(error)) => panic!("{error:?}"),
        }
        assert!(began.elapsed() < Duration::from_secs(20), "the store did not recover");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[track_caller]
fn assert_unavailable<T: std::fmt::Debug>(answer: &Result<T, StoreError>) {
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn stopped_server_is_an_outage_and_the_store_recovers_when_it_returns() {
    let (_server, store) = Server::take().await;
    let (key, _) = open_when_back(&store).await;
    store.revoke(&Revoke::Session(key.clone()), now()).await.expect("it is ended");
    let read = store.feed(&FeedFrom::Since(now() - HOUR)).await.expect("the feed is read");
    assert!(read.events.contains(&FeedEvent::Revoked(key.clone())));
    let (live, _) = open_when_back(&store).await;
    for stop in ["stop", "kill"] {
        Server::does(stop);
        let at = now();
        for _ in 0..4 {
            // For every open connection: an error within the deadline.
            let deadline = Duration::from_secs(4);
            assert_unavailable(&timeout(deadline, store.get(&key)).await.expect("it answers"));
        }
        assert_unavailable(&store.advance(&live, 0, at).await);
        assert_unavailable(&store.feed(&FeedFrom::After(read.position.clone())).await);
        assert_unavailable(&PostgresStore::connect(&given("TEST_POSTGRES_URL")).await);
        Server::does("start");
        let (_, took) = open_when_back(&store).await;
        println!("PostgreSQL: back {took:?} after its start, with the same pool");
        let record = store.get(&key).await.expect("it is read").record.expect("it was kept");
        assert!(record.is_revoked(), "the session stays revoked");
        let record = store.get(&live).await.expect("it is read").record.expect("it was kept");
        assert!(!record.is_revoked());
    }
    // The disconnected reader resumes at its position.
    store.revoke(&Revoke::Session(live.clone()), now()).await.expect("it is ended");
    let batch = store.feed(&FeedFrom::After(read.position)).await.expect("the feed is read");
    assert!(!batch.gap);
    assert_eq!(batch.events, [FeedEvent::Revoked(live)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn acknowledged_writes_survive_a_killed_server() {
    let (_server, store) = Server::take().await;
    let begun = Arc::new(AtomicUsize::new(0));
    let mut writers = JoinSet::new();
    for _ in 0..16 {
        let (store, begun) = (store.clone(), begun.clone());
        writers.spawn(async move {
            let mut acknowledged = Vec::new();
            // Until the server has stopped.
            while let Ok(key) = try_open(&store).await {
                let ended = store.revoke(&Revoke::Session(key.clone()), now()).await.is_ok();
                acknowledged.push((key, ended));
                begun.fetch_add(1, Ordering::Relaxed);
            }
            acknowledged
        });
    }
    while begun.load(Ordering::Relaxed) <= 64 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Server::does("kill");
    let acknowledged = writers.join_all().await.concat();
    assert!(acknowledged.len() > 16, "writes were in progress");
    Server::does("start");
    open_when_back(&store).await;
    for (key, ended) in acknowledged {
        let record = store.get(&key).await.expect("it is read").record.expect("it was acknowledged");
        assert!(record.is_revoked() || !ended, "its revocation was acknowledged");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn frozen_server_delays_no_call_beyond_its_deadline() {
    let (_server, store) = Server::take().await;
    let (key, _) = open_when_back(&store).await;
    let at = now();
    Server::does("freeze");
    let mut callers = JoinSet::new();
    for _ in 0..40 {
        let (store, key) = (store.clone(), key.clone());
        callers.spawn(async move {
            let answer = timeout(Duration::from_millis(500), store.advance(&key, 0, at)).await;
            assert!(!matches!(answer, Ok(Ok(_))), "a frozen server does not answer");
        });
    }
    callers.join_all().await;
    Server::does("thaw");
    let (_, took) = open_when_back(&store).await;
    println!("PostgreSQL: back {took:?} after it hung, with the same pool");
    assert!(took < Duration::from_secs(5));
    // Calls during the freeze were executed once, or not at all.
    let record = store.get(&key).await.expect("it is read").record.expect("it was kept");
    assert!(record.generation() <= 1);
    for _ in 0..30 {
        try_open(&store).await.expect("every connection is usable");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn closed_port_is_an_outage() {
    let began = Instant::now();
    let error = PostgresStore::connect("postgres://u:secret@127.0.0.1:1/db").await;
    let error = error.expect_err("no server listens there");
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert!(!format!("{error:?}").contains("secret"));
    assert!(format!("{error:?}").contains("ConnectionRefused"), "the cause is told: {error:?}");
    assert!(began.elapsed() < Duration::from_secs(4));
    let error = PostgresStore::connect("postgres://u:secret@127.0.0.1:1,127.0.0.1:2/db").await;
    let error = format!("{:?}", error.expect_err("no server listens there"));
    assert!(error.contains("Unavailable") && error.contains("ConnectionRefused"), "{error}");
    let error = PostgresStore::connect("postgres://u:secret@[/db").await.expect_err("that is no URL");
    assert!(!format!("{error:?}").contains("secret"));
}
