//! A replica that takes over, and lacks the last write.

use std::time::Duration;

use tokio::time::sleep;
use tower_sliding_sessions::store::{
    FeedBatch, FeedEvent, FeedFrom, FeedPosition, RedisStore, Revoke, SessionStore as _,
};

use super::{end, now, open, proxy::Proxy, server::Server, store_at, subject};

/// A primary with a replica that has everything so far.
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

async fn caught_up(primary: &Server) {
    let () = primary.ask("SET marker 1").await;
    let mut connection = primary.connection().await.expect("a connection");
    let mut wait = tower_sliding_sessions::store::redis::client::cmd("WAIT");
    let replicas: u64 = wait.arg(1).arg(300).query_async(&mut connection).await.expect("an answer");
    assert!(replicas <= 1);
    sleep(Duration::from_millis(200)).await;
}

async fn read(store: &RedisStore, from: &FeedPosition) -> FeedBatch {
    for _ in 0..20 {
        if let Ok(batch) = store.feed(&FeedFrom::After(from.clone())).await {
            return batch;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("the feed does not recover");
}

#[tokio::test]
async fn readers_are_told_of_a_gap_and_what_they_assert_again_holds() {
    // Whether or not somebody writes to the new primary before the reader comes.
    for written_meanwhile in [false, true] {
        let (primary, replica) = pair().await;
        let proxy = Proxy::start(primary.port).await;
        let store = store_at(&proxy.url()).await;
        let (key, other) = (open(&store, &subject()).await, open(&store, &subject()).await);
        let start = store.feed(&FeedFrom::Since(now())).await.expect("the feed").position;
        caught_up(&primary).await;

        // The last write reaches the reader, but not the replica.
        let () = replica.ask("REPLICAOF NO ONE").await;
        end(&store, &key).await;
        let heard = read(&store, &start).await;
        assert_eq!((heard.events, heard.gap), (vec![FeedEvent::Revoked(key.clone())], false));
        proxy.move_to(replica.port);
        if written_meanwhile {
            end(&store_at(&replica.url()).await, &other).await;
        }

        let after = read(&store, &heard.position).await;
        assert!(after.gap, "nobody knows what else was lost");
        let live = store.get(&key).await.expect("an answer").record.expect("the session is there");
        assert!(!live.family.revoked, "the end of the session was lost");

        // What an instance does that remembers it.
        let ended = store.revoke(&Revoke::Session(key.clone()), now()).await.expect("an answer");
        assert_eq!(ended, [key.id]);
        let again = read(&store, &after.position).await;
        assert!(again.events.contains(&FeedEvent::Revoked(key)) && !again.gap, "{again:?}");
    }
}

#[tokio::test]
async fn a_primary_that_was_demoted_is_left() {
    let (primary, replica) = pair().await;
    let proxy = Proxy::start(primary.port).await;
    let store = store_at(&proxy.url()).await;
    let key = open(&store, &subject()).await;
    caught_up(&primary).await;
    let start = store.feed(&FeedFrom::Since(now())).await.expect("the feed").position;
    let () = replica.ask("REPLICAOF NO ONE").await;
    let () = primary.ask(&format!("REPLICAOF 127.0.0.1 {}", replica.port)).await;
    // The name points to the new primary, but nothing cuts the connections to the old one.
    proxy.point_to(replica.port);
    let mut ended = store.revoke(&Revoke::Session(key.clone()), now()).await;
    for _ in 0..20 {
        if ended.is_ok() {
            break;
        }
        sleep(Duration::from_millis(50)).await;
        ended = store.revoke(&Revoke::Session(key.clone()), now()).await;
    }
    assert_eq!(ended.expect("it went to the new primary"), [key.id]);
    let batch = read(&store, &start).await;
    assert!(batch.gap && batch.events.contains(&FeedEvent::Revoked(key)), "{batch:?}");
}
