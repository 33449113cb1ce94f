//! The Redis store: the conformance suite, and what else it promises. Needs a server, which
//! `tests/run` starts.
#![expect(clippy::expect_used, clippy::panic, reason = "a failed test is a panic")]

use std::{process::Command, time::Duration};

use tower_sliding_sessions::{
    Clock as _, SessionId, SystemClock, Timestamp,
    protocol::Family,
    store::{
        FeedFrom, RedisStore, Revoke, SessionKey, SessionRecord, SessionStore as _, Subject, conformance,
    },
};

const HOUR: Duration = Duration::from_secs(60 * 60);

fn url() -> String {
    std::env::var("TEST_REDIS_URL")
        .unwrap_or_else(|_| panic!("TEST_REDIS_URL is not set: tests/run starts a server"))
}

/// A text that nobody else uses.
fn unique() -> String {
    SessionId::random().expect("random bytes").encode()
}

fn now() -> Timestamp {
    SystemClock.now()
}

/// A store that shares nothing with others.
async fn store() -> RedisStore {
    store_at(&url()).await.with_prefix(&unique())
}

async fn store_at(url: &str) -> RedisStore {
    RedisStore::connect(url).await.expect("a Redis server")
}

fn record(now: Timestamp) -> SessionRecord {
    SessionRecord {
        id: SessionId::random().expect("random bytes"),
        family: Family::begin(now, HOUR, 24 * HOUR),
        claims: "null".into(),
        stale_since: None,
        methods: Vec::new(),
        proof: None,
        origin: None,
        persistent: false,
    }
}

fn subject() -> Subject {
    Subject { realm: "test".into(), name: unique().into() }
}

async fn open(store: &RedisStore, subject: &Subject) -> SessionKey {
    let record = record(now());
    store.create(subject, &record, None).await.expect("a session");
    SessionKey { subject: subject.clone(), id: record.id }
}

async fn end(store: &RedisStore, key: &SessionKey) {
    let ended = store.revoke(&Revoke::Session(key.clone()), now()).await.expect("it is ended");
    assert_eq!(ended, [key.id]);
}

/// What `redis-cli` says to a command.
fn ask(arguments: &[&str]) -> String {
    let answer = Command::new("redis-cli").args(["-u", &url()]).args(arguments).output().expect("redis-cli");
    String::from_utf8(answer.stdout).expect("UTF-8").trim().to_owned()
}

#[tokio::test]
async fn every_key_has_an_end_and_a_subject_has_one_key() {
    let prefix = unique();
    let store = store_at(&url()).await.with_prefix(&prefix);
    let subject = subject();
    let first = open(&store, &subject).await;
    open(&store, &subject).await;
    end(&store, &first).await;
    let keys = ask(&["--scan", "--pattern", &format!("{prefix}:*")]);
    let keys: Vec<_> = keys.lines().collect();
    assert_eq!(keys.len(), 3, "a subject, the feed and the run: {keys:?}");
    for key in keys {
        assert!(ask(&["pttl", key]).parse::<i64>().is_ok_and(|left| left > 0), "{key} never ends");
    }
}

#[tokio::test]
async fn scripts_that_the_server_forgot_are_sent_again() {
    let store = store().await;
    let key = open(&store, &subject()).await;
    assert_eq!(ask(&["script", "flush"]), "OK");
    assert!(store.get(&key).await.expect("an answer").record.is_some());
    end(&store, &key).await;
}

#[tokio::test]
async fn a_reader_is_told_when_the_feed_was_lost() {
    let prefix = unique();
    let store = store_at(&url()).await.with_prefix(&prefix);
    end(&store, &open(&store, &subject()).await).await;
    let since = FeedFrom::Since(now() - HOUR);
    let read = store.feed(&since).await.expect("a batch");
    assert_eq!(read.events.len(), 1);
    // As a failover to a replica without it would.
    assert_eq!(ask(&["del", &format!("{prefix}:feed")]), "1");
    assert!(store.feed(&FeedFrom::After(read.position)).await.expect("a batch").gap);
}

#[tokio::test]
async fn a_session_takes_less_than_a_kilobyte() {
    let prefix = unique();
    let store = store_at(&url()).await.with_prefix(&prefix);
    let name = "0b7f3c1e-5d29-4a86-9c40-6f1d2e8a7b35";
    let subject = Subject { realm: "sessions".into(), name: name.into() };
    open(&store, &subject).await;
    let keys = ask(&["--scan", "--pattern", &format!("{prefix}:{{*")]);
    let bytes: u64 = ask(&["memory", "usage", &keys]).parse().expect("a number");
    println!("{bytes} bytes a session");
    assert!(bytes < 1024, "{bytes}");
}

mod suite {
    tower_sliding_sessions::store_conformance!(super::store);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_suite_holds_on_one_store_while_all_cases_run_at_once() {
    let prefix = unique();
    let mut running = tokio::task::JoinSet::new();
    for case in conformance::cases() {
        // A connection of its own for each, as for instances.
        let store = store_at(&url()).await.with_prefix(&prefix);
        running.spawn(async move { case.run(store).await });
    }
    running.join_all().await;
}
