//! The server is unavailable: absent, silent, killed, or without its data.

use std::{sync::atomic::Ordering, time::Duration};

use serde_json::json;
use tokio::time::{sleep, timeout};
use tower_sliding_sessions::store::{
    CreateError, MemcachedStore, Revoke, SessionKey, SessionStore as _, StoreError,
};

use super::{
    now, open, record,
    records::{confirmed, edited},
    server::{Server, losing_answers},
};

/// The time within which a store must report that it got no response.
const SOON: Duration = Duration::from_secs(4);

fn assert_unavailable<T: std::fmt::Debug>(answer: &Result<T, StoreError>) {
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
}

/// Reads until there is a response. Returns whether the session exists.
async fn recovers(store: &MemcachedStore, key: &SessionKey) -> bool {
    for _ in 0..40 {
        if let Ok(Ok(snapshot)) = timeout(Duration::from_millis(500), store.get(key)).await {
            return snapshot.record.is_some();
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("the store does not recover");
}

#[tokio::test]
async fn killed_server_loses_sessions_and_never_revives_one() {
    let mut server = Server::start(&[]).await;
    let store = MemcachedStore::new(&server.address());
    let (key, ended) = (open(&store).await, open(&store).await);
    let run = store.get(&key).await.expect("an answer").run;
    store.revoke(&Revoke::Session(ended.clone()), now()).await.expect("an answer");
    server.kill();
    assert_unavailable(&timeout(SOON, store.get(&key)).await.expect("an answer"));
    server.restart().await;
    assert!(!recovers(&store, &key).await, "a lost session is unknown");
    let snapshot = store.get(&ended).await.expect("an answer");
    assert!(snapshot.record.is_none(), "a revoked and lost session is unknown, never live");
    assert_ne!(snapshot.run, run, "a new run ID");
    assert!(recovers(&store, &open(&store).await).await);
}

#[tokio::test]
async fn server_that_stops_responding_is_unavailable_and_then_recovers() {
    let server = Server::start(&[]).await;
    let store = MemcachedStore::new(&server.address());
    let key = open(&store).await;
    server.freeze();
    assert_unavailable(&timeout(SOON, store.advance(&key, 0, now())).await.expect("an answer"));
    server.thaw();
    assert!(recovers(&store, &key).await);
    assert!(store.advance(&key, 0, now()).await.expect("an answer").applied);
}

#[tokio::test]
async fn lost_run_id_ends_every_session() {
    let server = Server::start(&[]).await;
    let store = MemcachedStore::new(&server.address());
    let key = open(&store).await;
    let run = store.get(&key).await.expect("an answer").run;
    assert_eq!(server.ask("delete tss:2:run").await, "DELETED\r\n");
    let snapshot = store.get(&key).await.expect("an answer");
    assert!(snapshot.record.is_none() && snapshot.run != run);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_server_refuses_or_drops_sessions_and_never_serves_wrong_ones() {
    // -M: an error instead of eviction.
    let server = Server::start(&["-m", "8", "-M"]).await;
    let store = MemcachedStore::new(&server.address());
    let first = open(&store).await;
    let mut outcome = Ok(());
    for _ in 0..20_000 {
        let claims = json!(format!("\"{}\"", "x".repeat(3000)));
        let record = edited(&record(now()), |json| json["claims"] = claims);
        outcome = store.create(&first.subject, &record, None).await.map(drop);
        if outcome.is_err() {
            break;
        }
    }
    assert!(matches!(outcome, Err(CreateError::Store(StoreError::Full))), "{outcome:?}");
    assert!(recovers(&store, &first).await);
}

#[tokio::test]
async fn write_whose_response_is_lost_is_recognised() {
    let server = Server::start(&[]).await;
    // The store has a run ID.
    open(&MemcachedStore::new(&server.address())).await;
    let (address, to_lose) = losing_answers(server.address(), 1).await;
    let store = MemcachedStore::new(&address);
    let key = open(&store).await;
    assert_eq!(to_lose.load(Ordering::SeqCst), 0, "the answer to the sign-in was lost");
    to_lose.store(1, Ordering::SeqCst);
    let rotated = store.advance(&key, 0, now()).await.expect("an answer");
    assert!(rotated.applied && to_lose.load(Ordering::SeqCst) == 0);
    to_lose.store(1, Ordering::SeqCst);
    let record = confirmed(&rotated.record.expect("the session exists"), now());
    let replaced = store.replace(&key, rotated.version, &record, None).await.expect("an answer");
    assert!(replaced.applied && to_lose.load(Ordering::SeqCst) == 0);
    to_lose.store(1, Ordering::SeqCst);
    let revoked = store.revoke(&Revoke::Session(key.clone()), now()).await.expect("an answer");
    assert_eq!((revoked, to_lose.load(Ordering::SeqCst)), (vec![key.id], 0));
    assert!(store.revoke(&Revoke::Session(key), now()).await.expect("an answer").is_empty());
}
