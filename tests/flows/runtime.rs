//! Runtimes without timers or without a running thread. Sessions are served where possible, and nothing
//! panics.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::runtime::{Builder, Runtime};
use tower_sliding_sessions::{EventKind, Severity};

use crate::support::{Browser, TTL, Trouble, World, idle};

fn without_timers() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

#[test]
fn runtime_without_timers_serves_sessions_and_is_reported_once() {
    without_timers().block_on(async {
        let world = World::new();
        let mut browser = world.signed_in("ann").await;
        for _ in 0..3 {
            assert!(browser.visit(&world.one, "/me").await.ok());
            idle().await;
            world.pass(TTL);
            assert!(browser.visit(&world.one, "/me").await.sets_both());
        }
        let two = world.instance();
        assert!(browser.visit(&two, "/me").await.ok());
        idle().await;
        world.one.sessions.revoke_all("ann").await.unwrap();
        assert_eq!(
            browser.visit(&two, "/me").await.status(),
            401,
            "it does not follow the feed, so it asks the store"
        );
        let mut browser = world.signed_in("ann").await;
        let reported = EventKind::NoTimers;
        assert_eq!(
            (world.count(&reported), reported.severity()),
            (2, Severity::Error),
            "once by each instance"
        );
        assert!(browser.submit(&world.one, "/logout").await.ok());
        assert_eq!(browser.visit(&world.one, "/me").await.status(), 401);
        world.one.sessions.shutdown().await;
    });
}

#[test]
fn stream_ends_with_its_session_on_a_runtime_without_timers() {
    without_timers().block_on(async {
        let world = World::new();
        let browser = world.signed_in("ann").await;
        let ended = Arc::new(Mutex::new(false));
        let session = session_of(&world, &browser).await;
        let reported = ended.clone();
        let waiting = tokio::spawn(async move {
            session.ended().await;
            *reported.lock().unwrap() = true;
        });
        idle().await;
        assert!(!*ended.lock().unwrap());
        world.one.sessions.revoke_all("ann").await.unwrap();
        waiting.await.unwrap();
        assert!(*ended.lock().unwrap());
    });
}

#[test]
fn request_that_shares_the_renewal_of_a_stopped_runtime_gets_503() {
    let world = World::tuned(|builder| builder.store_deadline(Duration::from_secs(5)));
    // Time passes only where a runtime has nothing else to do.
    let all = || Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let (stopped, running) = (all(), all());
    let browser = running.block_on(world.signed_in("ann"));
    world.pass(TTL);
    world.store.trouble("advance", Trouble::Hang);
    // The first request starts the renewal. Then its runtime does not run any more.
    stopped.block_on(async {
        let _first = world.one.accept(browser.get("/me"));
        idle().await;
    });
    world.store.recover();
    let second = running.block_on(world.one.answer(browser.get("/me")));
    assert_eq!(second.status(), 503);
    assert_eq!(world.count(&EventKind::InternalError { operation: "renew" }), 1);
    let third = running.block_on(world.one.answer(browser.get("/me")));
    assert_eq!(third.status(), 200, "it does not wait for the stopped one");
    drop(stopped);
    assert_eq!(running.block_on(world.one.answer(browser.get("/me"))).status(), 200);
}

#[tokio::test]
async fn panic_in_a_store_is_an_event_and_costs_one_request() {
    let world = World::new();
    let browser = world.signed_in("ann").await;
    world.pass(TTL);
    world.store.trouble("advance", Trouble::Panic);
    assert_eq!(world.one.answer(browser.get("/me")).await.status(), 503);
    assert_eq!(world.count(&EventKind::StoreFailed { operation: "advance", why: "unavailable" }), 1);
    for operation in ["create", "revoke", "get"] {
        world.store.trouble(operation, Trouble::Panic);
    }
    assert_eq!(world.one.answer(Browser::new().post("/login?name=bob")).await.status(), 503);
    assert_eq!(world.one.answer(browser.post("/leave")).await.status(), 503);
    world.store.recover();
    assert!(world.one.answer(browser.get("/me")).await.sets_both());
}

/// The session, as a handler extracts it.
async fn session_of(
    world: &World,
    browser: &Browser,
) -> tower_sliding_sessions::Session<crate::support::Profile> {
    use axum::{Router, routing::get};
    let handed = Arc::new(Mutex::new(None));
    let slot = handed.clone();
    let take = async move |session: tower_sliding_sessions::Session<_>| {
        *slot.lock().unwrap() = Some(session);
    };
    let mut instance = world.one.clone();
    instance.app = Router::new().route("/", get(take)).route_layer(world.one.sessions.layer());
    assert!(instance.answer(browser.get("/")).await.ok());
    let session = handed.lock().unwrap().take();
    session.unwrap()
}
