//! Round trips and memory of each operation.
#![expect(clippy::disallowed_methods, reason = "the test measures real time")]

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use serde_json::json;
use tower_sliding_sessions::store::{FeedEvent, MemcachedStore, Revoke, SessionKey, SessionStore as _};

use super::{
    address, now, open, record,
    records::{confirmed, edited},
    server::{Server, counting},
    store, unique,
};

/// The number of round trips of `work`.
async fn trips<T>(trips: &AtomicUsize, work: impl Future<Output = T>) -> usize {
    let before = trips.load(Ordering::SeqCst);
    work.await;
    trips.load(Ordering::SeqCst) - before
}

#[tokio::test]
async fn renewal_is_two_round_trips_and_a_read_one() {
    let (address, counter) = counting(address()).await;
    let store = MemcachedStore::new(&address).with_prefix(&unique());
    let first = open(&store).await;
    let new = record(now());
    let key = SessionKey { subject: first.subject.clone(), id: new.id() };
    let created = trips(&counter, store.create(&first.subject, &new, None)).await;
    let read = store.get(&key).await.expect("an answer");
    let record = edited(&read.record.expect("the session exists"), |json| json["persistent"] = json!(true));
    let stale = FeedEvent::SessionStale(key.clone(), now() + Duration::from_secs(1));
    let expected = [
        (2, "create", created),
        (1, "get", trips(&counter, store.get(&key)).await),
        (2, "replace", trips(&counter, store.replace(&key, read.version, &record, None)).await),
        (1, "replace, a conflict", trips(&counter, store.replace(&key, read.version, &record, None)).await),
        (2, "advance", trips(&counter, store.advance(&key, 0, now())).await),
        (1, "advance, lost", trips(&counter, store.advance(&key, 0, now())).await),
        (2, "mark_stale", trips(&counter, store.mark_stale(&stale)).await),
        (2, "revoke", trips(&counter, store.revoke(&Revoke::Session(key.clone()), now())).await),
    ];
    for (expected, what, counted) in expected {
        println!("{what}: {counted} round trips");
        assert_eq!(counted, expected, "{what}");
    }
}

#[tokio::test]
async fn cancelled_callers_leave_no_unread_responses() {
    let store = store().await;
    let keys = [open(&store).await, open(&store).await];
    for round in 0..200 {
        let cut = tokio::time::timeout(Duration::from_micros(round * 5), store.get(&keys[0])).await;
        drop(cut);
        let record = store.get(&keys[1]).await.expect("an answer").record.expect("the session exists");
        assert_eq!(record.id(), keys[1].id);
    }
}

#[tokio::test]
async fn figures() {
    const SESSIONS: usize = 10_000;
    let server = Server::start(&[]).await;
    let store = MemcachedStore::new(&server.address());
    for _ in 0..SESSIONS {
        open(&store).await;
    }
    let stats = server.ask("stats").await;
    let bytes = stats.lines().find_map(|line| line.strip_prefix("STAT bytes ")).expect("a figure");
    let each = bytes.trim().parse::<usize>().expect("a number") / SESSIONS;
    println!("{each} bytes for each live session");
    assert!(each < 700);
    for in_flight in [1, 32] {
        let started = Instant::now();
        let mut rotating = tokio::task::JoinSet::new();
        for _ in 0..in_flight {
            let (store, key) = (store.clone(), open(&store).await);
            rotating.spawn(async move {
                let mut rotated = 0;
                while started.elapsed() < Duration::from_secs(1) {
                    let at = now();
                    let rotation = store.advance(&key, rotated, at).await.expect("an answer");
                    assert!(rotation.applied);
                    let record = confirmed(&rotation.record.expect("the session exists"), at);
                    let confirmed = store.replace(&key, rotation.version, &record, None).await;
                    assert!(confirmed.expect("an answer").applied);
                    rotated += 1;
                }
                rotated
            });
        }
        let rotated: u64 = rotating.join_all().await.into_iter().sum();
        println!("{} changes in a second with {in_flight} in flight", rotated * 2);
    }
}
