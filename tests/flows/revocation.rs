//! Revocation by the application: final, on every instance, and over in-flight renewals.

use tower_sliding_sessions::{Clock as _, EventKind, SessionId};

use crate::support::{Answer, Browser, Gate, Instance, REFRESH, TTL, Trouble, World, claims_of, idle, until};

fn id(browser: &Browser) -> SessionId {
    SessionId::decode(claims_of(browser.value(REFRESH).unwrap())["sid"].as_str().unwrap()).unwrap()
}

async fn is_in(instance: &Instance, browser: &Browser) -> bool {
    instance.answer(browser.get("/me")).await.ok()
}

/// Three devices of Ann's, signed in a minute apart, and Bob's. Both instances have served them.
async fn devices(world: &World, two: &Instance) -> ([Browser; 3], Browser) {
    let mut anns = Vec::new();
    for _ in 0..3 {
        anns.push(world.signed_in("ann").await);
        world.pass(60);
    }
    let bob = world.signed_in("bob").await;
    for browser in anns.iter().chain([&bob]) {
        assert!(is_in(&world.one, browser).await && is_in(two, browser).await);
    }
    (anns.try_into().unwrap(), bob)
}

/// Which are signed in on both instances, once the second one has read the feed.
async fn left(world: &World, two: &Instance, out: &Browser, all: &[&Browser]) -> Vec<bool> {
    until(async || !is_in(two, out).await).await;
    let mut left = Vec::new();
    for browser in all {
        let here = is_in(&world.one, browser).await;
        assert_eq!(is_in(two, browser).await, here);
        left.push(here);
    }
    left
}

#[tokio::test]
async fn one_session_is_revoked_and_no_other() {
    let world = World::new();
    let two = world.instance();
    let ([a, b, c], bob) = devices(&world, &two).await;
    assert!(world.one.sessions.revoke("ann", id(&b)).await.unwrap());
    assert!(!is_in(&world.one, &b).await, "on this instance it counts at once");
    assert_eq!(left(&world, &two, &b, &[&a, &b, &c, &bob]).await, [true, false, true, true]);
    assert!(!world.one.sessions.revoke("ann", id(&b)).await.unwrap(), "a second time");
    assert!(!world.one.sessions.revoke("bob", id(&a)).await.unwrap(), "it is not Bob's");
    assert!(is_in(&world.one, &a).await);
}

#[tokio::test]
async fn all_sessions_of_a_subject_are_revoked_except_the_given_one() {
    let world = World::new();
    let two = world.instance();
    let ([a, b, c], bob) = devices(&world, &two).await;
    assert_eq!(world.one.sessions.revoke_others("ann", id(&c)).await.unwrap(), 2);
    assert_eq!(left(&world, &two, &a, &[&a, &b, &c, &bob]).await, [false, false, true, true]);
    assert_eq!(world.one.sessions.revoke_all("ann").await.unwrap(), 1);
    assert_eq!(left(&world, &two, &c, &[&a, &b, &c, &bob]).await, [false, false, false, true]);
    assert_eq!(world.count(&EventKind::Revoked { sessions: 2 }), 1);
}

#[tokio::test]
async fn sessions_begun_before_a_time_are_revoked_except_the_given_one() {
    let world = World::new();
    let two = world.instance();
    let ([a, b, c], bob) = devices(&world, &two).await;
    let third_began = world.clock.now() - std::time::Duration::from_secs(60);
    let ended = world.one.sessions.revoke_before("ann", third_began, Some(id(&a))).await.unwrap();
    assert_eq!(ended, 1);
    assert_eq!(left(&world, &two, &b, &[&a, &b, &c, &bob]).await, [true, false, true, true]);
}

#[tokio::test]
async fn emergency_stop_ends_all_sessions_and_users_can_sign_in_again() {
    let world = World::new();
    let two = world.instance();
    let ([a, b, c], bob) = devices(&world, &two).await;
    world.one.sessions.revoke_everything().await.unwrap();
    assert!(!is_in(&world.one, &bob).await);
    assert_eq!(left(&world, &two, &a, &[&a, &b, &c, &bob]).await, [false; 4]);
    assert_eq!(world.count(&EventKind::EverythingRevoked), 1);

    let mut again = world.signed_in("ann").await;
    assert!(again.visit(&two, "/me").await.ok());
    assert!(again.visit(&world.one, "/me").await.ok());
}

#[tokio::test]
async fn revocation_is_final_over_an_in_flight_renewal_on_another_instance() {
    for revoke_everything in [false, true] {
        let world = World::new();
        let two = world.instance();
        let browser = world.signed_in("ann").await;
        assert!(is_in(&two, &browser).await);
        world.pass(TTL);
        let gate = Gate::closed();
        world.store.trouble("advance", Trouble::After(gate.clone()));
        let renewing = two.accept(browser.get("/me"));
        gate.reached().await;
        if revoke_everything {
            world.one.sessions.revoke_everything().await.unwrap();
        } else {
            world.one.sessions.revoke_all("ann").await.unwrap();
        }
        idle().await;
        gate.open();
        let answer = renewing.await.unwrap();
        assert!(!answer.ok() && answer.touches_no_cookie(), "{answer:?}");
        world.store.recover();
        assert!(!is_in(&world.one, &browser).await && !is_in(&two, &browser).await);
    }
}

#[tokio::test]
async fn token_minted_before_the_feed_event_is_refused_after_it() {
    let world = World::new();
    let two = world.instance();
    let mut browser = world.signed_in("ann").await;
    assert!(is_in(&two, &browser).await);
    world.pass(TTL);
    let gate = Gate::closed();
    world.store.trouble("advance", Trouble::After(gate.clone()));
    let slow = two.accept(browser.get("/slow"));
    gate.reached().await;
    gate.open();
    two.gate.reached().await;
    // Its handler runs while the session is revoked elsewhere. The feed event comes before the response
    // leaves.
    world.one.sessions.revoke("ann", id(&browser)).await.unwrap();
    idle().await;
    two.gate.open();
    let answer: Answer = slow.await.unwrap();
    assert!(answer.ok() && answer.touches_no_cookie());
    browser.receive(&answer);
    world.store.recover();
    assert!(!is_in(&two, &browser).await);
}

#[tokio::test]
async fn instance_started_later_knows_earlier_revocations() {
    let world = World::new();
    let browser = world.signed_in("ann").await;
    world.one.sessions.revoke_all("ann").await.unwrap();
    let late = world.instance();
    // By its first request, it has read the feed as far back as tokens can be valid.
    until(async || !is_in(&late, &browser).await).await;
    world.pass(TTL);
    assert!(!is_in(&late, &browser).await);
}

#[tokio::test]
async fn disabled_user_is_refused_everywhere_and_cannot_renew() {
    let world = World::new();
    let two = world.instance();
    let ([a, b, c], bob) = devices(&world, &two).await;
    world.one.sessions.revoke_all("ann").await.unwrap();
    world.pass(TTL);
    for browser in [&a, &b, &c] {
        assert!(!is_in(&world.one, browser).await && !is_in(&two, browser).await);
    }
    assert!(is_in(&two, &bob).await);
    assert!(world.one.sessions.list("ann").await.unwrap().is_empty());
}
