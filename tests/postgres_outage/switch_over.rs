//! A standby is promoted, and the old primary stays, read-only, with its connections open.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use tower_sliding_sessions::store::{
    FeedEvent, FeedFrom, PostgresStore, Revoke, SessionStore as _, StoreError,
    sqlx::{Connection as _, Executor as _, PgConnection},
};

use crate::{
    HOUR, Server, given, now, open_when_back,
    proxy::{Proxy, port_of},
};

/// Restores the servers after a test, however it ends.
pub(crate) struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        Server::does("restore");
    }
}

/// Starts a standby, and waits until it has the primary's data. Returns its port.
pub(crate) async fn standby() -> (u16, Restore) {
    let restore = Restore;
    let port = Server::says("standby").trim().parse().expect("a port");
    (port, restore)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pool_leaves_the_old_primary_after_a_switch_over() {
    let (_server, direct) = Server::take().await;
    let primary = given("TEST_POSTGRES_URL");
    let proxy = Proxy::to(port_of(&primary)).await;
    let store = PostgresStore::connect(&proxy.url(&primary)).await.expect("the server answers");
    // A warm pool.
    let mut opening = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let store = store.clone();
        opening.spawn(async move { open_when_back(&store).await.0 });
    }
    let keys = opening.join_all().await;
    let from = store.feed(&FeedFrom::Since(now())).await.expect("the feed is read").position;
    let (port, _restore) = standby().await;
    let moved = primary.replace(&port_of(&primary).to_string(), &port.to_string());
    let mut replica = PgConnection::connect(&moved).await.expect("the standby answers");
    Server::does("promote");
    Server::does("fence");
    proxy.move_to(port);
    let began = Instant::now();

    // The new primary gets a revocation that the old one does not have.
    let new = PostgresStore::connect(&moved).await.expect("the new primary answers");
    let (revoked, live) = (keys.first().expect("a session"), keys.last().expect("a session"));
    new.revoke(&Revoke::Session(revoked.clone()), now()).await.expect("it is revoked");

    let mut refused = 0;
    while began.elapsed() < Duration::from_secs(20) {
        match timeout(Duration::from_millis(500), store.get(revoked)).await {
            Ok(Ok(snapshot)) => {
                assert!(snapshot.record.expect("it is there").is_revoked(), "the old primary is not asked");
                break;
            }
            Ok(Err(StoreError::Unavailable(_))) | Err(_) => refused += 1,
            Ok(Err(error)) => panic!("{error:?}"),
        }
    }
    let (key, _) = open_when_back(&store).await;
    println!("PostgreSQL: writes {:?} after a switch-over, {refused} calls refused before", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(5));
    assert!(new.get(&key).await.expect("it is read").record.is_some(), "on the new primary");
    // Every connection of the pool.
    for _ in 0..30 {
        if let Ok(snapshot) = store.get(live).await {
            assert!(!snapshot.record.expect("it is there").is_revoked());
        }
    }
    // The reader resumes on the new primary, or gets a gap.
    let batch = loop {
        match store.feed(&FeedFrom::After(from.clone())).await {
            Ok(batch) => break batch,
            Err(StoreError::Unavailable(_)) => {}
            Err(error) => panic!("{error:?}"),
        }
    };
    assert!(batch.gap || batch.events.contains(&FeedEvent::Revoked(revoked.clone())), "{batch:?}");
    // The old primary, which is read-only, has none of this.
    let old = PgConnection::connect(&primary).await;
    drop(old);
    replica.execute("SELECT 1").await.expect("it answers");
    assert!(matches!(direct.get(revoked).await, Err(StoreError::Unavailable(_))));
}

/// The former primary is cut off from its cluster, and not from this instance.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pool_leaves_a_former_primary_that_still_takes_writes() {
    former_primary_is_left(Duration::ZERO).await;
}

/// The pool tests a connection that was idle for over a second, and replaces it if it is broken. So no call fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn idle_pool_leaves_a_former_primary_that_still_takes_writes() {
    former_primary_is_left(Duration::from_millis(1500)).await;
}

/// Connections to a former primary break after the store was idle for this long.
async fn former_primary_is_left(idle: Duration) {
    let (_server, _direct) = Server::take().await;
    let primary = given("TEST_POSTGRES_URL");
    let (port, _restore) = standby().await;
    let both = format!(":{},127.0.0.1:{port}/", port_of(&primary));
    let both = primary.replacen(&format!(":{}/", port_of(&primary)), &both, 1);
    let store = PostgresStore::connect(&both).await.expect("the primary answers");
    let mut opening = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let store = store.clone();
        opening.spawn(async move { open_when_back(&store).await.0 });
    }
    let revoked = opening.join_all().await.remove(0);
    let moved = primary.replace(&port_of(&primary).to_string(), &port.to_string());
    let new = PostgresStore::connect(&moved).await.expect("the standby has the tables");
    while new.get(&revoked).await.is_err() {
        Server::does("promote");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    new.revoke(&Revoke::Session(revoked.clone()), now()).await.expect("it is revoked");

    tokio::time::sleep(idle).await;
    // Half of the connections break, so the store looks for the primary.
    let mut admin = PgConnection::connect(&primary).await.expect("the former primary answers");
    let broken = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
        WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY query_start DESC LIMIT 6";
    admin.execute(broken).await.expect("it is a superuser");
    let began = Instant::now();
    while store.get(&revoked).await.is_ok_and(|snapshot| !snapshot.record.expect("it is there").is_revoked())
    {
        assert!(began.elapsed() < Duration::from_secs(10), "the new primary was not found");
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    // Every connection of the pool.
    for _ in 0..5 {
        let gets: tokio::task::JoinSet<_> = (0..10)
            .map(|_| (store.clone(), revoked.clone()))
            .map(|(store, key)| async move { store.get(&key).await })
            .collect();
        for got in gets.join_all().await {
            let record = got.expect("an answer").record.expect("it is there");
            assert!(record.is_revoked(), "the former primary was asked");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn store_that_connects_late_finds_the_primary_behind_a_dead_host() {
    let (_server, _direct) = Server::take().await;
    let primary = given("TEST_POSTGRES_URL");
    // Nothing listens at port 1.
    let hosts = format!(":1,127.0.0.1:{}/", port_of(&primary));
    let store = PostgresStore::lazy(&primary.replacen(&format!(":{}/", port_of(&primary)), &hosts, 1));
    open_when_back(&store.expect("a valid address")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn standby_is_never_followed() {
    let (_server, direct) = Server::take().await;
    let (key, _) = open_when_back(&direct).await;
    let primary = given("TEST_POSTGRES_URL");
    let (port, _restore) = standby().await;
    let standby = primary.replace(&port_of(&primary).to_string(), &port.to_string());
    let store = PostgresStore::connect(&standby).await.expect("migration only reads");
    for error in [
        store.get(&key).await.expect_err("it is in recovery"),
        store.feed(&FeedFrom::Since(now() - HOUR)).await.expect_err("it is in recovery"),
        store.revoke(&Revoke::Session(key.clone()), now()).await.expect_err("it is in recovery"),
    ] {
        let StoreError::Unavailable(cause) = &error else { panic!("{error:?}") };
        assert!(cause.to_string().contains("a standby"), "{cause}");
    }
    Server::does("promote");
    let (_, took) = open_when_back(&store).await;
    println!("PostgreSQL: writes {took:?} after its promotion, with the same pool");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn connections_that_the_server_closes_cost_at_most_one_call_each() {
    let (_server, store) = Server::take().await;
    let (key, _) = open_when_back(&store).await;
    let mut admin = PgConnection::connect(&given("TEST_POSTGRES_URL")).await.expect("the server answers");
    for _ in 0..5 {
        admin
            .execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
            )
            .await
            .expect("they are ended");
        let mut failed = 0;
        while store.get(&key).await.is_err() {
            failed += 1;
        }
        assert!(failed <= 10, "{failed} calls failed");
    }
}
