//! The server is unavailable: absent, silent, killed, restarted. The same store recovers each time.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use tower_sliding_sessions::store::{
    FeedEvent, FeedFrom, RedisStore, SessionKey, SessionStore as _, StoreError, redis_client::Client,
};

use super::{end, now, open, port::free_port, proxy::Proxy, server::Server, store_at, subject};

/// The time within which a store must report that it got no response.
const SOON: Duration = Duration::from_secs(3);

fn assert_unavailable<T: std::fmt::Debug>(answer: &Result<T, StoreError>) {
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
}

/// Reads until there is a response.
async fn recovers(store: &RedisStore, key: &SessionKey) {
    for _ in 0..40 {
        // A deadline as short as the engine's: the store itself must notice that the connection is dead.
        if let Ok(Ok(snapshot)) = timeout(Duration::from_millis(500), store.get(key)).await {
            assert!(snapshot.record.is_some(), "the session exists");
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("the store does not recover");
}

async fn position(store: &RedisStore) -> String {
    let batch = store.feed(&FeedFrom::Since(now())).await.expect("the feed");
    batch.position
}

/// Follows the feed until it has this event. Returns whether there was a gap.
async fn follow(store: &RedisStore, from: String, wanted: &FeedEvent) -> bool {
    let (mut from, mut gap) = (from, false);
    for _ in 0..100 {
        match timeout(SOON, store.feed(&FeedFrom::After(from.clone()))).await {
            Ok(Ok(batch)) => {
                gap |= batch.gap;
                from = batch.position;
                if batch.events.contains(wanted) {
                    return gap;
                }
            }
            Ok(Err(StoreError::Unavailable(_))) | Err(_) => sleep(Duration::from_millis(50)).await,
            Ok(Err(error)) => panic!("{error:?}"),
        }
    }
    panic!("{wanted:?} is not in the feed");
}

#[tokio::test]
async fn killed_server_is_unavailable_until_it_runs_again() {
    // With the default, `everysec`, Redis may answer before the write has reached the operating system.
    let mut server = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let key = open(&store_at(&server.url()).await, &subject()).await;
    server.kill();
    let store = RedisStore::new(Client::open(server.url()).expect("a URL"));
    assert_unavailable(&timeout(SOON, store.get(&key)).await.expect("an answer"));
    assert_unavailable(&timeout(SOON, store.feed(&FeedFrom::Since(now()))).await.expect("an answer"));
    assert_unavailable(&RedisStore::connect(&format!("redis://127.0.0.1:{}/", free_port())).await);
    server.restart().await;
    recovers(&store, &key).await;
}

#[tokio::test]
async fn server_that_stops_responding_is_unavailable_and_then_recovers() {
    let server = Server::start(&[]).await;
    let store = store_at(&server.url()).await;
    let (subject, here) = (subject(), position(&store).await);
    let key = open(&store, &subject).await;
    server.freeze();
    assert_unavailable(&timeout(SOON, store.advance(&key, 0, now())).await.expect("an answer"));
    assert_unavailable(&timeout(SOON, store.feed(&FeedFrom::After(here.clone()))).await.expect("an answer"));
    server.thaw();
    recovers(&store, &key).await;
    end(&store, &key).await;
    assert!(!follow(&store, here, &FeedEvent::Revoked(key)).await, "nothing was lost");
}

#[tokio::test]
async fn connection_that_drops_everything_is_replaced() {
    let server = Server::start(&[]).await;
    let proxy = Proxy::start(server.port).await;
    let store = store_at(&proxy.url()).await;
    let key = open(&store, &subject()).await;
    let here = position(&store).await;
    for _ in 0..2 {
        proxy.swallow();
        recovers(&store, &key).await;
    }
    end(&store, &key).await;
    assert!(!follow(&store, here, &FeedEvent::Revoked(key)).await, "nothing was lost");
}

#[tokio::test]
async fn closed_connections_are_reopened_within_the_same_call() {
    let server = Server::start(&[]).await;
    let store = store_at(&server.url()).await;
    let (key, here) = (open(&store, &subject()).await, position(&store).await);
    for _ in 0..3 {
        let _: i64 = server.ask("CLIENT KILL TYPE normal SKIPME yes").await;
        assert!(store.get(&key).await.expect("an answer").record.is_some());
    }
    // While a reader waits, too.
    let reading = tokio::spawn({
        let (store, event) = (store.clone(), FeedEvent::Revoked(key.clone()));
        async move { follow(&store, here, &event).await }
    });
    sleep(Duration::from_millis(200)).await;
    let _: i64 = server.ask("CLIENT KILL TYPE normal SKIPME yes").await;
    end(&store, &key).await;
    assert!(!reading.await.expect("it reads"), "a feed whose connection was closed resumes without a gap");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn acknowledged_writes_survive_a_killed_server() {
    let mut server = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let store = store_at(&server.url()).await;
    let here = position(&store).await;
    // Kills the server during writes.
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let store = store.clone();
        writers.spawn(async move {
            let (mut opened, mut ended) = (Vec::new(), Vec::new());
            loop {
                let subject = subject();
                let record = super::record(now());
                if store.create(&subject, &record, None).await.is_err() {
                    return (opened, ended);
                }
                let key = SessionKey { subject, id: record.id() };
                if opened.len() % 2 == 0 {
                    opened.push(key);
                    continue;
                }
                opened.push(key.clone());
                let what = tower_sliding_sessions::store::Revoke::Session(key.clone());
                if store.revoke(&what, now()).await.is_err() {
                    // The outcome is unknown.
                    opened.pop();
                    return (opened, ended);
                }
                ended.push(key);
            }
        });
    }
    sleep(Duration::from_millis(500)).await;
    server.kill();
    let written = writers.join_all().await;
    server.restart().await;
    let (mut sessions, mut last) = (0, None);
    for (opened, ended) in written {
        for key in opened {
            let record = store.get(&key).await.expect("it recovers").record.expect("the session exists");
            assert_eq!(record.is_revoked(), ended.contains(&key));
            sessions += 1;
        }
        last = ended.last().cloned().or(last);
    }
    assert!(sessions > 20, "only {sessions} were written");
    let last = last.expect("some were ended");
    assert!(
        follow(&store, here, &FeedEvent::Revoked(last)).await,
        "after a restart, events may be lost: a gap"
    );
}

#[tokio::test]
async fn scripts_that_the_server_forgot_are_sent_again() {
    let server = Server::start(&[]).await;
    let store = store_at(&server.url()).await;
    let subject = subject();
    let key = open(&store, &subject).await;
    let () = server.ask("SCRIPT FLUSH").await;
    assert!(store.advance(&key, 0, now()).await.expect("an answer").applied);
    let () = server.ask("SCRIPT FLUSH").await;
    end(&store, &key).await;
    let () = server.ask("SCRIPT FLUSH").await;
    open(&store, &subject).await;
}

#[tokio::test]
async fn total_data_loss_ends_every_session() {
    let server = Server::start(&[]).await;
    let store = store_at(&server.url()).await;
    let key = open(&store, &subject()).await;
    let run = store.get(&key).await.expect("an answer").run;
    let () = server.ask("DEL tss:{2}:run").await;
    let snapshot = store.get(&key).await.expect("an answer");
    assert!(snapshot.record.is_none() && snapshot.run != run, "another run ID, and no sessions");
    let here = position(&store).await;
    let () = server.ask("FLUSHALL").await;
    let batch = store.feed(&FeedFrom::After(here)).await.expect("the feed");
    assert_ne!(batch.run, snapshot.run);
    assert_eq!(store.get(&key).await.expect("an answer").run, batch.run);
}

#[tokio::test]
async fn full_server_refuses_new_sessions_and_keeps_existing_ones() {
    let server = Server::start(&["--maxmemory-policy", "noeviction"]).await;
    let store = store_at(&server.url()).await;
    let key = open(&store, &subject()).await;
    let () = server.ask("CONFIG SET maxmemory 1").await;
    let created = store.create(&subject(), &super::record(now()), None).await;
    let full = matches!(created, Err(tower_sliding_sessions::store::CreateError::Store(StoreError::Full)));
    assert!(full, "{created:?}");
    assert!(store.get(&key).await.expect("an answer").record.is_some());
}
