//! The Redis store: the conformance suite, and what only this store guarantees. Needs a server, which
//! `tests/run` starts. Tests that stop servers start their own.
#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test is a panic")]

mod cluster;
mod failover;
mod figures;
mod instance;
mod keys;
mod lost_answers;
mod lost_data;
mod neighbours;
mod outage;
mod proxy;
mod race;
mod rights;
mod scale;
mod sentinel;
mod server;
mod shards;
mod tls;
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
    store::{RedisStore, Revoke, SessionKey, SessionRecord, SessionStore as _, Subject, conformance},
};

const HOUR: Duration = Duration::from_secs(60 * 60);

fn url() -> String {
    std::env::var("TEST_REDIS_URL")
        .unwrap_or_else(|_| panic!("TEST_REDIS_URL is not set: tests/run starts a server"))
}

/// A unique string.
fn unique() -> String {
    SessionId::random().expect("random bytes").encode()
}

fn now() -> Timestamp {
    SystemClock.now()
}

/// A store with a unique prefix.
async fn store() -> RedisStore {
    store_at(&url()).await.with_prefix(&unique())
}

async fn store_at(url: &str) -> RedisStore {
    RedisStore::connect(url).await.expect("a Redis server")
}

/// Confirms a session's current generation.
async fn confirm(store: &RedisStore, key: &SessionKey) {
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

async fn open(store: &RedisStore, subject: &Subject) -> SessionKey {
    let record = record(now());
    store.create(subject, &record, None).await.expect("a session");
    SessionKey { subject: subject.clone(), id: record.id() }
}

/// An error and its sources, as an operator reads them.
fn causes(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(Some(error), |error| error.source());
    sources.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

async fn end(store: &RedisStore, key: &SessionKey) {
    let ended = store.revoke(&Revoke::Session(key.clone()), now()).await.expect("it is ended");
    assert_eq!(ended, [key.id]);
}

mod suite {
    tower_sliding_sessions::store_conformance!(super::store);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn suite_passes_on_one_store_with_all_cases_in_parallel() {
    let prefix = unique();
    let mut running = tokio::task::JoinSet::new();
    for name in conformance::cases() {
        // One connection for each store, as instances have.
        let store = store_at(&url()).await.with_prefix(&prefix);
        running.spawn(conformance::run_case(name, store));
    }
    running.join_all().await;
}
