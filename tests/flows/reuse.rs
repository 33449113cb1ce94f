//! Somebody holds a copy of the refresh token. Both of them end up signed out, and it is said once.

use tower_sliding_sessions::{EventKind, RejectionKind, protocol::Refusal};

use crate::support::{ACCESS, Browser, GRACE, Gate, REFRESH, TTL, Trouble, World, idle, until};

/// The browser's refresh token rotates, and its successor is seen in use.
async fn rotate(world: &World, browser: &mut Browser) {
    world.pass(TTL);
    assert_eq!(browser.visit(&world.one, "/me").await.renewed(), Some("Advanced"));
    assert_eq!(browser.visit(&world.one, "/me").await.renewed(), None);
    idle().await;
}

fn refused(why: Refusal) -> Option<RejectionKind> {
    Some(RejectionKind::Unauthenticated(why))
}

#[tokio::test]
async fn a_superseded_token_after_its_grace_ends_the_session_for_both_and_is_reported_once() {
    let world = World::new();
    let mut owner = world.signed_in("ann").await;
    let mut attacker = owner.clone();
    rotate(&world, &mut owner).await;
    world.pass(GRACE + 1);

    let caught = attacker.visit(&world.one, "/me").await;
    assert_eq!(caught.rejection(), refused(Refusal::Reuse));
    assert!(caught.touches_no_cookie());
    let out = owner.visit(&world.one, "/me").await;
    assert_eq!(out.rejection(), refused(Refusal::Denylisted), "its access token had minutes to go");
    for _ in 0..3 {
        assert!(!attacker.visit(&world.one, "/me").await.ok());
    }
    assert_eq!(world.count(&EventKind::ReuseDetected), 1);
    assert_eq!(EventKind::ReuseDetected.severity(), tower_sliding_sessions::Severity::Critical);
}

#[tokio::test]
async fn the_predecessor_is_served_for_one_grace_after_its_successor_was_seen_and_is_reuse_after_it() {
    for (late, served) in [(0, true), (GRACE, true), (GRACE + 1, false)] {
        let world = World::new();
        let mut browser = world.signed_in("ann").await;
        let mut before = browser.clone();
        rotate(&world, &mut browser).await;
        before.lose(ACCESS);
        world.pass(late);
        let answer = before.visit(&world.one, "/me").await;
        assert_eq!(answer.ok(), served, "{late} s after it was seen in use");
        assert_eq!(world.count(&EventKind::ReuseDetected), usize::from(!served));
        if served {
            assert_eq!(answer.renewed(), Some("Replayed"));
            assert_eq!(before.value(REFRESH), browser.value(REFRESH), "the very same successor");
        }
    }
}

#[tokio::test]
async fn the_predecessor_is_good_for_hours_while_its_successor_was_never_seen() {
    let world = World::new();
    let browser = world.signed_in("ann").await;
    world.pass(TTL);
    for _ in 0..8 {
        let lost = world.one.answer(browser.get("/me")).await;
        assert!(lost.ok() && lost.sets_both());
        world.pass(3600);
    }
    assert_eq!(world.store.rotations(), 1);
    assert_eq!(world.count(&EventKind::ReuseDetected), 0);
}

#[tokio::test]
async fn an_attacker_who_renews_first_is_found_out_when_the_owner_comes() {
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
async fn two_generations_behind_is_reuse_at_any_time() {
    let world = World::new();
    let mut owner = world.signed_in("ann").await;
    let mut attacker = owner.clone();
    rotate(&world, &mut owner).await;
    world.pass(TTL);
    assert_eq!(owner.visit(&world.one, "/me").await.renewed(), Some("Advanced"));
    // Generation 2 was not seen in use yet, and generation 0 is old all the same.
    assert_eq!(attacker.visit(&world.one, "/me").await.rejection(), refused(Refusal::Reuse));
}

#[tokio::test]
async fn many_copies_used_at_once_on_two_instances_are_one_reuse() {
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
async fn a_reuse_that_two_instances_see_at_the_same_moment_is_reported_by_one() {
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
async fn a_stale_copy_does_not_ride_along_with_a_good_token() {
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
async fn the_other_instance_signs_both_out_as_well() {
    let world = World::new();
    let two = world.instance();
    let mut owner = world.signed_in("ann").await;
    let mut attacker = owner.clone();
    rotate(&world, &mut owner).await;
    assert!(owner.visit(&two, "/me").await.ok(), "it follows the feed from now on");
    world.pass(GRACE + 1);
    assert!(!attacker.visit(&world.one, "/me").await.ok());
    until(async || !two.answer(owner.get("/me")).await.ok()).await;
}

#[tokio::test]
async fn a_stale_token_on_a_request_with_a_body_is_late_and_not_reuse() {
    let world = World::new();
    let mut owner = world.signed_in("ann").await;
    let before = owner.clone();
    rotate(&world, &mut owner).await;
    world.pass(TTL);
    let upload = world.one.answer(before.post("/me").body("a large file")).await;
    assert_eq!(upload.rejection(), refused(Refusal::Stale));
    assert!(owner.visit(&world.one, "/me").await.ok(), "nobody was signed out");
    assert_eq!(world.count(&EventKind::ReuseDetected), 0);
}

#[tokio::test]
async fn a_reuse_is_reported_although_the_stores_answer_to_it_was_lost() {
    let world = World::new();
    let mut owner = world.signed_in("ann").await;
    let mut attacker = owner.clone();
    rotate(&world, &mut owner).await;
    world.pass(TTL);
    // The store ends the session, and nobody hears of it.
    world.store.trouble("revoke", Trouble::FailAfter);
    assert_eq!(attacker.visit(&world.one, "/me").await.status(), 503);
    world.store.recover();
    assert_eq!(attacker.visit(&world.one, "/me").await.status(), 401);
    assert_eq!(owner.visit(&world.one, "/me").await.status(), 401);
    assert_eq!(world.count(&EventKind::ReuseDetected), 1);
}
