//! The claims hook fails, or returns claims that do not fit.

use std::time::Duration;

use axum::http::StatusCode;
use tower_sliding_sessions::{EventKind, RejectionKind, protocol::Refusal, store::MemoryStore};

use crate::{
    directory::{Directory, Says},
    near::{is_anonymous, is_in, key, role},
    support::{Browser, Probe, TTL, Trouble, World, idle},
};

/// The renewal gets 503, and the session stays valid.
async fn is_unavailable(world: &World, browser: &mut Browser) {
    let before = browser.clone();
    let answer = browser.visit(&world.one, "/me").await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.rejection(), Some(RejectionKind::Unavailable));
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert!(answer.touches_no_cookie());
    assert_eq!(*browser, before);
}

#[tokio::test(start_paused = true)]
async fn failing_claims_hook_signs_no_user_out() {
    for trouble in [Says::Fail, Says::Hang] {
        let directory = Directory::default();
        let world = directory.world();
        let two = world.instance();
        let mut browser = world.signed_in("ann&role=clerk").await;
        world.pass(TTL);
        directory.say("ann", trouble);
        is_unavailable(&world, &mut browser).await;
        is_unavailable(&world, &mut browser).await;
        assert_eq!(world.count(&EventKind::ReloadFailed), 2);
        directory.say("ann", Says::Keep);
        for instance in [&world.one, &two] {
            let answer = browser.visit(instance, "/me").await;
            assert!(answer.ok(), "the same cookies work");
            assert_eq!(role(&answer), "clerk");
        }
    }
}

#[tokio::test]
async fn panicking_claims_hook_fails_only_the_renewal() {
    let probe = || Probe::new(MemoryStore::new().unwrap());
    // The panic is in the request's task, or in a task of the layer.
    for store in [probe().that_answers_at_once(), probe()] {
        let directory = Directory::default();
        let hook = directory.clone();
        let world = World::around(store, move |builder| hook.of(builder));
        let mut browser = world.signed_in("ann&role=clerk").await;
        world.pass(TTL);
        directory.say("ann", Says::Crash);
        is_unavailable(&world, &mut browser).await;
        is_unavailable(&world, &mut browser).await;
        directory.say("ann", Says::Keep);
        assert!(is_in(&world.one, &browser).await);
    }
}

#[tokio::test]
async fn early_renewal_whose_hook_fails_serves_by_the_valid_access_token() {
    let directory = Directory::default();
    let hook = directory.clone();
    let world = World::tuned(move |builder| {
        hook.of(builder).timing(|timing| timing.renew_before(Duration::from_secs(60)))
    });
    let mut browser = world.signed_in("ann&role=clerk").await;
    directory.asked();
    directory.say("ann", Says::Fail);
    world.pass(TTL - 1);
    let answer = browser.visit(&world.one, "/me").await;
    assert_eq!(directory.asked().len(), 1);
    assert!(answer.ok() && answer.touches_no_cookie());
    assert_eq!((role(&answer), answer.renewed()), ("clerk", None));
    directory.role("ann", "boss");
    world.pass(1);
    assert_eq!(role(&browser.visit(&world.one, "/me").await), "boss");
}

/// A world with or without a hook, and a session whose claims cannot be parsed.
async fn outdated(hook: Option<&Directory>) -> (World, Browser) {
    let world = hook.map_or_else(World::new, Directory::world);
    let browser = world.signed_in("ann").await;
    let now = world.one.sessions.now();
    world.store.put_claims(&key(&browser, "ann"), r#"{"roles":["clerk"]}"#, now).await;
    world.pass(TTL);
    (world, browser)
}

#[tokio::test]
async fn unparsable_claims_can_be_replaced_by_the_hook() {
    let directory = Directory::default();
    let (world, mut browser) = outdated(Some(&directory)).await;
    directory.asked();
    directory.role("ann", "boss");
    let answer = browser.visit(&world.one, "/me").await;
    assert_eq!(role(&answer), "boss");
    assert_eq!(directory.asked(), [("ann".to_owned(), None)]);
    assert_eq!(role(&browser.visit(&world.one, "/me").await), "boss");
}

#[tokio::test]
async fn unparsable_claims_without_a_hook_are_refused() {
    let directory = Directory::default();
    for hook in [None, Some(&directory)] {
        let (world, browser) = outdated(hook).await;
        let answer = world.one.answer(browser.get("/me")).await;
        assert_eq!(answer.rejection(), Some(RejectionKind::Unauthenticated(Refusal::UnreadableClaims)));
        is_anonymous(&world.one, answer).await;
        assert_eq!(world.count(&EventKind::Refused(Refusal::UnreadableClaims)), 1);
    }
}

#[tokio::test]
async fn replaced_claims_too_large_for_a_cookie_are_served_without_one() {
    let directory = Directory::default();
    let world = directory.world();
    let two = world.instance();
    let mut browser = world.signed_in("ann&role=clerk").await;
    let huge = "x".repeat(4000);
    directory.role("ann", &huge);
    for instance in [&world.one, &two, &world.one] {
        world.pass(TTL);
        let reported = world.count(&EventKind::CookieTooLarge);
        let answer = browser.visit(instance, "/me").await;
        assert!(answer.ok() && answer.touches_no_cookie());
        assert_eq!(role(&answer), huge);
        assert_eq!(world.count(&EventKind::CookieTooLarge), reported + 1);
    }
    directory.role("ann", "boss");
    let answer = browser.visit(&two, "/me").await;
    assert!(answer.sets_both());
    assert_eq!(role(&answer), "boss");
}

#[tokio::test]
async fn session_ended_by_the_hook_is_refused_although_the_store_cannot_record_it() {
    let directory = Directory::default();
    let world = directory.world();
    let browser = world.signed_in("ann").await;
    world.pass(TTL);
    directory.say("ann", Says::End("locked"));
    world.store.trouble("revoke", Trouble::Fail);
    for _ in 0..2 {
        let answer = world.one.answer(browser.get("/me")).await;
        is_anonymous(&world.one, answer).await;
    }
    world.store.recover();
    assert!(!is_in(&world.one, &browser).await, "the next renewal calls the hook again");
    directory.say("ann", Says::Keep);
    idle().await;
    assert!(!is_in(&world.one, &browser).await, "now the store has recorded it");
}
