//! Changed roles of a user apply on every device at its next request.

use tower_sliding_sessions::{
    EventKind, Rejection, RejectionKind,
    protocol::Refusal,
    store::{FeedEvent, MemoryStore, SessionStore as _, StoreError},
};

use crate::{
    directory::{Directory, Says},
    near::{is_in, key, role, role_in_jar},
    support::{Gate, Probe, REFRESH, TTL, Trouble, World, idle},
};

#[tokio::test]
async fn new_roles_apply_on_all_devices_of_a_user_without_a_sign_in() {
    let directory = Directory::default();
    let world = directory.world();
    let two = world.instance();
    let mut phone = world.signed_in("ann&role=clerk").await;
    let mut laptop = world.signed_in("ann&role=clerk").await;
    let mut bob = world.signed_in("bob&role=clerk").await;
    world.pass(10);
    for browser in [&phone, &laptop, &bob] {
        assert!(is_in(&world.one, browser).await && is_in(&two, browser).await);
    }
    directory.role("ann", "boss");
    directory.role("bob", "boss");
    world.one.sessions.mark_stale("ann").await.unwrap();
    idle().await;
    world.pass(1);

    for (browser, instance) in [(&mut phone, &world.one), (&mut laptop, &two)] {
        let answer = browser.visit(instance, "/me").await;
        assert_eq!((role(&answer), answer.renewed()), ("boss", Some("Reissued")));
        assert_eq!(role_in_jar(browser), "boss");
        world.pass(1);
        let answer = browser.visit(instance, "/me").await;
        let next = browser.visit(instance, "/me").await;
        assert_eq!((role(&answer), role(&next)), ("boss", "boss"));
        assert_eq!((answer.renewed(), next.renewed()), (None, None), "one renewal is enough");
    }
    let answer = bob.visit(&two, "/me").await;
    assert_eq!((role(&answer), answer.renewed()), ("clerk", None), "Bob was not marked");
    assert_eq!(world.count(&EventKind::MarkedStale), 1);
    assert_eq!(world.count(&EventKind::SignedIn), 3);
}

#[tokio::test]
async fn stale_mark_applies_on_this_instance_without_the_feed() {
    let directory = Directory::default();
    let world = directory.world();
    let mut browser = world.signed_in("ann&role=clerk").await;
    idle().await;
    directory.role("ann", "boss");
    world.one.sessions.mark_stale("ann").await.unwrap();
    assert_eq!(role(&browser.visit(&world.one, "/me").await), "boss");
}

#[tokio::test]
async fn stale_mark_applies_where_each_request_asks_the_store() {
    let directory = Directory::default();
    let world = directory.world();
    let mut browser = world.signed_in("ann&role=clerk").await;
    world.one.sessions.shutdown().await;
    directory.role("ann", "boss");
    world.one.sessions.mark_stale("ann").await.unwrap();
    assert_eq!(role(&browser.visit(&world.one, "/me").await), "boss");
}

#[tokio::test]
async fn stale_mark_applies_to_an_expired_access_token() {
    let directory = Directory::default();
    let world = directory.world();
    let mut browser = world.signed_in("ann&role=clerk").await;
    directory.role("ann", "boss");
    world.one.sessions.mark_stale("ann").await.unwrap();
    world.pass(3600);
    assert_eq!(role(&browser.visit(&world.one, "/me").await), "boss");
}

#[tokio::test]
async fn in_flight_renewed_response_does_not_bring_the_old_roles_back() {
    for elsewhere in [false, true] {
        let directory = Directory::default();
        let world = directory.world();
        let two = world.instance();
        let instance = if elsewhere { &two } else { &world.one };
        let mut browser = world.signed_in("ann&role=clerk").await;
        world.pass(TTL);
        let slow = instance.accept(browser.get("/slow"));
        instance.gate.reached().await;
        directory.role("ann", "boss");
        world.one.sessions.mark_stale("ann").await.unwrap();
        idle().await;
        world.pass(5);
        instance.gate.open();
        let answer = slow.await.unwrap();
        assert!(answer.ok() && answer.touches_no_cookie(), "{answer:?}");
        browser.receive(&answer);
        for instance in [&world.one, &two] {
            assert_eq!(role(&browser.visit(instance, "/me").await), "boss");
        }
    }
}

#[tokio::test]
async fn later_request_does_not_share_a_renewal_with_the_old_roles() {
    let directory = Directory::default();
    let world = directory.world();
    let browser = world.signed_in("ann&role=clerk").await;
    world.pass(TTL);
    let gate = Gate::closed();
    directory.say("ann", Says::Wait(gate.clone()));
    let early = world.one.accept(browser.get("/me"));
    gate.reached().await;
    directory.role("ann", "boss");
    world.one.sessions.mark_stale("ann").await.unwrap();
    let late = world.one.accept(browser.get("/me"));
    idle().await;
    gate.open();
    assert_eq!(role(&early.await.unwrap()), "clerk");
    assert_eq!(role(&late.await.unwrap()), "boss", "it came after the change");
}

#[tokio::test]
async fn stale_mark_that_the_store_cannot_record_is_an_error() {
    let directory = Directory::default();
    let world = directory.world();
    let browser = world.signed_in("ann").await;
    world.store.trouble("mark_stale", Trouble::Fail);
    let error = world.one.sessions.mark_stale("ann").await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)));
    assert_eq!(world.count(&EventKind::MarkedStale), 0);
    assert!(is_in(&world.one, &browser).await);
}

#[tokio::test]
async fn store_without_subject_marks_returns_unsupported_and_roles_change_at_the_next_renewal() {
    let directory = Directory::default();
    let hook = directory.clone();
    let store = Probe::new(MemoryStore::new().unwrap()).without_feed();
    let world = World::around(store, move |builder| hook.of(builder));
    let mut browser = world.signed_in("ann&role=clerk").await;
    directory.role("ann", "boss");
    let error = world.one.sessions.mark_stale("ann").await.unwrap_err();
    assert!(matches!(error, StoreError::Unsupported(_)));
    let why = EventKind::StoreFailed { operation: "mark_stale", why: "unsupported" };
    assert_eq!(world.count(&why), 1);
    assert_eq!(Rejection::from(error).status(), 501);
    assert_eq!(role(&browser.visit(&world.one, "/me").await), "clerk");
    world.pass(TTL);
    assert_eq!(role(&browser.visit(&world.one, "/me").await), "boss", "at the next renewal");
}

#[tokio::test]
async fn stale_claims_without_a_refresh_token_and_a_late_upload_have_different_refusals() {
    let store = Probe::new(MemoryStore::new().unwrap()).without_feed();
    let world = World::around(store, |builder| builder);
    let mut browser = world.signed_in("ann").await;
    let two = world.instance();
    let mark = FeedEvent::SessionStale(key(&browser, "ann"), world.one.sessions.now());
    world.store.mark_stale(&mark).await.unwrap();
    browser.lose(REFRESH);
    let answer = browser.visit(&two, "/me").await;
    assert_eq!(answer.rejection(), Some(RejectionKind::Unauthenticated(Refusal::StaleClaims)));
    assert_eq!(EventKind::Refused(Refusal::StaleClaims).outcome(), Some("stale_claims"));
    assert_eq!(EventKind::Refused(Refusal::LateBody).outcome(), Some("late_body"));
}
