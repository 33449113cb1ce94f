//! The Memcached store: the conformance suite, and what it cannot do. Needs a server, which
//! `tests/run` starts.
#![expect(clippy::expect_used, clippy::panic, reason = "a failed test is a panic")]

use std::{convert::Infallible, time::Duration};

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Bytes;
use tower::{Layer as _, ServiceExt as _, service_fn};

use tower_sliding_sessions::{
    Clock as _, Keyring, Session, SessionId, Sessions, SystemClock, Timestamp,
    protocol::Family,
    store::{
        Cap, Capabilities, CreateError, MemcachedStore, Overflow, Revoke, SessionKey, SessionRecord,
        SessionStore as _, StoreError, Subject, conformance,
    },
};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// The server's address.
fn address() -> String {
    let url = std::env::var("TEST_MEMCACHED_URL")
        .unwrap_or_else(|_| panic!("TEST_MEMCACHED_URL is not set: tests/run starts a server"));
    url.trim_start_matches("memcached://").trim_end_matches('/').to_owned()
}

/// A text that nobody else uses.
fn unique() -> String {
    SessionId::random().expect("random bytes").encode()
}

fn now() -> Timestamp {
    SystemClock.now()
}

/// A store that shares nothing with others.
async fn store() -> MemcachedStore {
    MemcachedStore::new(&address()).with_prefix(&unique())
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

#[tokio::test]
async fn what_it_cannot_do_it_says() {
    let (store, subject) = (store().await, subject());
    assert_eq!(store.capabilities(), Capabilities::NONE);
    let all = Revoke::Subject { subject: subject.clone(), before: None, except: None };
    assert!(matches!(store.revoke(&all, now()).await, Err(StoreError::Unsupported(_))));
    assert!(matches!(store.list(&subject, now()).await, Err(StoreError::Unsupported(_))));
    let cap = Cap { limit: 3, overflow: Overflow::Refuse };
    let created = store.create(&subject, &record(now()), Some(cap)).await;
    assert!(matches!(created, Err(CreateError::Store(StoreError::Unsupported(_)))));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let store = MemcachedStore::new("127.0.0.1:1");
    let key = SessionKey { subject: subject(), id: record(now()).id };
    assert!(matches!(store.get(&key).await, Err(StoreError::Unavailable(_))));
}

/// A session needs this store on every request: what ended is refused at once, everywhere.
#[tokio::test]
async fn every_request_asks_it_so_an_end_counts_on_all_instances_at_once() {
    let (prefix, keys) = (unique(), Keyring::hs256(b"3q2+7wQmV1xK9rT0pLsYzBnH5cJ8uGfE").expect("a key"));
    let instance = || {
        let store = MemcachedStore::new(&address()).with_prefix(&prefix);
        let sessions = Sessions::<()>::builder(keys.clone()).store(store).build().expect("within the proof");
        let app = service_fn(|request: Request<Full<Bytes>>| async move {
            assert!(Session::<()>::of(&request).is_some());
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        });
        (sessions.layer().layer(app), sessions)
    };
    let ((one, sessions), (other, _)) = (instance(), instance());
    let cookie = sessions.cookie_of("ann", ()).await.expect("a session");
    let request = || Request::get("/").header("cookie", &cookie).body(Full::default()).expect("a request");
    for app in [&one, &other] {
        let answer = app.clone().oneshot(request()).await.expect("an answer");
        assert_eq!(answer.status(), 200);
        assert!(!answer.headers().contains_key("set-cookie"), "asking is not renewing");
    }
    let bye = sessions.visitor(&request()).expect("not from elsewhere").sign_out().await;
    assert!(bye.is_ok());
    for app in [one, other] {
        assert_eq!(app.oneshot(request()).await.expect("an answer").status(), 401);
    }
}

mod suite {
    tower_sliding_sessions::store_conformance!(super::store);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_suite_holds_on_one_store_while_all_cases_run_at_once() {
    let prefix = unique();
    let mut running = tokio::task::JoinSet::new();
    for case in conformance::cases() {
        // Connections of its own for each, as for instances.
        let store = MemcachedStore::new(&address()).with_prefix(&prefix);
        running.spawn(async move { case.run(store).await });
    }
    running.join_all().await;
}
