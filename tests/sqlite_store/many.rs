//! Several pools on one file, readers of its feed that were disconnected, and sweeping.

use std::time::Duration;

use tokio::task::JoinSet;
use tower_sliding_sessions::store::{FeedEvent, FeedFrom, Revoke, SessionStore as _, SqliteStore, sqlx};

use crate::file::{DAY, Folder, LOWEST, confirm, now, open, record, subject, unique};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_instances_can_open_a_new_file_at_once() {
    let folder = Folder::new();
    let mut starting = JoinSet::new();
    for _ in 0..8 {
        let file = folder.file();
        starting.spawn(async move { SqliteStore::open(&file).await });
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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_two_pools_wins_each_rotation() {
    let folder = Folder::new();
    let one = SqliteStore::open(&folder.file()).await.expect("it opens");
    let two = SqliteStore::open(&format!("sqlite:{}", folder.file())).await.expect("it opens");
    let (start, key) = (now(), open(&one, now()).await);
    for generation in 0..20 {
        let mut racers = JoinSet::new();
        for racer in 0..16 {
            let store = if racer % 2 == 0 { one.clone() } else { two.clone() };
            let (key, later) = (key.clone(), start + Duration::from_secs(60));
            racers.spawn(
                async move { store.advance(&key, generation, later).await.expect("the file is there") },
            );
        }
        let answers = racers.join_all().await;
        assert_eq!(answers.iter().filter(|answer| answer.applied).count(), 1);
        for answer in answers {
            let mut record = answer.record.expect("it is there");
            assert_eq!(record.generation(), generation + 1);
            assert!(!record.advance(generation + 1, start + DAY / 2), "it is not confirmed");
        }
        confirm(&two, &key, start).await.expect("the file is there");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn disconnected_reader_resumes_without_a_gap() {
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.file()).await.expect("it opens");
    let first = open(&store, now()).await;
    store.revoke(&Revoke::Session(first.clone()), now()).await.expect("it is ended");
    let read = store.feed(&FeedFrom::Since(now() - DAY)).await.expect("the feed is read");
    assert_eq!(read.events, [FeedEvent::Revoked(first)]);
    // Two batches of events, while the reader is disconnected.
    let mut missed = Vec::new();
    for _ in 0..30 {
        let name = subject(unique());
        for _ in 0..60 {
            store.create(&name, &record(now()), None).await.expect("it is created");
        }
        let all = Revoke::Subject { subject: name, before: None, except: None };
        missed.extend(store.revoke(&all, now()).await.expect("they are ended"));
    }
    drop(store);
    let later = SqliteStore::open(&folder.file()).await.expect("it opens again");
    let (mut from, mut seen) = (FeedFrom::After(read.position), Vec::new());
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
async fn file_restored_from_a_copy_reports_a_gap() {
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.file()).await.expect("it opens");
    let at = now();
    store.mark_stale(&FeedEvent::SubjectStale(subject("a"), at)).await.expect("it is marked");
    let event = FeedEvent::SubjectStale(subject("a"), at);
    let read = store.feed(&FeedFrom::Since(at)).await.expect("the feed is read");
    assert_eq!(read.events, std::slice::from_ref(&event));
    // The last row differs, under the same number.
    let admin = sqlx::SqlitePool::connect(&folder.file()).await.expect("it opens");
    sqlx::raw_sql("UPDATE sliding_sessions_feed SET mark = 1").execute(&admin).await.expect("it is changed");
    let batch = store.feed(&FeedFrom::After(read.position)).await.expect("the feed is read");
    assert!(batch.gap);
    assert_eq!(batch.events, [event], "all events");
    let next = store.feed(&FeedFrom::After(batch.position)).await.expect("the feed is read");
    assert!(!next.gap && next.events.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn expired_sessions_are_swept_and_old_events_are_pruned() {
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.file()).await.expect("it opens");
    let long_ago = now() - 3 * DAY;
    for _ in 0..1100 {
        open(&store, long_ago).await;
    }
    let (kept, expired) = (open(&store, now()).await, open(&store, long_ago).await);
    // An event of a subject, and not of a session: a concurrent sweep may have removed those.
    let mark = FeedEvent::SubjectStale(expired.subject.clone(), long_ago);
    store.mark_stale(&mark).await.expect("it is marked");
    store.sweep(now()).await.expect("it is swept");
    assert!(store.get(&kept).await.expect("it is read").record.is_some());
    assert!(store.get(&expired).await.expect("it is read").record.is_none());
    assert_eq!(store.sweep(now()).await.expect("it is swept"), 0);

    let batch = store.feed(&FeedFrom::Since(long_ago)).await.expect("the feed is read");
    assert!(batch.gap && batch.events.is_empty(), "pruned events are a gap");
    assert!(!store.feed(&FeedFrom::Since(now() - DAY)).await.expect("the feed is read").gap);
    let idle = store.feed(&FeedFrom::After(batch.position)).await.expect("the feed is read");
    assert!(!idle.gap, "no gap for a reader of the pruned events");
    let start = "0:0".into();
    assert!(store.feed(&FeedFrom::After(start)).await.expect("the feed is read").gap);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn creating_sessions_sweeps_now_and_then() {
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.file()).await.expect("it opens");
    let dead = open(&store, now() - 3 * DAY).await;
    open(&store, now()).await;
    for _ in 0..100 {
        if store.get(&dead).await.expect("it is read").record.is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it was not swept");
}
