//! The conformance suite against the memory store, and what only the memory store guarantees.
#![expect(clippy::expect_used, reason = "a failed test is a panic")]

#[path = "support/records.rs"]
#[expect(dead_code, reason = "shared with the tests of other stores")]
mod records;

use std::time::Duration;

use tower_sliding_sessions::{
    Clock as _, SystemClock, Timestamp,
    store::{
        Cap, CreateError, FeedEvent, FeedFrom, MemoryStore, Revoke, SessionKey, SessionRecord,
        SessionStore as _, StoreError, Subject, conformance,
    },
};

const HOUR: Duration = Duration::from_secs(60 * 60);

async fn store() -> MemoryStore {
    MemoryStore::new().expect("random bytes")
}

mod suite {
    tower_sliding_sessions::store_conformance!(super::store);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn suite_passes_on_one_store_for_all_cases() {
    let shared = store().await;
    conformance::run(async || shared.clone()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn suite_passes_on_one_store_with_all_cases_in_parallel() {
    let shared = store().await;
    let mut running = tokio::task::JoinSet::new();
    for name in conformance::cases() {
        let shared = shared.clone();
        running.spawn(conformance::run_case(name, shared));
    }
    running.join_all().await;
}

fn subject(name: &str) -> Subject {
    Subject { realm: "test".into(), name: name.into() }
}

/// A session that lasts one hour from `now`, and one day if it is used.
fn record(now: Timestamp) -> SessionRecord {
    records::record(now, HOUR, 24 * HOUR)
}

async fn create(store: &MemoryStore, name: &str, now: Timestamp) -> Result<SessionKey, CreateError> {
    let (subject, record) = (subject(name), record(now));
    store.create(&subject, &record, None).await?;
    Ok(SessionKey { subject, id: record.id() })
}

#[tokio::test]
async fn clones_share_their_sessions_and_separate_stores_do_not() {
    let (one, other, now) = (store().await, store().await, SystemClock.now());
    let clone = one.clone();
    let key = create(&one, "ada", now).await.expect("created");
    assert!(clone.get(&key).await.expect("answer").record.is_some());
    assert_eq!((one.len(), clone.len(), clone.is_empty(), other.is_empty()), (1, 1, false, true));
    assert!(other.get(&key).await.expect("answer").record.is_none());
    assert_ne!(one.run_id_now(), other.run_id_now(), "a restart has a new run ID");

    clone.revoke(&Revoke::Session(key.clone()), now).await.expect("answer");
    assert!(one.get(&key).await.expect("answer").record.expect("kept").is_revoked());
    let batch = one.feed(&FeedFrom::Since(now)).await.expect("answer");
    assert_eq!(batch.events, [FeedEvent::Revoked(key.clone())]);
}

#[tokio::test]
async fn sweeping_bounds_the_number_of_sessions() {
    let (store, start) = (store().await, SystemClock.now());
    // One and a half days of sign-ins, about one per second, by subjects that never return.
    let mut most = 0;
    for step in 0..20_000_u32 {
        create(&store, &step.to_string(), start + Duration::from_secs(6) * step).await.expect("created");
        most = most.max(store.len());
    }
    // 600 of them live at a time. Each of the 1024 shards is swept when a subject of it signs in,
    // about every 1024 sign-ins.
    assert!(most < 3000, "{most} sessions, of which at most 600 are live");
}

#[tokio::test]
async fn sign_in_sweeps_a_part_that_is_no_larger_at_a_greater_capacity() {
    let (store, start) = (MemoryStore::with_capacity(50_000_000).expect("random bytes"), SystemClock.now());
    for name in 0..16_000 {
        create(&store, &name.to_string(), start).await.expect("created");
    }
    // All have expired. A 1024th would be 16 of them.
    let later = start + 2 * HOUR;
    create(&store, "ada", later).await.expect("created");
    assert!(store.len() > 16_001 - 6, "{} were swept at once", 16_001 - store.len());
}

#[tokio::test]
async fn ended_sessions_are_kept_until_their_absolute_timeout_and_then_swept() {
    let (store, start) = (store().await, SystemClock.now());
    let key = create(&store, "ada", start).await.expect("created");
    store.revoke(&Revoke::Session(key.clone()), start).await.expect("answer");
    let before_the_limit = start + 24 * HOUR - Duration::from_secs(120);
    create(&store, "ada", before_the_limit).await.expect("created");
    assert_eq!(store.len(), 2);
    let kept = store.get(&key).await.expect("answer").record.expect("kept for the denylist");
    assert!(kept.is_revoked());
    assert_eq!(records::read(&kept)["claims"], "null", "claims of an ended session are dropped");

    create(&store, "ada", start + 24 * HOUR).await.expect("created");
    assert_eq!(store.len(), 2);
    assert!(store.get(&key).await.expect("answer").record.is_none());
}

#[tokio::test]
async fn sign_in_at_capacity_fails_and_ends_no_other_session() {
    let (store, now) = (MemoryStore::with_capacity(3).expect("random bytes"), SystemClock.now());
    let mut keys = Vec::new();
    for name in ["0", "1", "2"] {
        keys.push(create(&store, name, now).await.expect("there is room"));
    }
    for name in ["one too many", "0"] {
        let full = create(&store, name, now).await;
        assert!(matches!(full, Err(CreateError::Store(StoreError::Full))), "{full:?}");
    }
    assert_eq!(store.len(), 3);
    for key in &keys {
        let record = store.get(key).await.expect("answer").record.expect("kept");
        assert!(record.is_live(now));
    }
}

#[tokio::test]
async fn expired_sessions_make_room_for_every_subject() {
    let (store, now) = (MemoryStore::with_capacity(3).expect("random bytes"), SystemClock.now());
    for name in ["0", "1", "2"] {
        create(&store, name, now).await.expect("there is room");
    }
    let later = now + HOUR;
    create(&store, "another user", later).await.expect("the other three have expired");
    assert_eq!(store.len(), 1);
}

#[tokio::test]
async fn concurrent_sign_ins_never_exceed_the_capacity() {
    let (store, now) = (MemoryStore::with_capacity(10).expect("random bytes"), SystemClock.now());
    let mut racers = tokio::task::JoinSet::new();
    for racer in 0..64 {
        let store = store.clone();
        racers.spawn(async move { create(&store, &racer.to_string(), now).await.is_ok() });
    }
    let admitted = racers.join_all().await.into_iter().filter(|admitted| *admitted).count();
    assert_eq!((admitted, store.len()), (10, 10));
}

#[tokio::test]
async fn reader_that_falls_behind_gets_a_gap() {
    let (store, now) = (store().await, SystemClock.now());
    let behind = store.feed(&FeedFrom::Since(now)).await.expect("answer");
    assert!(!behind.gap);
    let ada = |at| FeedEvent::SubjectStale(subject("ada"), at);
    for _ in 0..20_000 {
        store.mark_stale(&ada(now)).await.expect("answer");
    }
    let batch = store.feed(&FeedFrom::After(behind.position)).await.expect("answer");
    assert!(batch.gap, "20000 events exceed the limit");
    // A new reader gets a gap too: events since its start are gone, although events with an older time
    // are there.
    for _ in 0..20_000 {
        store.mark_stale(&ada(now - HOUR)).await.expect("answer");
    }
    assert!(store.feed(&FeedFrom::Since(now)).await.expect("answer").gap);
    assert!(!store.feed(&FeedFrom::Since(now + HOUR)).await.expect("answer").gap);
}

#[tokio::test]
async fn revoked_sessions_of_one_account_leave_room_for_others() {
    let (store, now) = (MemoryStore::with_capacity(100).expect("random bytes"), SystemClock.now());
    let (mallory, cap) = (subject("mallory"), Cap::RevokeOldest(2));
    for _ in 0..1000 {
        store.create(&mallory, &record(now), Some(cap)).await.expect("there is room for two");
    }
    assert_eq!(store.list(&mallory, now).await.expect("answer").len(), 2);
    for name in 0..98 {
        create(&store, &name.to_string(), now).await.expect("there is room for 98 more");
    }
    let full = create(&store, "one too many", now).await;
    assert!(matches!(full, Err(CreateError::Store(StoreError::Full))), "{full:?}");
    // A sign-in that replaces a session needs no room.
    store.create(&mallory, &record(now), Some(cap)).await.expect("it replaces one");
    assert_eq!(store.len(), 200, "100 live ones, and 100 revoked ones that are remembered");
}

#[tokio::test]
async fn latest_revoked_sessions_are_kept_up_to_the_capacity() {
    let (store, now) = (MemoryStore::with_capacity(10).expect("random bytes"), SystemClock.now());
    let mut revoked = Vec::new();
    for _ in 0..50 {
        let key = create(&store, "ada", now).await.expect("there is room");
        store.revoke(&Revoke::Session(key.clone()), now).await.expect("answer");
        revoked.push(key);
    }
    let mut remembered = Vec::new();
    for key in &revoked {
        remembered.extend(
            store.get(key).await.expect("answer").record.map(|record| (record.id(), record.is_revoked())),
        );
    }
    assert_eq!(remembered, revoked[40..].iter().map(|key| (key.id, true)).collect::<Vec<_>>());
    assert_eq!(store.len(), 10);
}

/// Opens `times` sessions of one subject, and revokes each.
async fn create_and_revoke(store: &MemoryStore, name: &str, times: u32, now: Timestamp) -> SessionKey {
    let mut last = None;
    for _ in 0..times {
        let key = create(store, name, now).await.expect("there is room");
        store.revoke(&Revoke::Session(key.clone()), now).await.expect("answer");
        last = Some(key);
    }
    last.expect("at least one")
}

#[tokio::test]
async fn many_revocations_of_one_subject_make_no_gap_in_the_feed() {
    let (store, now) = (store().await, SystemClock.now());
    let behind = store.feed(&FeedFrom::Since(now)).await.expect("answer").position;
    let bob = create_and_revoke(&store, "bob", 1, now).await;
    let last = create_and_revoke(&store, "mallory", 40_000, now).await;
    for _ in 0..17_000 {
        create(&store, "mallory", now).await.expect("there is room");
    }
    let all = Revoke::Subject { subject: subject("mallory"), before: None, except: None };
    assert_eq!(store.revoke(&all, now).await.expect("answer").len(), 17_000);

    for from in [FeedFrom::After(behind), FeedFrom::Since(now)] {
        let batch = store.feed(&from).await.expect("answer");
        assert!(!batch.gap, "40000 revocations of one subject take few events");
        assert!(batch.events.len() < 1000, "{} events", batch.events.len());
        assert!(batch.events.contains(&FeedEvent::Revoked(bob.clone())), "events of others stay");
        let about_mallory = |event: &FeedEvent| match event {
            FeedEvent::Revoked(key) => *key == last,
            FeedEvent::SubjectStale(of, at) => of.name == last.subject.name && *at > now,
            _ => false,
        };
        assert!(batch.events.iter().any(about_mallory), "the store is asked about every token of mallory's");
        let revoked = |event: &FeedEvent| matches!(event, FeedEvent::SubjectRevoked { .. });
        assert_eq!(batch.events.iter().filter(|event| revoked(event)).count(), 1);
    }
}

#[tokio::test]
async fn reader_gets_each_event_once_while_one_subject_floods_the_feed() {
    let (store, now) = (store().await, SystemClock.now());
    let mut position = store.feed(&FeedFrom::Since(now)).await.expect("answer").position;
    for round in 0..1000 {
        let last = create_and_revoke(&store, "mallory", 1 + round % 3, now).await;
        let bob = create_and_revoke(&store, &round.to_string(), 1, now).await;
        let batch = store.feed(&FeedFrom::After(position)).await.expect("answer");
        let of_mallory = |event: &FeedEvent| match event {
            FeedEvent::Revoked(key) => *key == last,
            FeedEvent::SubjectStale(of, _) => *of == last.subject,
            _ => false,
        };
        assert!(!batch.gap && batch.events.contains(&FeedEvent::Revoked(bob)), "round {round}");
        assert!(batch.events.iter().any(of_mallory), "round {round}: {:?}", batch.events);
        assert!(batch.events.len() <= 4);
        position = batch.position;
    }
}

#[tokio::test]
async fn events_leave_the_feed_after_one_hour() {
    let (store, start) = (store().await, SystemClock.now());
    let behind = store.feed(&FeedFrom::Since(start)).await.expect("answer").position;
    for minute in 0..180 {
        create_and_revoke(&store, &minute.to_string(), 1, start + Duration::from_secs(60) * minute).await;
    }
    let all = store.feed(&FeedFrom::Since(Timestamp::EPOCH)).await.expect("answer");
    assert_eq!(all.events.len(), 61);
    assert!(all.gap && store.feed(&FeedFrom::After(behind)).await.expect("answer").gap);
    assert!(!store.feed(&FeedFrom::Since(start + Duration::from_secs(60) * 120)).await.expect("answer").gap);
}
