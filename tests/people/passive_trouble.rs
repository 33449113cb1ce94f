//! Passive requests are subject to every check.

use axum::http::StatusCode;
use tower_sliding_sessions::{EventKind, OriginVerdict, RejectionKind, protocol::Refusal};

use crate::{
    directory::{Directory, Says},
    near::{generation, is_anonymous, is_in, role, stays_signed_in},
    origin::{placed, signed_in_at},
    passive::poll,
    support::{ACCESS, GRACE, REFRESH, TTL, Trouble, World, idle},
};

#[tokio::test]
async fn revoked_session_is_refused_in_a_passive_request() {
    for seconds in [0, TTL] {
        let world = World::new();
        let two = world.instance();
        let mut browser = world.signed_in("ann").await;
        assert!(poll(&mut browser, &two).await.ok());
        world.one.sessions.revoke_all("ann").await.unwrap();
        idle().await;
        world.pass(seconds);
        for instance in [&world.one, &two] {
            let answer = poll(&mut browser, instance).await;
            let why = Refusal::Revoked;
            assert_eq!(answer.rejection(), Some(RejectionKind::Unauthenticated(why)));
            is_anonymous(instance, answer).await;
        }
    }
}

#[tokio::test]
async fn copied_token_in_a_passive_request_is_reuse() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    let mut attacker = browser.clone();
    attacker.lose(ACCESS);
    world.pass(TTL);
    assert!(browser.visit(&world.one, "/me").await.sets_both());
    assert!(is_in(&world.one, &browser).await);
    idle().await;
    world.pass(GRACE + 1);
    let answer = poll(&mut attacker, &world.one).await;
    is_anonymous(&world.one, answer).await;
    assert_eq!(world.count(&EventKind::ReuseDetected), 1);
    assert!(!is_in(&world.one, &browser).await, "the session is revoked for both clients");
}

#[tokio::test]
async fn outage_is_no_refusal_in_a_passive_request() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    world.pass(TTL);
    world.store.trouble_everywhere(&Trouble::Fail);
    let answer = poll(&mut browser, &world.one).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.touches_no_cookie());
    world.store.recover();
    assert!(poll(&mut browser, &world.one).await.ok());
}

#[tokio::test]
async fn claims_hook_can_end_the_session_in_a_passive_request() {
    let directory = Directory::default();
    let world = directory.world();
    let mut browser = world.signed_in("ann").await;
    world.pass(TTL);
    directory.say("ann", Says::End("locked"));
    let answer = poll(&mut browser, &world.one).await;
    is_anonymous(&world.one, answer).await;
    directory.say("ann", Says::Keep);
    assert!(!is_in(&world.one, &browser).await);
}

#[tokio::test]
async fn change_in_a_passive_request_confirms_no_generation_that_the_browser_does_not_hold() {
    for path in ["/profile?role=boss", "/sudo?by=pwd"] {
        let world = World::new();
        let two = world.instance();
        let mut browser = world.signed_in("ann&role=clerk").await;
        world.pass(TTL);
        // A rotation whose response is lost.
        assert!(world.one.answer(browser.get("/me")).await.sets_both());
        world.pass(1);
        let answer = two.answer(browser.post(path).and("x-poll", "1")).await;
        assert!(answer.ok() && answer.sets_access_only(), "{answer:?}");
        assert_eq!(generation(&answer, ACCESS), 0, "the presented generation");
        browser.receive(&answer);
        world.pass(1);
        assert!(browser.visit(&world.one, "/me").await.ok());
        idle().await;
        stays_signed_in(&world, &two, &mut browser).await;
        assert_eq!(world.count(&EventKind::ReuseDetected), 0);
    }
}

#[tokio::test]
async fn claims_changed_in_a_passive_request_are_served_on_every_instance() {
    let world = World::new();
    let two = world.instance();
    let mut browser = world.signed_in("ann&role=clerk").await;
    world.pass(TTL);
    let answer = world.one.answer(browser.post("/profile?role=boss").and("x-poll", "1")).await;
    assert!(answer.ok());
    browser.receive(&answer);
    idle().await;
    assert!(browser.value(REFRESH).is_some());
    for instance in [&world.one, &two] {
        assert_eq!(role(&poll(&mut browser, instance).await), "boss");
        assert_eq!(role(&browser.visit(instance, "/me").await), "boss");
    }
}

#[tokio::test]
async fn origin_of_a_passive_request_is_compared_too() {
    for (verdict, path, status) in [
        (OriginVerdict::Refuse, "/poll", StatusCode::UNAUTHORIZED),
        (OriginVerdict::StepUp, "/danger", StatusCode::FORBIDDEN),
    ] {
        let world = World::tuned(placed(verdict));
        let mut browser = signed_in_at(&world, Some("home")).await;
        browser.lose(ACCESS);
        let request = |place| browser.get(path).and("x-poll", "1").and("x-place", place);
        let answer = world.one.answer(request("cafe")).await;
        assert_eq!(answer.status(), status);
        assert!(answer.touches_no_cookie());
        assert!(world.one.answer(request("home")).await.status().is_success());
        assert_eq!(world.count(&EventKind::OriginChanged(verdict)), 1);
    }
}
