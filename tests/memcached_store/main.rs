//! The Memcached store: the conformance suite, and what only this store guarantees. Needs a server, which
//! `tests/run` starts. Tests that stop servers start their own.
#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test is a panic")]

mod address;
mod limits;
mod outage;
mod race;
mod server;
mod traffic;

#[path = "../support/freeze.rs"]
mod freeze;
#[path = "../support/port.rs"]
mod port;
#[path = "../support/records.rs"]
mod records;

use std::time::Duration;

use tower_sliding_sessions::{
    Clock as _, SessionId, SystemClock, Timestamp,
    store::{MemcachedStore, SessionKey, SessionRecord, SessionStore as _, Subject, conformance},
};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// The server's address.
fn address() -> String {
    let url = std::env::var("TEST_MEMCACHED_URL")
        .unwrap_or_else(|_| panic!("TEST_MEMCACHED_URL is not set: tests/run starts a server"));
    url.trim_start_matches("memcached://").trim_end_matches('/').to_owned()
}

/// A unique string.
fn unique() -> String {
    SessionId::random().expect("random bytes").encode()
}

fn now() -> Timestamp {
    SystemClock.now()
}

/// A store with a unique prefix.
async fn store() -> MemcachedStore {
    MemcachedStore::new(&address()).with_prefix(&unique())
}

/// Confirms a session's current generation.
async fn confirm(store: &MemcachedStore, key: &SessionKey) {
    let read = store.get(key).await.expect("an answer");
    let record = records::confirmed(&read.record.expect("the session exists"), now());
    store.replace(key, read.version, &record, None).await.expect("an answer");
}

fn record(now: Timestamp) -> SessionRecord {
    records::record(now, HOUR, 24 * HOUR)
}

fn subject() -> Subject {
    Subject { realm: "test".into(), name: unique().into() }
}

async fn open(store: &MemcachedStore) -> SessionKey {
    let (record, subject) = (record(now()), subject());
    store.create(&subject, &record, None).await.expect("a session");
    SessionKey { subject, id: record.id() }
}

mod suite {
    tower_sliding_sessions::store_conformance!(super::store);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn suite_passes_on_one_store_with_all_cases_in_parallel() {
    let prefix = unique();
    let mut running = tokio::task::JoinSet::new();
    for name in conformance::cases() {
        // Separate connections for each store, as instances have.
        let store = MemcachedStore::new(&address()).with_prefix(&prefix);
        running.spawn(conformance::run_case(name, store));
    }
    running.join_all().await;
}
