//! Requests and responses that get lost. The browser's cookies keep working.

use tower_sliding_sessions::{EventKind, RejectionKind, protocol::Refusal};

use crate::support::{ACCESS, Gate, REFRESH, TTL, Trouble, World, claims_of, idle};

#[tokio::test]
async fn lost_response_costs_no_session() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    for round in 1..=3 {
        world.pass(TTL);
        let lost = world.one.answer(browser.get("/me")).await;
        assert!(lost.sets_both());
        world.pass(TTL);
        let again = browser.visit(&world.one, "/me").await;
        assert_eq!(again.renewed(), Some("PredecessorServed"));
        assert_eq!(again.cookie(REFRESH), lost.cookie(REFRESH), "the successor of the lost response");
        assert!(browser.visit(&world.one, "/me").await.ok());
        idle().await;
        assert_eq!(world.store.rotations(), round);
    }
    assert_eq!(world.count(&EventKind::ReuseDetected), 0);
}

#[tokio::test]
async fn response_that_arrives_after_the_next_renewal_does_no_harm() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    world.pass(TTL);
    let late = world.one.answer(browser.get("/me")).await;
    assert!(browser.visit(&world.one, "/me").await.ok());
    assert!(browser.visit(&world.one, "/me").await.ok());
    world.pass(30);
    browser.receive(&late);
    world.pass(TTL);
    assert!(browser.visit(&world.one, "/me").await.ok());
}

#[tokio::test]
async fn request_cancelled_during_a_rotation_loses_nothing() {
    for trouble in [Trouble::Before, Trouble::After] {
        let world = World::new();
        let mut browser = world.signed_in("ann").await;
        world.pass(TTL);
        let gate = Gate::closed();
        world.store.trouble("advance", trouble(gate.clone()));

        let hung_up = world.one.accept(browser.get("/me"));
        gate.reached().await;
        hung_up.abort();
        assert!(hung_up.await.unwrap_err().is_cancelled());
        gate.open();
        idle().await;
        assert_eq!(world.store.rotations(), 1, "the rotation completed without its caller");

        world.store.recover();
        let again = browser.visit(&world.one, "/me").await;
        assert_eq!(again.renewed(), Some("PredecessorServed"));
        assert!(again.sets_both());
    }
}

#[tokio::test]
async fn cancelled_request_does_not_cancel_the_renewal_for_others() {
    let world = World::new();
    let browser = world.signed_in("ann").await;
    world.pass(TTL);
    let gate = Gate::closed();
    world.store.trouble("advance", Trouble::Before(gate.clone()));
    let first = world.one.accept(browser.get("/me"));
    gate.reached().await;
    let second = world.one.accept(browser.get("/me"));
    idle().await;
    first.abort();
    gate.open();
    assert!(second.await.unwrap().sets_both());
    assert_eq!(world.store.calls("advance"), 1);
}

#[tokio::test]
async fn rotation_whose_store_response_was_lost_is_continued_by_the_next_request() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    world.pass(TTL);
    world.store.trouble("advance", Trouble::FailAfter);
    let answer = browser.visit(&world.one, "/me").await;
    assert_eq!(answer.rejection(), Some(RejectionKind::Unavailable));
    assert!(answer.touches_no_cookie());
    assert_eq!(world.store.rotations(), 1, "the store rotated, but its response was lost");

    world.store.recover();
    assert_eq!(browser.visit(&world.one, "/me").await.renewed(), Some("PredecessorServed"));
}

#[tokio::test]
async fn restart_with_a_memory_store_ends_all_sessions_and_leaves_cookies_unchanged() {
    let mut world = World::new();
    let mut browser = world.signed_in("ann").await;
    let mut active = world.signed_in("bob").await;
    world.pass(TTL);
    let lost = world.one.answer(browser.get("/me")).await;
    assert!(lost.sets_both());
    assert!(active.visit(&world.one, "/me").await.ok());

    world.restart();
    for browser in [&mut browser, &mut active] {
        let answer = browser.visit(&world.one, "/me").await;
        assert_eq!(answer.rejection(), Some(RejectionKind::Unauthenticated(Refusal::OtherRunId)));
        assert!(answer.touches_no_cookie());
    }
    assert_eq!(world.count(&EventKind::ReuseDetected), 0);
    assert!(browser.submit(&world.one, "/login?name=ann").await.sets_both());
    assert!(browser.visit(&world.one, "/me").await.ok());
}

#[tokio::test]
async fn rotations_within_one_second_are_told_apart() {
    use std::time::Duration;
    use tower_sliding_sessions::protocol::Timing;

    let ms = Duration::from_millis;
    let world = World::tuned(move |builder| {
        let shortest =
            Timing::default().grace(ms(1)).write_window(ms(1)).rotation_interval(ms(4)).crash_window(ms(0));
        builder.timing(|_| shortest.renew_before(Duration::ZERO))
    });
    let mut browser = world.signed_in("ann").await;
    let began = browser.value(REFRESH).unwrap().to_owned();
    let mut tokens = vec![began.clone()];
    for generation in 1..=20 {
        world.clock.advance(ms(4));
        browser.lose(ACCESS);
        assert_eq!(browser.visit(&world.one, "/me").await.renewed(), Some("Rotated"));
        assert!(browser.visit(&world.one, "/me").await.ok());
        idle().await;
        let token = browser.value(REFRESH).unwrap().to_owned();
        assert_eq!(claims_of(&token)["gen"], generation);
        assert_eq!(claims_of(&token)["iat"], claims_of(&began)["iat"], "all within one second");
        assert!(!tokens.contains(&token));
        tokens.push(token);
    }
    // Each token except the last two is detected as reuse.
    browser.plant(REFRESH, &tokens[18]);
    browser.lose(ACCESS);
    assert!(!browser.visit(&world.one, "/me").await.ok());
    assert_eq!(world.count(&EventKind::ReuseDetected), 1);
}
