//! Failover to a replica that lacks the last write.

use std::time::Duration;

use tokio::time::sleep;
use tower_sliding_sessions::store::{
    FeedBatch, FeedEvent, FeedFrom, RedisStore, Revoke, SessionKey, SessionStore as _, StoreError,
    redis_client::cmd,
};

use super::{causes, end, now, open, proxy::Proxy, server::Server, store_at, subject};

/// A primary, and a replica that has received everything so far.
async fn pair() -> (Server, Server) {
    let primary = Server::start(&[]).await;
    let replica = Server::start(&["--replicaof", &format!("127.0.0.1 {}", primary.port)]).await;
    for _ in 0..200 {
        if replica.ask::<String>("INFO replication").await.contains("master_link_status:up") {
            return (primary, replica);
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("the replica does not follow");
}

/// Waits until a replica has everything.
async fn caught_up(primary: &Server) {
    let mut connection = primary.connection().await.expect("a connection");
    let () = cmd("SET").arg("marker").arg(1).query_async(&mut connection).await.expect("an answer");
    // It waits for what this connection wrote last.
    for _ in 0..20 {
        let waited = cmd("WAIT").arg(1).arg(300).query_async::<u64>(&mut connection).await;
        if waited.expect("an answer") == 1 {
            return;
        }
    }
    panic!("the replica lags");
}

async fn read(store: &RedisStore, from: &str) -> FeedBatch {
    for _ in 0..20 {
        if let Ok(batch) = store.feed(&FeedFrom::After(from.to_owned())).await {
            return batch;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("the feed does not recover");
}

#[tokio::test]
async fn readers_get_a_gap_after_a_failover_and_a_repeated_revocation_holds() {
    // With and without a write to the new primary before the reader returns.
    for written_meanwhile in [false, true] {
        let (primary, replica) = pair().await;
        let proxy = Proxy::start(primary.port).await;
        let store = store_at(&proxy.url()).await;
        let (key, other) = (open(&store, &subject()).await, open(&store, &subject()).await);
        let start = store.feed(&FeedFrom::Since(now())).await.expect("the feed").position;
        caught_up(&primary).await;

        // The last write reaches the reader, and not the replica.
        let () = replica.ask("REPLICAOF NO ONE").await;
        end(&store, &key).await;
        let heard = read(&store, &start).await;
        assert_eq!((heard.events, heard.gap), (vec![FeedEvent::Revoked(key.clone())], false));
        proxy.move_to(replica.port);
        if written_meanwhile {
            end(&store_at(&replica.url()).await, &other).await;
        }

        let after = read(&store, &heard.position).await;
        assert!(after.gap, "other events may be lost too");
        let live = store.get(&key).await.expect("an answer").record.expect("the session exists");
        assert!(!live.is_revoked(), "the end of the session was lost");

        // An instance that remembers the revocation writes it again.
        let ended = store.revoke(&Revoke::Session(key.clone()), now()).await.expect("an answer");
        assert_eq!(ended, [key.id]);
        let again = read(&store, &after.position).await;
        assert!(again.events.contains(&FeedEvent::Revoked(key)) && !again.gap, "{again:?}");
    }
}

/// `refuse` makes the old primary refuse calls. Its name points to the new primary then, but the connections to the old
/// one stay open.
async fn old_primary_is_left_within_one_call(refuse: impl AsyncFnOnce(&Server, &Server, &SessionKey)) {
    let (primary, replica) = pair().await;
    let proxy = Proxy::start(primary.port).await;
    let store = store_at(&proxy.url()).await;
    let key = open(&store, &subject()).await;
    caught_up(&primary).await;
    let start = store.feed(&FeedFrom::Since(now())).await.expect("the feed").position;
    let () = replica.ask("REPLICAOF NO ONE").await;
    refuse(&primary, &replica, &key).await;
    proxy.point_to(replica.port);
    let ended = store.revoke(&Revoke::Session(key.clone()), now()).await;
    assert_eq!(ended.expect("the first call goes to the new primary"), [key.id]);
    let batch = read(&store, &start).await;
    assert!(batch.gap && batch.events.contains(&FeedEvent::Revoked(key)), "{batch:?}");
}

#[tokio::test]
async fn demoted_primary_is_left_within_one_call() {
    old_primary_is_left_within_one_call(async |primary, replica, _| {
        let () = primary.ask(&format!("REPLICAOF 127.0.0.1 {}", replica.port)).await;
    })
    .await;
}

/// The primary is cut off from its replicas and the Sentinels, but not from this instance.
#[tokio::test]
async fn primary_that_has_lost_its_replicas_is_left_within_one_call() {
    old_primary_is_left_within_one_call(async |primary, _, key| {
        let () = primary.ask("CONFIG SET min-replicas-to-write 1").await;
        let refused = store_at(&primary.url()).await.get(key).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    })
    .await;
}

#[tokio::test]
async fn replica_is_no_source_of_sessions_or_events() {
    let (primary, replica) = pair().await;
    let proxy = Proxy::start(primary.port).await;
    let store = store_at(&proxy.url()).await;
    let key = open(&store, &subject()).await;
    caught_up(&primary).await;
    let start = store.feed(&FeedFrom::Since(now())).await.expect("the feed").position;

    // The primary becomes a replica, and the connections to it stay open.
    let () = replica.ask("REPLICAOF NO ONE").await;
    let () = primary.ask(&format!("REPLICAOF 127.0.0.1 {}", replica.port)).await;
    for _ in 0..2 {
        let read = store.get(&key).await;
        assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
        let followed = store.feed(&FeedFrom::After(start.clone())).await;
        assert!(matches!(followed, Err(StoreError::Unavailable(_))), "{followed:?}");
        let listed = store.list(&key.subject, now()).await;
        assert!(matches!(listed, Err(StoreError::Unavailable(_))), "{listed:?}");
    }
    let error = RedisStore::connect(&proxy.url()).await.expect_err("it is a replica");
    assert!(causes(&error).contains("replica"), "{}", causes(&error));
    proxy.point_to(replica.port);
    assert!(store.get(&key).await.expect("an answer").record.is_some());
    assert!(read(&store, &start).await.gap);
}

#[tokio::test]
async fn run_id_lost_in_a_failover_is_raised_again() {
    let (primary, replica) = pair().await;
    let proxy = Proxy::start(primary.port).await;
    let store = store_at(&proxy.url()).await;
    let key = open(&store, &subject()).await;
    let old = store.get(&key).await.expect("an answer").run;
    caught_up(&primary).await;

    let () = replica.ask("REPLICAOF NO ONE").await;
    let new = store.raise_run_id(old.next()).await.expect("an answer");
    assert!(store.get(&key).await.expect("an answer").record.is_none());
    let start = store.feed(&FeedFrom::Since(now())).await.expect("the feed").position;
    proxy.move_to(replica.port);

    let lost = read(&store, &start).await;
    assert_eq!((lost.run, lost.gap), (old, true), "the feed reports the older run ID");
    assert!(store.get(&key).await.expect("an answer").record.is_some(), "the revoked session is back");
    assert_eq!(store.raise_run_id(new).await.expect("an answer"), new);
    let snapshot = store.get(&key).await.expect("an answer");
    assert_eq!((snapshot.run, snapshot.record), (new, None));
    let raised = read(&store, &lost.position).await;
    assert_eq!((raised.run, raised.events), (new, vec![FeedEvent::Run(new)]));
}
