//! A primary dies with writes that no replica has.

use std::{sync::atomic::Ordering, time::Duration};

use axum::http::StatusCode;
use tower_sliding_sessions::{
    Clock as _, SystemClock,
    store::{FeedBatch, FeedEvent, FeedFrom, PostgresStore, Revoke, SessionKey, SessionStore as _, Subject},
};

use crate::{
    ASSERTION,
    cluster::{Cluster, Fault, hosts, now, url},
    instance::Instance,
    records, recovery, schema,
};

const HOUR: Duration = Duration::from_secs(3600);

/// A session that no instance knows.
async fn open(store: &PostgresStore) -> SessionKey {
    let record = records::record(SystemClock.now(), HOUR, HOUR);
    let subject = Subject { realm: "other".into(), name: record.id().encode().into() };
    store.create(&subject, &record, None).await.expect("it is created");
    SessionKey { subject, id: record.id() }
}

async fn revoke(store: &PostgresStore, key: &SessionKey) {
    store.revoke(&Revoke::Session(key.clone()), SystemClock.now()).await.expect("it is revoked");
}

/// Reads on to the end.
async fn read(store: &PostgresStore, from: FeedFrom) -> FeedBatch {
    loop {
        let batch = store.feed(&from).await;
        match batch {
            Ok(batch) => break batch,
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn feed_position_of_a_lost_timeline_is_a_gap_and_lost_revocations_are_written_again() {
    let cluster = Cluster::take("asynchronous").await;
    let schema = schema().await;
    let direct = PostgresStore::connect_in_schema(&url(), &schema).await.expect("the cluster answers");
    let instance = Instance::start(&url(), &schema).await;
    let other = Instance::start(&hosts(), &schema).await;
    let (kept, lost) = (open(&direct).await, open(&direct).await);
    revoke(&direct, &kept).await;
    let behind = read(&direct, FeedFrom::Since(SystemClock.now() - HOUR)).await.position;
    let mut jar = instance.sign_in("leaver").await.expect("it answers");
    for instance in [&instance, &other] {
        assert_eq!(instance.visit(&mut jar).await, StatusCode::OK);
    }
    // The replicas have all this. From now on they get nothing.
    tokio::time::sleep(Duration::from_secs(1)).await;
    cluster.does(&["hold_replication"]).await;

    revoke(&direct, &lost).await;
    assert!(instance.sign_out(&jar).await, "the primary alone acknowledges it");
    let ahead = read(&direct, FeedFrom::After(behind.clone())).await;
    assert!(!ahead.gap && ahead.events.contains(&FeedEvent::Revoked(lost.clone())));
    let gaps = [&instance, &other].map(|instance| instance.gaps.load(Ordering::SeqCst));

    cluster.suffers(Fault::Crash).await;
    // Exactly these two were lost: no instance has the realm of the first, so it stays lost.
    let record = direct_get(&direct, &lost).await;
    assert!(!record, "the new primary does not have the revocation");
    assert!(direct_get(&direct, &kept).await, "it has the earlier one");

    // A reader that was behind resumes. One that had read past what the new primary has gets a gap, and all events.
    let resumed = read(&direct, FeedFrom::After(behind)).await;
    assert!(!resumed.gap, "nothing that this reader has read was lost");
    assert!(!resumed.events.contains(&FeedEvent::Revoked(lost.clone())));
    // Also after the new primary has used the same numbers.
    let reused = open(&direct).await;
    for position in [ahead.position.clone(), ahead.position] {
        let batch = read(&direct, FeedFrom::After(position)).await;
        assert!(batch.gap, "{batch:?}");
        assert!(batch.events.contains(&FeedEvent::Revoked(kept.clone())), "{batch:?}");
        revoke(&direct, &reused).await;
    }

    // The instances had read it, too. They serve the session at no time, and write its revocation again.
    let began = now();
    recovery(&[instance.clone(), other.clone()]).await;
    while instance.is_live("leaver").await != Some(false) {
        for instance in [&instance, &other] {
            assert_ne!(instance.visit(&mut jar.clone()).await, StatusCode::OK, "a revoked session is served");
        }
        assert!(began.elapsed() < ASSERTION, "the revocation was not written again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("a lost revocation was written again within {:?}", began.elapsed());
    // Its follower may read the feed later than a request reaches the store.
    for (before, instance) in gaps.into_iter().zip([&instance, &other]) {
        while instance.gaps.load(Ordering::SeqCst) == before {
            assert!(began.elapsed() < ASSERTION, "the instance reports no gap");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    // An instance that starts now learns it.
    let new = Instance::start(&url(), &schema).await;
    let answer = new.visit(&mut jar.clone()).await;
    assert!(answer == StatusCode::UNAUTHORIZED, "{answer}");
    cluster.does(&["ready"]).await;
}

async fn direct_get(store: &PostgresStore, key: &SessionKey) -> bool {
    loop {
        if let Ok(snapshot) = store.get(key).await {
            return snapshot.record.expect("it is there").is_revoked();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
