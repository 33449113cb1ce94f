//! A generation is confirmed once, when a request carries it. The write is not on the request's path.

use tower_sliding_sessions::store::MemoryStore;

use crate::support::{ACCESS, Browser, Gate, Probe, TTL, Trouble, World, idle};

/// A browser that holds the first rotated generation. No request has carried it yet.
async fn rotated(world: &World) -> Browser {
    let mut browser = world.signed_in("ann").await;
    world.pass(TTL);
    assert_eq!(browser.visit(&world.one, "/me").await.renewed(), Some("Rotated"));
    browser
}

#[tokio::test]
async fn valid_access_token_makes_no_store_call() {
    let world = World::new();
    let mut browser = rotated(&world).await;
    assert!(browser.visit(&world.one, "/me").await.ok());
    idle().await;
    let calls = world.store.all_calls();
    for path in ["/me", "/optional", "/status/404", "/theme"] {
        for _ in 0..50 {
            let _any = browser.visit(&world.one, path).await;
        }
    }
    idle().await;
    assert_eq!(world.store.all_calls(), calls);
}

#[tokio::test]
async fn each_generation_is_confirmed_by_exactly_one_call() {
    for cache in [0, 8192] {
        let world = World::tuned(move |builder| builder.verified_cache(cache));
        let mut browser = world.signed_in("ann").await;
        for generation in 1..=4 {
            world.pass(TTL);
            assert!(browser.visit(&world.one, "/me").await.sets_both());
            idle().await;
            assert_eq!(world.store.calls("confirm"), generation - 1, "not by the rotation itself");
            let tasks: Vec<_> = (0..50).map(|_| world.one.accept(browser.get("/me"))).collect();
            for task in tasks {
                assert!(task.await.unwrap().ok());
            }
            idle().await;
            assert_eq!(world.store.calls("confirm"), generation);
        }
        assert_eq!(world.store.rotations(), 4);
    }
}

#[tokio::test]
async fn generation_confirmed_by_its_refresh_token_is_not_confirmed_again() {
    let world = World::new();
    let mut browser = rotated(&world).await;
    browser.lose(ACCESS);
    assert_eq!(browser.visit(&world.one, "/me").await.renewed(), Some("Confirmed"));
    idle().await;
    for _ in 0..3 {
        assert_eq!(browser.visit(&world.one, "/me").await.renewed(), None);
        idle().await;
    }
    assert_eq!(world.store.calls("confirm"), 1);
}

#[tokio::test]
async fn parallel_requests_by_refresh_token_confirm_once() {
    let probe = || Probe::new(MemoryStore::new().unwrap());
    for store in [probe(), probe().that_answers_at_once()] {
        let world = World::around(store, |builder| builder);
        let mut browser = rotated(&world).await;
        browser.lose(ACCESS);
        let tasks: Vec<_> = (0..50).map(|_| world.one.accept(browser.get("/me"))).collect();
        for task in tasks {
            assert!(task.await.unwrap().ok());
        }
        idle().await;
        assert_eq!(world.store.calls("confirm"), 1);
    }
}

#[tokio::test]
async fn first_generation_is_never_confirmed() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    for _ in 0..3 {
        assert!(browser.visit(&world.one, "/me").await.ok());
        browser.lose(ACCESS);
        assert_eq!(browser.visit(&world.one, "/me").await.renewed(), Some("Reissued"));
        idle().await;
    }
    assert_eq!(world.store.calls("confirm"), 0);
}

#[tokio::test]
async fn request_does_not_wait_for_the_confirmation() {
    let world = World::new();
    let mut browser = rotated(&world).await;
    let gate = Gate::closed();
    world.store.trouble("confirm", Trouble::Before(gate.clone()));
    assert!(browser.visit(&world.one, "/me").await.ok());
    gate.reached().await;
    assert!(browser.visit(&world.one, "/me").await.ok());
    gate.open();
    world.one.sessions.shutdown().await;
    assert_eq!(world.store.calls("confirm"), 1);
}

#[tokio::test]
async fn failed_confirmation_is_tried_again_by_the_next_request() {
    let world = World::new();
    let mut browser = rotated(&world).await;
    world.store.trouble("confirm", Trouble::Fail);
    assert!(browser.visit(&world.one, "/me").await.ok());
    idle().await;
    world.store.recover();
    assert!(browser.visit(&world.one, "/me").await.ok());
    idle().await;
    assert_eq!(world.store.calls("confirm"), 2);
    assert!(browser.visit(&world.one, "/me").await.ok());
    idle().await;
    assert_eq!(world.store.calls("confirm"), 2);
}

#[tokio::test]
async fn each_instance_confirms_once() {
    let world = World::new();
    let two = world.instance();
    let mut browser = rotated(&world).await;
    for _ in 0..5 {
        assert!(browser.visit(&world.one, "/me").await.ok());
        assert!(browser.visit(&two, "/me").await.ok());
        idle().await;
    }
    assert_eq!(world.store.calls("confirm"), 2);
}
