//! The wall clock is stepped by an hour, forwards and backwards. Nothing that was revoked is served, and
//! nothing lives longer than the policy allows.

use std::time::Duration;

use tower_sliding_sessions::Clock as _;

use crate::support::{TTL, World, idle};

const HOUR: Duration = Duration::from_secs(3600);

/// Steps the wall clock only: the monotonic clock stands still.
fn step(world: &World, to: impl Fn(tower_sliding_sessions::Timestamp) -> tower_sliding_sessions::Timestamp) {
    world.clock.set(to(world.clock.now()));
}

#[tokio::test]
async fn revoked_access_token_stays_refused_when_the_clock_steps_forwards_and_back() {
    let world = World::new();
    let browser = world.signed_in("ann").await;
    assert!(browser.clone().submit(&world.one, "/leave").await.ok());
    step(&world, |now| now + HOUR);
    // Enough sign-outs to make the denylist drop expired entries.
    for n in 0..500 {
        let mut other = world.signed_in(&format!("user{n}")).await;
        assert!(other.submit(&world.one, "/leave").await.ok());
    }
    step(&world, |now| now - HOUR);
    assert!(!world.one.answer(browser.get("/me")).await.ok());
}

#[tokio::test]
async fn revoked_access_token_stays_refused_when_the_clock_steps_back_after_its_entry_expired() {
    let world = World::new();
    let browser = world.signed_in("ann").await;
    assert!(browser.clone().submit(&world.one, "/leave").await.ok());
    world.pass(3600);
    for n in 0..500 {
        let mut other = world.signed_in(&format!("user{n}")).await;
        assert!(other.submit(&world.one, "/leave").await.ok());
    }
    step(&world, |now| now - HOUR);
    assert!(!world.one.answer(browser.get("/me")).await.ok());
}

#[tokio::test]
async fn revoked_token_minted_by_a_clock_ahead_is_refused_when_it_becomes_valid() {
    for elsewhere in [false, true] {
        let world = World::new();
        let two = world.instance();
        let there = if elsewhere { &two } else { &world.one };
        step(&world, |now| now + HOUR);
        let (revoked, live) = (world.signed_in("ann").await, world.signed_in("bob").await);
        assert!(there.answer(revoked.get("/me")).await.ok());
        assert!(world.one.answer(live.get("/me")).await.ok());
        world.one.sessions.revoke_all("ann").await.unwrap();
        step(&world, |now| now - HOUR);
        assert!(!there.answer(revoked.get("/me")).await.ok());
        for _ in 0..12 {
            world.pass(TTL);
            idle().await;
            for n in 0..100 {
                let mut other = world.signed_in(&format!("user{n}")).await;
                assert!(other.submit(&world.one, "/leave").await.ok());
            }
        }
        assert!(!there.answer(revoked.get("/me")).await.ok(), "elsewhere: {elsewhere}");
        assert!(there.answer(live.get("/me")).await.ok());
    }
}

#[tokio::test]
async fn warm_request_with_a_token_from_before_a_clock_step_asks_the_store_once() {
    let world = World::new();
    let browser = world.signed_in("ann").await;
    assert!(world.one.answer(browser.get("/me")).await.ok());
    step(&world, |now| now + Duration::from_secs(10));
    let calls = world.store.all_calls();
    for _ in 0..5 {
        assert!(world.one.answer(browser.get("/me")).await.ok());
    }
    assert!(world.store.all_calls() <= calls + 1, "{} calls", world.store.all_calls() - calls);
}

#[tokio::test]
async fn revoke_before_includes_sessions_of_a_clock_that_was_ahead() {
    let world = World::new();
    step(&world, |now| now + HOUR);
    let ahead = world.signed_in("ann").await;
    step(&world, |now| now - HOUR);
    let changed_at = world.clock.now();
    assert_eq!(world.one.sessions.revoke_before("ann", changed_at, None).await.unwrap(), 1);
    world.pass(3600);
    assert!(!world.one.answer(ahead.get("/me")).await.ok());
    let later = world.signed_in("ann").await;
    assert_eq!(world.one.sessions.revoke_before("ann", world.clock.now(), None).await.unwrap(), 0);
    assert!(world.one.answer(later.get("/me")).await.ok());
}
