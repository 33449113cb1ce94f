//! An attacker holds a copy of the refresh token. Both clients are signed out, and it is reported once.

use tower_sliding_sessions::{EventKind, RejectionKind, protocol::Refusal};

use crate::support::{ACCESS, Browser, GRACE, Gate, REFRESH, TTL, Trouble, World, idle, until};

/// The browser's refresh token rotates, and a request confirms its successor.
async fn rotate(world: &World, browser: &mut Browser) {
    world.pass(TTL);
    assert_eq!(browser.visit(&world.one, "/me").await.renewed(), Some("Rotated"));
    assert_eq!(browser.visit(&world.one, "/me").await.renewed(), None);
    idle().await;
}

fn refused(why: Refusal) -> Option<RejectionKind> {
    Some(RejectionKind::Unauthenticated(why))
}

#[tokio::test]
async fn superseded_token_after_its_grace_period_ends_the_session_for_both_and_is_reported_once() {
    let world = World::new();
    let mut owner = world.signed_in("ann").await;
    let mut attacker = owner.clone();
    rotate(&world, &mut owner).await;
    world.pass(GRACE + 1);

    let caught = attacker.visit(&world.one, "/me").await;
    assert_eq!(caught.rejection(), refused(Refusal::Reuse));
    assert!(caught.touches_no_cookie());
    let out = owner.visit(&world.one, "/me").await;
    assert_eq!(out.rejection(), refused(Refusal::Revoked), "its access token was valid for minutes more");
    for _ in 0..3 {
        assert!(!attacker.visit(&world.one, "/me").await.ok());
    }
    assert_eq!(world.count(&EventKind::ReuseDetected), 1);
    assert_eq!(EventKind::ReuseDetected.severity(), tower_sliding_sessions::Severity::Critical);
}

#[tokio::test]
async fn predecessor_is_served_for_one_grace_period_after_the_confirmation_and_is_reuse_later() {
    for (late, served) in [(0, true), (GRACE, true), (GRACE + 1, false)] {
        let world = World::new();
        let mut browser = world.signed_in("ann").await;
        let mut before = browser.clone();
        rotate(&world, &mut browser).await;
        before.lose(ACCESS);
        world.pass(late);
        let answer = before.visit(&world.one, "/me").await;
        assert_eq!(answer.ok(), served, "{late} s after the confirmation");
        assert_eq!(world.count(&EventKind::ReuseDetected), usize::from(!served));
        if served {
            assert_eq!(answer.renewed(), Some("PredecessorServed"));
            assert_eq!(before.value(REFRESH), browser.value(REFRESH), "the same successor");
        }
    }
}

#[tokio::test]
async fn predecessor_is_valid_for_hours_while_its_successor_is_unconfirmed() {
    let world = World::new();
    let browser = world.signed_in("ann").await;
    world.pass(TTL);
    for _ in 0..8 {
        let lost = world.one.answer(browser.get("/me")).await;
        assert!(lost.ok() && lost.sets_both());
        // The new idle deadline is written in the background.
        idle().await;
        world.pass(3600);
    }
    assert_eq!(world.store.rotations(), 1);
    assert_eq!(world.count(&EventKind::ReuseDetected), 0);
}

#[tokio::test]
async fn attacker_who_renews_first_is_detected_when_the_legitimate_client_renews() {
    let world = World::new();
    let mut owner = world.signed_in("ann").await;
    let mut attacker = owner.clone();
    rotate(&world, &mut attacker).await;
    world.pass(GRACE + 1);

    assert_eq!(owner.visit(&world.one, "/me").await.rejection(), refused(Refusal::Reuse));
    assert!(
        !attacker.visit(&world.one, "/me").await.ok(),
        "with a valid access token and the newest refresh token"
    );
    assert_eq!(world.count(&EventKind::ReuseDetected), 1);
}

#[tokio::test]
async fn token_two_generations_behind_is_reuse_at_any_time() {
    let world = World::new();
    let mut owner = world.signed_in("ann").await;
    let mut attacker = owner.clone();
    rotate(&world, &mut owner).await;
    world.pass(TTL);
    assert_eq!(owner.visit(&world.one, "/me").await.renewed(), Some("Rotated"));
    // Generation 2 is unconfirmed, and generation 0 is stale all the same.
    assert_eq!(attacker.visit(&world.one, "/me").await.rejection(), refused(Refusal::Reuse));
}

#[tokio::test]
async fn parallel_copies_on_two_instances_are_one_reuse() {
    let world = World::new();
    let two = world.instance();
    let mut owner = world.signed_in("ann").await;
    let attacker = owner.clone();
    rotate(&world, &mut owner).await;
    world.pass(TTL);
    let tasks: Vec<_> = (0..40).map(|i| [&world.one, &two][i % 2].accept(attacker.get("/me"))).collect();
    for task in tasks {
        assert!(!task.await.unwrap().ok());
    }
    assert_eq!(world.count(&EventKind::ReuseDetected), 1);
}

#[tokio::test]
async fn reuse_detected_by_two_instances_at_once_is_reported_by_one() {
    let world = World::new();
    let two = world.instance();
    let mut owner = world.signed_in("ann").await;
    let attacker = owner.clone();
    rotate(&world, &mut owner).await;
    world.pass(TTL);
    let gate = Gate::closed();
    world.store.trouble("revoke", Trouble::Before(gate.clone()));
    let seen = [world.one.accept(attacker.get("/me")), two.accept(attacker.get("/me"))];
    gate.reached().await;
    gate.reached().await;
    gate.open();
    for answer in seen {
        assert_eq!(answer.await.unwrap().status(), 401);
    }
    assert_eq!(world.count(&EventKind::ReuseDetected), 1);
}

#[tokio::test]
async fn stale_copy_does_not_share_the_in_flight_renewal_of_a_valid_token() {
    let world = World::new();
    let mut owner = world.signed_in("ann").await;
    let attacker = owner.clone();
    rotate(&world, &mut owner).await;
    world.pass(TTL);
    let gate = Gate::closed();
    world.store.trouble("advance", Trouble::Before(gate.clone()));
    let good = world.one.accept(owner.get("/me"));
    gate.reached().await;
    let stale = world.one.accept(attacker.get("/me"));
    idle().await;
    gate.open();
    assert_eq!(stale.await.unwrap().rejection(), refused(Refusal::Reuse));
    drop(good.await.unwrap());
    assert_eq!(world.count(&EventKind::ReuseDetected), 1);
}

#[tokio::test]
async fn reuse_signs_both_clients_out_on_the_other_instance_too() {
    let world = World::new();
    let two = world.instance();
    let mut owner = world.signed_in("ann").await;
    let mut attacker = owner.clone();
    rotate(&world, &mut owner).await;
    assert!(owner.visit(&two, "/me").await.ok(), "it follows the feed from here");
    world.pass(GRACE + 1);
    assert!(!attacker.visit(&world.one, "/me").await.ok());
    until(async || !two.answer(owner.get("/me")).await.ok()).await;
}

#[tokio::test]
async fn stale_token_on_a_request_with_a_body_is_late_and_not_reuse() {
    let world = World::new();
    let mut owner = world.signed_in("ann").await;
    let before = owner.clone();
    rotate(&world, &mut owner).await;
    world.pass(TTL);
    let upload = world.one.answer(before.post("/me").body("a large file")).await;
    assert_eq!(upload.rejection(), refused(Refusal::LateBody));
    assert!(owner.visit(&world.one, "/me").await.ok(), "no session ended");
    assert_eq!(world.count(&EventKind::ReuseDetected), 0);
}

#[tokio::test]
async fn reuse_is_reported_although_the_stores_response_was_lost() {
    let world = World::new();
    let mut owner = world.signed_in("ann").await;
    let mut attacker = owner.clone();
    rotate(&world, &mut owner).await;
    world.pass(TTL);
    // The store revokes the session, and its response is lost.
    world.store.trouble("revoke", Trouble::FailAfter);
    assert_eq!(attacker.visit(&world.one, "/me").await.status(), 503);
    world.store.recover();
    assert_eq!(attacker.visit(&world.one, "/me").await.status(), 401);
    assert_eq!(owner.visit(&world.one, "/me").await.status(), 401);
    assert_eq!(world.count(&EventKind::ReuseDetected), 1);
}
