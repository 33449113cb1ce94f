//! The server loses data, or has older data than before: it evicts keys, is emptied, or loads an old file.

use std::time::Duration;

use axum::http::StatusCode;
use tokio::time::sleep;
use tower_sliding_sessions::store::{FeedFrom, RedisStore, SessionStore as _, StoreError};

use super::{causes, end, instance::Instance, now, open, sentinel::until, server::Server, store_at, subject};

async fn position(store: &RedisStore) -> String {
    store.feed(&FeedFrom::Since(now())).await.expect("the feed").position
}

#[tokio::test]
async fn older_data_without_a_restart_is_a_gap_even_after_later_events() {
    let server = Server::start(&["--enable-debug-command", "yes"]).await;
    let store = store_at(&server.url()).await;
    let (first, lost, later) =
        (open(&store, &subject()).await, open(&store, &subject()).await, open(&store, &subject()).await);
    end(&store, &first).await;
    let before = position(&store).await;
    let () = server.ask("SAVE").await;
    end(&store, &lost).await;
    let here = position(&store).await;
    let () = server.ask("DEBUG RELOAD NOSAVE").await;
    end(&store, &later).await;
    assert!(store.feed(&FeedFrom::After(here)).await.expect("the feed").gap, "an event was lost");
    assert!(!store.get(&lost).await.expect("an answer").record.expect("a session").is_revoked());
    let known = store.feed(&FeedFrom::After(before)).await.expect("the feed");
    assert!(!known.gap && known.events.len() == 1, "this reader lost nothing: {known:?}");
}

/// The instance knows of the revocation, and the server does not any more.
async fn revocation_is_written_again(instance: &Instance, server: &Server, jar: &super::instance::Jar) {
    let status = instance.send("GET", "/me", &mut jar.clone()).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "on the instance that knows");
    until("a gap", async || {
        instance.send("GET", "/me", &mut jar.clone()).await;
        instance.count("session_feed_gap") > 0
    })
    .await;
    let other = Instance::start(store_at(&server.url()).await);
    until("the revocation is written again", async || {
        other.send("GET", "/me", &mut jar.clone()).await == StatusCode::UNAUTHORIZED
    })
    .await;
}

#[tokio::test]
async fn old_file_loaded_at_a_restart_does_not_bring_a_known_revocation_back() {
    let mut server = Server::start(&[]).await;
    let instance = Instance::start(store_at(&server.url()).await);
    let (mut stays, leaves) = (instance.sign_in("stays").await, instance.sign_in("leaves").await);
    let () = server.ask("SAVE").await;
    assert_eq!(instance.send("POST", "/logout", &mut leaves.clone()).await, StatusCode::OK);
    server.kill();
    server.restart().await;
    revocation_is_written_again(&instance, &server, &leaves).await;
    until("the other user is served", async || {
        let status = instance.send("GET", "/me", &mut stays).await;
        assert_ne!(status, StatusCode::UNAUTHORIZED);
        status == StatusCode::OK
    })
    .await;
}

#[tokio::test]
async fn emptied_server_ends_sessions_and_is_reported() {
    let server = Server::start(&[]).await;
    let instance = Instance::start(store_at(&server.url()).await);
    let jar = instance.sign_in("ann").await;
    until("it follows the feed", async || {
        instance.send("GET", "/me", &mut jar.clone()).await == StatusCode::OK
    })
    .await;
    sleep(Duration::from_millis(300)).await;
    let () = server.ask("FLUSHALL").await;
    until("the session is refused", async || {
        instance.send("GET", "/me", &mut jar.clone()).await == StatusCode::UNAUTHORIZED
    })
    .await;
    until("it is reported", async || instance.count("session_feed_gap") > 0).await;
    let mut again = instance.sign_in("ann").await;
    assert_eq!(instance.send("GET", "/me", &mut again).await, StatusCode::OK);
}

#[tokio::test]
async fn evicted_session_is_unknown_and_never_live_again() {
    let server = Server::start(&["--maxmemory-policy", "allkeys-random"]).await;
    let store = store_at(&server.url()).await;
    let mut revoked = Vec::new();
    for _ in 0..200 {
        let key = open(&store, &subject()).await;
        end(&store, &key).await;
        revoked.push(key);
    }
    let here = position(&store).await;
    let used: usize = server.info("memory", "used_memory").await.parse().expect("a number");
    let () = server.ask(&format!("CONFIG SET maxmemory {used}")).await;
    for _ in 0..2000 {
        // Signing in fails while the server cannot free enough.
        let record = super::record(now());
        let _created = store.create(&subject(), &record, None).await;
    }
    let evicted: u64 = server.info("stats", "evicted_keys").await.parse().expect("a number");
    assert!(evicted > 100, "{evicted} keys");
    for key in &revoked {
        let record = store.get(key).await.expect("an answer").record;
        assert!(record.is_none_or(|record| record.is_revoked()), "a revoked session is live");
    }
    let () = server.ask("CONFIG SET maxmemory 0").await;
    let () = server.ask("DEL tss:{2}:feed").await;
    assert!(store.feed(&FeedFrom::After(here)).await.expect("the feed").gap, "the feed was evicted");
}

#[tokio::test]
async fn eviction_policy_is_reported_once_at_start() {
    let server = Server::start(&["--maxmemory-policy", "volatile-lru"]).await;
    let store = store_at(&server.url()).await;
    let error = store.check().await.expect_err("it may evict");
    assert!(matches!(error, StoreError::Configuration(_)), "{error:?}");
    assert!(causes(&error).contains("volatile-lru") && causes(&error).contains("noeviction"));
    let instance = Instance::start(store.clone());
    let mut jar = instance.sign_in("ann").await;
    until("it is reported", async || {
        instance.send("GET", "/me", &mut jar).await;
        instance.has("session_store_failed", "check")
    })
    .await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(instance.count("session_store_failed"), 1);

    let () = server.ask("CONFIG SET maxmemory-policy noeviction").await;
    store.check().await.expect("it does not evict");
    let () = server.ask("CONFIG SET maxmemory-policy allkeys-lru").await;
    let () = server.ask("ACL SETUSER default -info").await;
    store.check().await.expect("it has no right to know");
}
