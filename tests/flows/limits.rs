//! The two ends of a session: the idle timeout and the absolute timeout.

use std::time::Duration;

use tower_sliding_sessions::{Clock as _, EventKind, RejectionKind, protocol::Refusal};

use crate::support::{ABSOLUTE, ACCESS, Answer, Browser, IDLE, REFRESH, TTL, World, claims_of, idle};

fn expired(answer: &Answer) -> bool {
    answer.rejection() == Some(RejectionKind::Unauthenticated(Refusal::Expired)) && answer.touches_no_cookie()
}

fn exp(browser: &Browser, name: &str) -> u64 {
    claims_of(browser.value(name).unwrap())["exp"].as_u64().unwrap()
}

#[tokio::test]
async fn session_in_use_ends_at_its_absolute_timeout_and_no_token_outlives_it() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    let limit = world.clock.now().as_secs() + ABSOLUTE;
    // Not a multiple of the access token's lifetime, so that the last token is shortened.
    let step = 290;
    while world.clock.now().as_secs() + step < limit {
        world.pass(step);
        assert!(browser.visit(&world.one, "/me").await.ok());
        idle().await;
        assert!(exp(&browser, ACCESS) <= limit);
        assert_eq!(exp(&browser, REFRESH), limit, "fixed at sign-in");
    }
    world.clock.set(tower_sliding_sessions::Timestamp::from_secs(limit - 1));
    browser.lose(ACCESS);
    assert!(browser.visit(&world.one, "/me").await.ok(), "up to the last second");
    assert_eq!(exp(&browser, ACCESS), limit, "one second is left");

    world.pass(1);
    assert!(expired(&browser.visit(&world.one, "/me").await));
    browser.lose(ACCESS);
    assert!(expired(&browser.visit(&world.one, "/me").await));
    assert!(world.count(&EventKind::Refused(Refusal::Expired)) > 0);
}

#[tokio::test]
async fn unused_session_ends_at_its_idle_timeout() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    let mut other = world.signed_in("bob").await;
    world.pass(IDLE - 1);
    assert!(browser.visit(&world.one, "/me").await.ok(), "one second before");
    world.pass(1);
    assert!(expired(&other.visit(&world.one, "/me").await));
    world.pass(IDLE - 2);
    assert!(browser.visit(&world.one, "/me").await.ok(), "the request extended it");
    world.pass(IDLE);
    assert!(expired(&browser.visit(&world.one, "/me").await));
}

#[tokio::test]
async fn every_kind_of_renewal_counts_as_use() {
    // A reissue: rotation is not due, because the access cookie was lost early.
    let world =
        World::tuned(|builder| builder.timing(|timing| timing.idle_timeout(Duration::from_secs(600))));
    let mut browser = world.signed_in("ann").await;
    for _ in 0..20 {
        world.pass(239);
        browser.lose(ACCESS);
        assert!(browser.visit(&world.one, "/me").await.ok());
        idle().await;
    }
    // A replay: the responses are lost repeatedly.
    world.pass(TTL);
    for _ in 0..20 {
        let lost = world.one.answer(browser.get("/me")).await;
        assert!(lost.ok(), "{lost:?}");
        idle().await;
        world.pass(TTL);
    }
}

#[tokio::test]
async fn expired_session_is_not_listed() {
    let world = World::new();
    let _browser = world.signed_in("ann").await;
    assert_eq!(world.one.sessions.list("ann").await.unwrap().len(), 1);
    world.pass(IDLE);
    assert!(world.one.sessions.list("ann").await.unwrap().is_empty());
}

#[tokio::test]
async fn cookie_kept_after_its_expiry_is_refused_without_a_store_call() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    world.pass(ABSOLUTE + 365 * 24 * 3600);
    let calls = world.store.all_calls();
    assert!(expired(&browser.visit(&world.one, "/me").await));
    assert_eq!(world.store.all_calls(), calls, "its expiry is in the token");
}
