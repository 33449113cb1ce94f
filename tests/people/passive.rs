//! Passive requests, which a page sends without its user: they are served, and do not extend the session.

use axum::http::Method;
use tower_sliding_sessions::{EventKind, Renewed};

use crate::{
    directory::Directory,
    near::{is_in, role},
    support::{Answer, Browser, GRACE, IDLE, Instance, TTL, World, idle},
};

/// Polls, and stores the response's cookies as a browser does.
pub(crate) async fn poll(browser: &mut Browser, instance: &Instance) -> Answer {
    let answer = instance.answer(browser.get("/poll").and("x-poll", "1")).await;
    browser.receive(&answer);
    answer
}

#[tokio::test]
async fn page_that_only_polls_is_signed_out_at_the_idle_timeout() {
    let world = World::new();
    let two = world.instance();
    let mut browser = world.signed_in("ann").await;
    for minute in 1..=(IDLE / 60 + 10) {
        world.pass(60);
        for instance in [&world.one, &two] {
            let answer = poll(&mut browser, instance).await;
            assert_eq!(answer.ok(), minute * 60 < IDLE, "after {minute} minutes");
            assert!(answer.touches_no_cookie());
            idle().await;
        }
    }
}

#[tokio::test]
async fn user_active_within_the_idle_timeout_stays_signed_in_next_to_a_polling_page() {
    // One click in so many minutes: within an access token's lifetime, and up to just below the idle
    // timeout.
    for every in [1, 4, 7, 30, 119] {
        let world = World::new();
        let two = world.instance();
        let mut browser = world.signed_in("ann").await;
        for minute in 1..(10 * 60) {
            world.pass(60);
            assert!(poll(&mut browser, &world.one).await.ok(), "{every}: {minute}");
            if minute % every == 0 {
                let answer = browser.visit(if minute % 2 == 0 { &two } else { &world.one }, "/me").await;
                assert!(answer.ok(), "one click in {every} minutes, after {minute}");
            }
            idle().await;
        }
        assert_eq!(world.count(&EventKind::SignedIn), 1);
        assert_eq!(world.count(&EventKind::ReuseDetected), 0);
    }
}

#[tokio::test]
async fn passive_request_writes_and_reports_nothing_in_any_state_of_the_session() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    let before = browser.clone();
    // A valid token; an expired one with a rotation due; an expired one again.
    for seconds in [0, TTL, TTL] {
        world.pass(seconds);
        reads_only(&world, &mut browser).await;
    }
    assert_eq!(world.store.calls("get"), 2, "one read for each expired token");
    assert!(browser.visit(&world.one, "/me").await.sets_both());
    reads_only(&world, &mut browser).await;
    let mut provisional = before;
    reads_only(&world, &mut provisional).await;
    assert!(is_in(&world.one, &browser).await);
    idle().await;
    world.pass(GRACE);
    reads_only(&world, &mut provisional).await;
}

async fn reads_only(world: &World, browser: &mut Browser) {
    let writes = || world.store.all_calls() - world.store.calls("get");
    let (before, reported) = (writes(), world.events().len());
    let answer = poll(browser, &world.one).await;
    idle().await;
    assert!(answer.ok() && answer.touches_no_cookie(), "{answer:?}");
    assert_eq!(answer.renewed(), None);
    assert_eq!((writes(), world.events().len()), (before, reported));
}

#[tokio::test]
async fn passive_request_confirms_no_generation() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    world.pass(TTL);
    assert!(browser.visit(&world.one, "/me").await.sets_both());
    for _ in 0..3 {
        assert!(poll(&mut browser, &world.one).await.ok());
        idle().await;
    }
    assert_eq!(world.store.calls("confirm"), 0);
    assert!(is_in(&world.one, &browser).await);
    idle().await;
    assert_eq!(world.store.calls("confirm"), 1, "an active request does");
}

#[tokio::test]
async fn passive_request_does_not_renew_early() {
    let world = World::tuned(|builder| {
        builder.timing(|timing| timing.renew_before(std::time::Duration::from_secs(60)))
    });
    let mut browser = world.signed_in("ann").await;
    world.pass(TTL - 1);
    assert!(poll(&mut browser, &world.one).await.ok());
    assert_eq!(world.store.calls("get"), 0);
    assert_eq!(world.count(&EventKind::Renewed(Renewed::Reissued)), 0);
}

#[tokio::test]
async fn passive_request_shares_no_renewal_with_an_active_one() {
    let world = World::new();
    let two = world.instance();
    let mut browser = world.signed_in("ann").await;
    world.pass(TTL);
    let polling = world.one.accept(browser.get("/poll").and("x-poll", "1"));
    let clicking = world.one.accept(browser.get("/me"));
    assert!(polling.await.unwrap().touches_no_cookie());
    let answer = clicking.await.unwrap();
    assert!(answer.sets_both());
    browser.receive(&answer);
    crate::near::stays_signed_in(&world, &two, &mut browser).await;
}

#[tokio::test]
async fn passive_request_gets_new_roles() {
    let directory = Directory::default();
    let world = directory.world();
    let two = world.instance();
    let mut browser = world.signed_in("ann&role=clerk").await;
    world.pass(10);
    assert_eq!(role(&poll(&mut browser, &two).await), "clerk");
    directory.role("ann", "boss");
    world.one.sessions.mark_stale("ann").await.unwrap();
    idle().await;
    for seconds in [0, 1, TTL] {
        world.pass(seconds);
        for instance in [&world.one, &two] {
            let answer = poll(&mut browser, instance).await;
            assert_eq!(role(&answer), "boss");
            assert!(answer.touches_no_cookie());
        }
    }
}

#[tokio::test]
async fn passive_request_may_be_a_post() {
    let world = World::new();
    let browser = world.signed_in("ann").await;
    world.pass(TTL);
    let sent = browser.send(Method::POST, "/poll").and("x-poll", "1").body("a beacon");
    assert!(world.one.answer(sent).await.ok());
}
