//! Many instances on one database, readers of its feed that were disconnected, and sweeping.

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tower_sliding_sessions::store::{
    FeedEvent, FeedFrom, PostgresStore, Revoke, SessionStore as _, StoreError, Subject,
    sqlx::{self, Executor as _},
};

use crate::records::edited;
use crate::server::{DAY, LOWEST, confirm, fresh, now, open, pool, record, schema_url, subject};

/// Reads the feed until it has `event`.
async fn wait_for(store: &PostgresStore, mut from: FeedFrom, event: &FeedEvent) -> String {
    for _ in 0..20 {
        let batch = store.feed(&from).await.expect("the feed is read");
        if batch.events.contains(event) {
            return batch.position;
        }
        from = FeedFrom::After(batch.position);
    }
    panic!("{event:?} is not in the feed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_instances_can_migrate_at_once() {
    for _ in 0..10 {
        let url = schema_url().await;
        let mut starting = JoinSet::new();
        for _ in 0..8 {
            let url = url.clone();
            starting.spawn(async move { PostgresStore::connect(&url).await });
        }
        let mut runs = Vec::new();
        for store in starting.join_all().await {
            let store = store.expect("each of them starts");
            store.migrate().await.expect("again is no error");
            runs.push(store.raise_run_id(LOWEST).await.expect("there is a run"));
        }
        runs.dedup();
        assert_eq!(runs.len(), 1, "one run ID, generated once");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_two_pools_wins_each_rotation() {
    let url = schema_url().await;
    let one = PostgresStore::new(pool(&url).await);
    one.migrate().await.expect("it is migrated");
    let two = PostgresStore::new(pool(&url).await);
    let (start, key) = (now(), open(&one, now()).await);
    for generation in 0..20 {
        let mut racers = JoinSet::new();
        for racer in 0..16 {
            let store = if racer % 2 == 0 { one.clone() } else { two.clone() };
            let (key, later) = (key.clone(), start + Duration::from_secs(60));
            racers.spawn(
                async move { store.advance(&key, generation, later).await.expect("the server answers") },
            );
        }
        let answers = racers.join_all().await;
        assert_eq!(answers.iter().filter(|answer| answer.applied).count(), 1);
        for answer in answers {
            let mut record = answer.record.expect("it is there");
            assert_eq!(record.generation(), generation + 1);
            assert!(!record.advance(generation + 1, start + DAY / 2), "it is not confirmed");
        }
        confirm(&two, &key, start).await.expect("the server answers");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn races_are_decided_correctly_at_every_isolation_level() {
    for level in ["repeatable read", "serializable"] {
        // In a URL, inside an option: a space is escaped twice.
        let option = format!("%20-cdefault_transaction_isolation%3D{}", level.replace(' ', "%5C%20"));
        let url = schema_url().await + &option;
        let set: String = sqlx::query_scalar("SHOW default_transaction_isolation")
            .fetch_one(&pool(&url).await)
            .await
            .expect("the server answers");
        assert_eq!(set, level);
        let store = PostgresStore::connect(&url).await.expect("it starts");
        let (start, key) = (now(), open(&store, now()).await);
        let mut racers = JoinSet::new();
        for _ in 0..4 {
            let (store, key) = (store.clone(), key.clone());
            racers.spawn(async move { store.advance(&key, 0, start).await });
        }
        let answers = racers.join_all().await;
        let answers: Vec<_> =
            answers.into_iter().map(|answer| answer.expect("the store repeats the call")).collect();
        assert_eq!(answers.iter().filter(|answer| answer.applied).count(), 1, "{level}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn long_transaction_of_another_program_delays_no_event() {
    let url = schema_url().await;
    let store = PostgresStore::connect(&url).await.expect("it starts");
    let others = pool(&url).await;
    let mut long = others.acquire().await.expect("a connection");
    long.execute("BEGIN; CREATE TABLE busy (x int); INSERT INTO busy VALUES (1)").await.expect("it began");
    let key = open(&store, now()).await;
    store.revoke(&Revoke::Session(key.clone()), now()).await.expect("it is ended");
    wait_for(&store, FeedFrom::Since(now() - DAY), &FeedEvent::Revoked(key)).await;
    long.execute("ROLLBACK").await.expect("it ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn disconnected_reader_resumes_without_a_gap() {
    let url = schema_url().await;
    let store = PostgresStore::connect(&url).await.expect("it starts");
    let first = open(&store, now()).await;
    store.revoke(&Revoke::Session(first.clone()), now()).await.expect("it is ended");
    let place = wait_for(&store, FeedFrom::Since(now() - DAY), &FeedEvent::Revoked(first.clone())).await;
    // Two batches of events, while the reader is disconnected.
    let mut missed = Vec::new();
    for _ in 0..30 {
        let name = subject(now().as_millis());
        for _ in 0..60 {
            store.create(&name, &record(now()), None).await.expect("it is created");
        }
        let all = Revoke::Subject { subject: name.clone(), before: None, except: None };
        missed.extend(store.revoke(&all, now()).await.expect("they are ended"));
    }
    let later = PostgresStore::connect(&url).await.expect("it starts again");
    let (mut from, mut seen) = (FeedFrom::After(place), Vec::new());
    while seen.len() < missed.len() {
        let batch = later.feed(&from).await.expect("the feed is read");
        assert!(!batch.gap);
        for event in batch.events {
            match event {
                FeedEvent::Revoked(key) => seen.push(key.id),
                other => panic!("{other:?}"),
            }
        }
        from = FeedFrom::After(batch.position);
    }
    assert_eq!(seen, missed, "each event once, in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn database_that_lost_its_last_events_reports_a_gap() {
    let url = schema_url().await;
    let store = PostgresStore::connect(&url).await.expect("it starts");
    let at = now();
    store.mark_stale(&FeedEvent::SubjectStale(subject("a"), at)).await.expect("it is marked");
    let event = FeedEvent::SubjectStale(subject("a"), at);
    let place = wait_for(&store, FeedFrom::Since(at), &event).await;
    // As a lagging replica would have it: the last row differs, under the same number.
    let admin = pool(&url).await;
    admin.execute("UPDATE sliding_sessions_feed SET mark = mark + 1").await.expect("it is changed");
    let batch = store.feed(&FeedFrom::After(place)).await.expect("the feed is read");
    assert!(batch.gap);
    assert_eq!(batch.events, [event], "all events");
    let next = store.feed(&FeedFrom::After(batch.position)).await.expect("the feed is read");
    assert!(!next.gap && next.events.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn expired_sessions_are_swept_and_old_events_are_pruned() {
    let store = fresh().await;
    let long_ago = now() - 3 * DAY;
    for _ in 0..1100 {
        open(&store, long_ago).await;
    }
    let (kept, expired) = (open(&store, now()).await, open(&store, long_ago).await);
    // An event of a subject, and not of a session: a concurrent sweep may have removed those.
    let mark = FeedEvent::SubjectStale(expired.subject.clone(), long_ago);
    store.mark_stale(&mark).await.expect("it is marked");
    let batch = loop {
        // The instance's clock is years ahead, and the server's is not. A concurrent sweep, started by a
        // new session, may remove some of the rows.
        store.sweep(now() + 1000 * DAY).await.expect("it is swept");
        let gone = store.get(&expired).await.expect("it is read").record.is_none();
        let batch = store.feed(&FeedFrom::Since(long_ago)).await.expect("the feed is read");
        if gone && batch.gap {
            break batch;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(batch.events.is_empty(), "pruned events are a gap");
    assert!(store.get(&kept).await.expect("it is read").record.is_some());
    assert_eq!(store.sweep(now()).await.expect("it is swept"), 0);
    assert!(!store.feed(&FeedFrom::Since(now() - DAY)).await.expect("the feed is read").gap);
    let idle = store.feed(&FeedFrom::After(batch.position)).await.expect("the feed is read");
    assert!(!idle.gap, "no gap for a reader of the pruned events");
    let start = "0:0".into();
    assert!(store.feed(&FeedFrom::After(start)).await.expect("the feed is read").gap);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn dropped_calls_leave_a_pool_of_one_connection_usable() {
    let url = schema_url().await;
    PostgresStore::connect(&url).await.expect("it starts");
    let options = url.parse().expect("a URL");
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(1).connect_lazy_with(options);
    let store = PostgresStore::new(pool);
    for wait in 0..200 {
        let call = open(&store, now());
        let _late = tokio::time::timeout(Duration::from_micros(wait * 20), call).await;
    }
    let key = open(&store, now()).await;
    store.revoke(&Revoke::Session(key.clone()), now()).await.expect("it is ended");
    let other = PostgresStore::connect(&url).await.expect("it starts");
    let record = other.get(&key).await.expect("it is read").record.expect("it was committed");
    assert!(record.is_revoked());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn read_only_server_is_unavailable_since_it_may_be_a_former_primary() {
    let url = schema_url().await;
    let store = PostgresStore::connect(&url).await.expect("it starts");
    let key = open(&store, now()).await;
    let other = PostgresStore::connect(&format!("{url}%20-cdefault_transaction_read_only%3Don")).await;
    let other = other.expect("a repeated migration only reads");
    for error in [
        other.get(&key).await.expect_err("it is read-only"),
        other.list(&key.subject, now()).await.expect_err("it is read-only"),
        other.feed(&FeedFrom::Since(now())).await.expect_err("it is read-only"),
        other.revoke(&Revoke::Session(key.clone()), now()).await.expect_err("it is read-only"),
    ] {
        let StoreError::Unavailable(cause) = &error else { panic!("{error:?}") };
        assert!(cause.to_string().contains("read-only"), "{cause}");
    }
    assert_eq!(store.revoke(&Revoke::Session(key.clone()), now()).await.expect("it is revoked"), [key.id]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn unsupported_values_are_refused_and_unreadable_ones_are_corrupt() {
    let url = schema_url().await;
    let store = PostgresStore::connect(&url).await.expect("it starts");
    let long = Subject { realm: "test".into(), name: "x".repeat(3000).into() };
    let created = store.create(&long, &record(now()), None).await;
    assert!(matches!(created, Err(error) if error.to_string().contains("does not support")));
    let odd = edited(&record(now()), |json| json["family"]["generation"] = json!(u64::MAX));
    assert!(store.create(&subject("odd"), &odd, None).await.is_err());

    let nul = Subject { realm: "test".into(), name: "a\0b".into() };
    store.create(&nul, &record(now()), None).await.expect("it is created");
    assert_eq!(store.list(&nul, now()).await.expect("it is listed").len(), 1);

    let key = open(&store, now()).await;
    assert!(!store.advance(&key, u64::MAX, now()).await.expect("it is no error").applied);
    let admin = pool(&url).await;
    admin.execute("UPDATE sliding_sessions SET claims = '\\xff', origin = 'x'").await.expect("it is changed");
    let error = store.get(&key).await.expect_err("that is no text");
    assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
    assert!(!format!("{error:?}").contains(&key.id.encode()));
    admin.execute("DROP TABLE sliding_sessions CASCADE").await.expect("it is dropped");
    let error = store.get(&key).await.expect_err("there is no table");
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
}
