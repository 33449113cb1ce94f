//! New claims of a session: set with this response, and the old claims never return.

use tower_sliding_sessions::EventKind;

use crate::{
    near::{generation, overtakes_a_renewed_response, role, role_in_jar, session_of, stays_signed_in},
    support::{ACCESS, GRACE, Profile, REFRESH, TTL, World, idle},
};

#[tokio::test]
async fn updated_claims_are_in_the_next_request_on_every_instance() {
    let world = World::new();
    let two = world.instance();
    let mut browser = world.signed_in("ann&role=clerk").await;
    world.pass(100);
    let answer = browser.submit(&world.one, "/profile?role=boss").await;
    assert!(answer.ok() && answer.sets_access_only());
    assert_eq!(role(&answer), "clerk", "the updating request had the old claims");
    assert_eq!(role_in_jar(&browser), "boss");
    assert_eq!(world.count(&EventKind::ClaimsUpdated), 1);
    idle().await;
    for seconds in [0, 0, 1, 60, TTL, TTL] {
        world.pass(seconds);
        for instance in [&world.one, &two] {
            assert_eq!(role(&browser.visit(instance, "/me").await), "boss");
            assert_eq!(role_in_jar(&browser), "boss");
        }
    }
    assert_eq!(world.count(&EventKind::SignedIn), 1);
}

#[tokio::test]
async fn in_flight_renewed_response_does_not_bring_the_old_claims_back() {
    for elsewhere in [false, true] {
        let world = World::new();
        let two = world.instance();
        let instance = if elsewhere { &two } else { &world.one };
        let mut browser = world.signed_in("ann&role=clerk").await;
        overtakes_a_renewed_response(&world, instance, &mut browser, "/profile?role=boss").await;
        for instance in [&world.one, &two] {
            assert_eq!(role(&browser.visit(instance, "/me").await), "boss");
        }
        stays_signed_in(&world, &two, &mut browser).await;
        assert_eq!(role_in_jar(&browser), "boss");
    }
}

#[tokio::test]
async fn another_tab_with_the_old_access_token_gets_the_new_claims_at_its_next_request() {
    let world = World::new();
    let two = world.instance();
    let mut browser = world.signed_in("ann&role=clerk").await;
    let tab = browser.clone();
    assert_eq!(role(&two.answer(tab.get("/me")).await), "clerk");
    world.pass(10);
    assert!(browser.submit(&world.one, "/profile?role=boss").await.ok());
    idle().await;
    for instance in [&world.one, &two] {
        assert_eq!(role(&instance.answer(tab.get("/me")).await), "boss");
    }
}

#[tokio::test]
async fn update_in_a_renewed_request_sets_the_new_refresh_token_too() {
    let world = World::new();
    let two = world.instance();
    let mut browser = world.signed_in("ann&role=clerk").await;
    world.pass(TTL);
    let answer = browser.submit(&world.one, "/profile?role=boss").await;
    assert_eq!(answer.renewed(), Some("Rotated"));
    assert!(answer.sets_both(), "{answer:?}");
    assert_eq!(generation(&answer, REFRESH), 1);
    assert_eq!(generation(&answer, ACCESS), 0, "whether the refresh token leaves is not known yet");
    assert_eq!(role_in_jar(&browser), "boss");
    world.pass(GRACE + 1);
    assert_eq!(role(&browser.visit(&two, "/me").await), "boss");
    stays_signed_in(&world, &two, &mut browser).await;
    assert_eq!(world.count(&EventKind::ReuseDetected), 0);
}

#[tokio::test]
async fn update_after_the_write_window_sets_only_the_access_cookie_and_the_session_stays_valid() {
    for (path, at) in
        [("/profile?role=boss&wait=before", "before"), ("/profile?role=boss&wait=after", "after")]
    {
        let world = World::new();
        let two = world.instance();
        let mut browser = world.signed_in("ann&role=clerk").await;
        world.pass(TTL);
        let late = world.one.accept(browser.post(path));
        world.one.gate.reached().await;
        world.pass(61);
        world.one.gate.open();
        let answer = late.await.unwrap();
        assert!(answer.ok() && answer.sets_access_only(), "{at}: {answer:?}");
        assert_eq!(generation(&answer, ACCESS), 0, "the presented generation");
        browser.receive(&answer);
        assert_eq!(role_in_jar(&browser), "boss");
        assert_eq!(role(&browser.visit(&two, "/me").await), "boss");
        stays_signed_in(&world, &two, &mut browser).await;
        assert_eq!(world.count(&EventKind::ReuseDetected), 0);
    }
}

#[tokio::test]
async fn lost_response_of_an_update_costs_no_session() {
    for renewed in [false, true] {
        let world = World::new();
        let two = world.instance();
        let mut browser = world.signed_in("ann&role=clerk").await;
        world.pass(if renewed { TTL } else { 10 });
        assert!(world.one.answer(browser.post("/profile?role=boss")).await.ok());
        world.pass(1);
        assert_eq!(role(&browser.visit(&world.one, "/me").await), "boss");
        stays_signed_in(&world, &two, &mut browser).await;
    }
}

#[tokio::test]
async fn later_request_does_not_share_a_renewal_with_the_old_claims() {
    use crate::support::{Gate, Trouble};
    let world = World::new();
    let browser = world.signed_in("ann&role=clerk").await;
    let session = session_of(&world.one, &browser).await;
    world.pass(TTL);
    let gate = Gate::closed();
    world.store.trouble("advance", Trouble::After(gate.clone()));
    let early = world.one.accept(browser.get("/me"));
    gate.reached().await;
    world.pass(1);
    let _cookies = session.update(&Profile { role: "boss".into() }).await.unwrap();
    let late = world.one.accept(browser.get("/me"));
    idle().await;
    gate.open();
    assert_eq!(role(&early.await.unwrap()), "clerk", "it was in flight");
    assert_eq!(role(&late.await.unwrap()), "boss");
}
