//! A store in Redis Cluster is divided into shards, so that its nodes share the work.

use std::collections::BTreeSet;

use tower_sliding_sessions::store::{
    FeedBatch, FeedEvent, FeedFrom, RedisStore, Revoke, SessionKey, SessionStore as _, StoreError,
};

use super::{causes, cluster::Cluster, now, open, sentinel::until, server::Server, subject};

/// As `RedisStore::cluster` documents.
const SHARDS: usize = 3;

/// A cluster of three primaries, and a session of each of 60 users.
async fn start() -> (Cluster, RedisStore, Vec<SessionKey>) {
    let cluster = Cluster::start().await;
    let store = cluster.store().await;
    let mut sessions = Vec::new();
    for _ in 0..60 {
        sessions.push(open(&store, &subject()).await);
    }
    (cluster, store, sessions)
}

async fn position(store: &RedisStore) -> String {
    store.feed(&FeedFrom::Since(now())).await.expect("the feed").position
}

async fn after(store: &RedisStore, position: &str) -> FeedBatch {
    store.feed(&FeedFrom::After(position.to_owned())).await.expect("the feed")
}

/// The keys with this end, one of each shard.
async fn keys_of(cluster: &Cluster, end: &str) -> Vec<(String, u16)> {
    let keys: Vec<_> = cluster.keys().await.into_iter().filter(|(key, _)| key.ends_with(end)).collect();
    assert_eq!(keys.len(), SHARDS, "{keys:?}");
    keys
}

async fn server_of(cluster: &Cluster, slot: u16) -> &Server {
    &cluster.servers[cluster.owners(slot).await.0]
}

#[tokio::test]
async fn nodes_of_a_cluster_share_the_sessions_and_the_feed() {
    let (cluster, store, sessions) = start().await;
    let start = position(&store).await;
    for key in &sessions {
        store.revoke(&Revoke::Session(key.clone()), now()).await.expect("it is revoked");
    }
    let keys = cluster.keys().await;
    let slots: BTreeSet<_> = keys.iter().map(|(_, slot)| *slot).collect();
    assert_eq!(slots.len(), SHARDS, "{slots:?}");
    keys_of(&cluster, ":feed").await;
    for server in &cluster.servers[..3] {
        let own: Vec<String> = server.ask("KEYS *").await;
        assert!(own.len() > 2 * (1 + 1), "{} keys on one of three nodes", own.len());
    }
    // Another instance gets all events.
    let other = cluster.store().await;
    let (mut missing, mut place): (Vec<_>, _) = (sessions.clone(), start);
    while !missing.is_empty() {
        let batch = after(&other, &place).await;
        assert!(!batch.gap && !batch.events.is_empty(), "{} events are missing", missing.len());
        missing.retain(|key| !batch.events.contains(&FeedEvent::Revoked(key.clone())));
        place = batch.position;
    }
    assert!(after(&other, &place).await.events.is_empty());
}

#[tokio::test]
async fn event_in_any_shard_ends_a_wait_at_once_and_no_event_is_lost_between_reads() {
    let (cluster, store, sessions) = start().await;
    let other = cluster.store().await;
    let mut place = position(&other).await;
    for key in sessions.iter().take(20) {
        let reader = other.clone();
        let from = FeedFrom::After(place);
        let reading = tokio::spawn(async move { reader.feed(&from).await });
        tokio::task::yield_now().await;
        store.revoke(&Revoke::Session(key.clone()), now()).await.expect("it is revoked");
        let mut batch = reading.await.expect("it ends").expect("the feed");
        while batch.events.is_empty() {
            batch = after(&other, &batch.position).await;
        }
        assert_eq!((batch.events, batch.gap), (vec![FeedEvent::Revoked(key.clone())], false));
        place = batch.position;
    }
}

#[tokio::test]
async fn node_that_fails_leaves_the_users_of_the_others_undisturbed() {
    let (mut cluster, store, sessions) = start().await;
    for server in &cluster.servers {
        let _: String = server.ask("CONFIG SET cluster-require-full-coverage no").await;
    }
    let start = position(&store).await;
    cluster.servers[0].kill();
    cluster.servers[3].kill();
    let other = &cluster.servers[1];
    until("the node is taken for failed", async || {
        other.ask::<String>("CLUSTER NODES").await.contains("fail")
    })
    .await;
    let (mut served, mut unavailable) = (0, 0);
    for key in &sessions {
        match store.get(key).await {
            Ok(snapshot) => {
                assert!(snapshot.record.is_some(), "a session is lost");
                served += 1;
            }
            Err(StoreError::Unavailable(_)) => unavailable += 1,
            Err(error) => panic!("{}", causes(&error)),
        }
    }
    assert!(served > 20 && unavailable > 5, "{served} served, {unavailable} unavailable");
    // An instance that cannot know what one shard says must learn that.
    let feed = store.feed(&FeedFrom::After(start.clone())).await;
    assert!(matches!(feed, Err(StoreError::Unavailable(_))), "{feed:?}");
    // What is revoked in the others arrives, but the reader is not up to date.
    for key in &sessions {
        if store.revoke(&Revoke::Session(key.clone()), now()).await.is_ok() {
            let batch = after(&store, &start).await;
            assert!(batch.events.contains(&FeedEvent::Revoked(key.clone())) && batch.more && !batch.gap);
            let feed = store.feed(&FeedFrom::After(batch.position)).await;
            assert!(matches!(feed, Err(StoreError::Unavailable(_))), "{feed:?}");
            served -= 1;
        }
    }
    assert_eq!(served, 0, "some could not be revoked");
}

#[tokio::test]
async fn shard_that_lost_the_run_id_or_has_an_older_one_gets_that_of_the_others() {
    let (cluster, store, sessions) = start().await;
    let place = position(&store).await;
    let run = after(&store, &place).await.run;
    let [lost, older, ..] = &keys_of(&cluster, ":run").await[..] else { panic!("run IDs") };
    let () = server_of(&cluster, lost.1).await.ask(&format!("DEL {}", lost.0)).await;
    for key in &sessions {
        let found = store.get(key).await.expect("an answer");
        assert!(found.record.is_some() && found.run == run, "a session ended with a shard's run ID");
    }
    // Also if the first call is one that revokes.
    for (index, key) in sessions.iter().enumerate().take(20) {
        let () = server_of(&cluster, lost.1).await.ask(&format!("DEL {}", lost.0)).await;
        let what = match index % 2 {
            0 => Revoke::Session(key.clone()),
            _ => Revoke::Subject { subject: key.subject.clone(), before: None, except: None },
        };
        assert_eq!(store.revoke(&what, now()).await.expect("it is revoked"), [key.id]);
    }

    let newer = run.next();
    assert_eq!(store.raise_run_id(newer).await.expect("it is raised"), newer);
    let old = format!("SET {} {run}", older.0);
    let () = server_of(&cluster, older.1).await.ask(&old).await;
    let batch = after(&store, &place).await;
    assert_eq!(batch.run, newer);
    assert!(batch.events.contains(&FeedEvent::Run(newer)));
    for key in &sessions {
        let found = store.get(key).await.expect("an answer");
        assert!(found.record.is_none() && found.run == newer, "a session of an older run ID");
    }
}

async fn run_ids(cluster: &Cluster, keys: &[(String, u16)]) -> Vec<String> {
    let mut run_ids = Vec::new();
    for (key, slot) in keys {
        run_ids.push(server_of(cluster, *slot).await.ask(&format!("GET {key}")).await);
    }
    run_ids
}

#[tokio::test]
async fn run_id_that_some_shards_did_not_take_is_an_error_that_names_one_and_holds_in_all() {
    let (cluster, store, sessions) = start().await;
    for server in &cluster.servers {
        let _: String = server.ask("CONFIG SET cluster-require-full-coverage no").await;
    }
    let keys = keys_of(&cluster, ":run").await;
    let place = position(&store).await;
    let newer = after(&store, &place).await.run.next();
    let frozen = keys.iter().find(|(_, slot)| *slot < 16_384 / 3).expect("one of the first node").1;
    cluster.servers[0].freeze();
    cluster.servers[3].freeze();
    for _ in 0..2 {
        let raised = store.raise_run_id(newer).await;
        let Err(error @ StoreError::Unavailable(_)) = raised else { panic!("{raised:?}") };
        let causes = causes(&error);
        assert!(causes.contains("raised in 2 of 3 shards") && causes.contains("Repeat"), "{causes}");
        assert!(causes.contains(&format!("shard 1 of 3 (slot {frozen})")), "{causes}");
        assert!(!causes.contains("tss"), "a key: {causes}");
    }
    let batch = after(&store, &place).await;
    assert!(batch.run == newer && batch.events.contains(&FeedEvent::Run(newer)), "{batch:?}");
    let (mut served, mut unavailable) = (0, 0);
    for key in &sessions[..20] {
        match store.get(key).await {
            Ok(found) => {
                assert!(found.record.is_none() && found.run == newer, "a session of an older run ID");
                served += 1;
            }
            Err(error) => {
                assert!(causes(&error).contains(&format!("shard 1 of 3 (slot {frozen})")), "{error:?}");
                unavailable += 1;
            }
        }
    }
    assert!(served > 0 && unavailable > 0, "{served} served, {unavailable} unavailable");
    cluster.servers[0].thaw();
    cluster.servers[3].thaw();
    until("all shards have it", async || store.raise_run_id(newer).await.ok() == Some(newer)).await;
    cluster.complete().await;
    assert_eq!(run_ids(&cluster, &keys).await, vec![newer.to_string(); SHARDS]);
}

#[tokio::test]
async fn raise_below_the_run_id_of_one_shard_returns_that_one_and_gives_it_to_all() {
    let (cluster, store, sessions) = start().await;
    let keys = keys_of(&cluster, ":run").await;
    let older = store.get(&sessions[0]).await.expect("an answer").run.next();
    let newest = older.next();
    let (key, slot) = &keys[1];
    let () = server_of(&cluster, *slot).await.ask(&format!("SET {key} {newest}")).await;
    assert_eq!(store.raise_run_id(older).await.expect("it is raised"), newest);
    assert_eq!(run_ids(&cluster, &keys).await, vec![newest.to_string(); SHARDS]);
}

#[tokio::test]
async fn new_instance_does_not_believe_a_shard_with_an_older_run_id() {
    let (cluster, store, sessions) = start().await;
    let older = store.get(&sessions[0]).await.expect("an answer").run;
    let newest = store.raise_run_id(older.next()).await.expect("it is raised");
    for (key, slot) in keys_of(&cluster, ":run").await {
        let () = server_of(&cluster, slot).await.ask(&format!("SET {key} {older}")).await;
        let new = cluster.store().await;
        for key in &sessions {
            let found = new.get(key).await.expect("an answer");
            assert!(found.record.is_none() && found.run == newest, "a session of an older run ID");
        }
    }
}

#[tokio::test]
async fn gap_in_one_shard_is_a_gap_of_the_feed() {
    let (cluster, store, sessions) = start().await;
    for key in &sessions {
        store.revoke(&Revoke::Session(key.clone()), now()).await.expect("it is revoked");
    }
    let place = position(&store).await;
    assert!(!after(&store, &place).await.gap);
    let (feed, slot) = keys_of(&cluster, ":feed").await.remove(2);
    let () = server_of(&cluster, slot).await.ask(&format!("DEL {feed}")).await;
    let batch = after(&store, &place).await;
    assert!(batch.gap);
    assert!(!after(&store, &batch.position).await.gap, "a gap is reported once");
    for foreign in ["", "1-0 a", "1-0 a,1-0 b", "no position"] {
        assert!(after(&store, foreign).await.gap, "{foreign:?}");
    }
}
