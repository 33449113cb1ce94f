//! `Session::ended`: a stream waits for the end of its session, after its request was answered.

use std::time::Duration;

use axum::http::StatusCode;
use tokio::task::JoinHandle;
use tower_sliding_sessions::store::MemoryStore;

use crate::{
    near::{TheSession, id, is_in, session_of},
    passive::poll,
    support::{ABSOLUTE, Browser, IDLE, Instance, Probe, TTL, Trouble, World, idle},
};

/// Waits in a task for the end of the browser's session.
async fn wait(instance: &Instance, browser: &Browser) -> JoinHandle<()> {
    let session = session_of(instance, browser).await;
    let waiting = tokio::spawn(session.ended());
    idle().await;
    assert!(!waiting.is_finished());
    waiting
}

/// Advances the clock and the timers alike, in steps.
async fn elapse(world: &World, mut seconds: u64) {
    while seconds > 0 {
        let step = seconds.min(60);
        seconds -= step;
        world.pass(step);
        tokio::time::advance(Duration::from_secs(step)).await;
        idle().await;
    }
}

/// The wait returns within two seconds.
async fn has_ended(waiting: JoinHandle<()>) {
    tokio::time::timeout(Duration::from_secs(2), waiting).await.expect("ended within 2 s").unwrap();
}

fn without_feed() -> World {
    World::around(Probe::new(MemoryStore::new().unwrap()).without_feed(), |builder| builder)
}

#[tokio::test(start_paused = true)]
async fn wait_returns_for_every_kind_of_revocation_on_every_instance_with_and_without_a_feed() {
    for world in [World::new, without_feed] {
        for how in ["signed out", "revoked", "all revoked", "others revoked", "a new run"] {
            let world = world();
            let two = world.instance();
            let (browser, other) = (world.signed_in("ann").await, world.signed_in("ann").await);
            elapse(&world, 10).await;
            let waiting = [wait(&world.one, &browser).await, wait(&two, &browser).await];
            let ours = id(&browser);
            match how {
                "signed out" => {
                    assert!(world.one.answer(browser.post("/logout")).await.ok());
                }
                "revoked" => assert!(two.sessions.revoke("ann", ours).await.unwrap()),
                "all revoked" => assert_eq!(world.one.sessions.revoke_all("ann").await.unwrap(), 2),
                "others revoked" => assert!(two.answer(other.post("/revoke-others")).await.ok()),
                _ => drop(world.one.sessions.revoke_everything().await.unwrap()),
            }
            for waiting in waiting {
                has_ended(waiting).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn wait_on_the_instance_of_the_revocation_returns_without_the_feed() {
    let world = World::new();
    let browser = world.signed_in("ann").await;
    let waiting = wait(&world.one, &browser).await;
    world.store.cut_the_feed();
    world.one.sessions.revoke_all("ann").await.unwrap();
    idle().await;
    assert!(waiting.is_finished(), "no timer had to fire");
}

#[tokio::test(start_paused = true)]
async fn wait_on_a_session_that_has_ended_returns_at_once() {
    for world in [World::new, without_feed] {
        let world = world();
        let browser = world.signed_in("ann").await;
        let session = session_of(&world.one, &browser).await;
        world.one.sessions.revoke_all("ann").await.unwrap();
        idle().await;
        has_ended(tokio::spawn(session.ended())).await;
    }
}

#[tokio::test(start_paused = true)]
async fn wait_returns_at_the_idle_timeout() {
    for world in [World::new, without_feed] {
        let world = world();
        let browser = world.signed_in("ann").await;
        let waiting = wait(&world.one, &browser).await;
        elapse(&world, IDLE - 1).await;
        assert!(!waiting.is_finished(), "it can still be used");
        elapse(&world, 2).await;
        assert!(waiting.is_finished());
        assert!(!is_in(&world.one, &browser).await);
    }
}

#[tokio::test(start_paused = true)]
async fn wait_continues_over_renewals_and_returns_at_the_absolute_timeout() {
    let world = World::new();
    let two = world.instance();
    let mut browser = world.signed_in("ann").await;
    let waiting = wait(&world.one, &browser).await;
    for _ in 0..(ABSOLUTE / TTL - 1) {
        elapse(&world, TTL).await;
        assert!(browser.visit(&two, "/me").await.ok());
        assert!(!waiting.is_finished());
    }
    elapse(&world, TTL - 1).await;
    assert!(!waiting.is_finished());
    elapse(&world, 2).await;
    assert!(waiting.is_finished());
}

#[tokio::test(start_paused = true)]
async fn wait_continues_when_other_sessions_end() {
    for world in [World::new, without_feed] {
        let world = world();
        let two = world.instance();
        let mut browser = world.signed_in("ann").await;
        let waiting = wait(&world.one, &browser).await;
        // Enough that some of them share this session's shard.
        for _ in 0..200 {
            let other = world.signed_in("ann").await;
            assert!(two.sessions.revoke("ann", id(&other)).await.unwrap());
            elapse(&world, 1).await;
        }
        assert!(!waiting.is_finished());
        assert!(browser.visit(&two, "/me").await.ok());
        world.one.sessions.mark_stale("ann").await.ok();
        assert!(browser.submit(&two, "/profile?role=boss").await.ok());
        elapse(&world, TTL).await;
        assert!(!waiting.is_finished(), "it was changed, and is still valid");
        two.sessions.revoke_all("ann").await.unwrap();
        has_ended(waiting).await;
    }
}

#[tokio::test(start_paused = true)]
async fn wait_continues_in_an_outage_and_returns_after_it_for_an_expired_session() {
    for world in [World::new, without_feed] {
        let world = world();
        let browser = world.signed_in("ann").await;
        let waiting = wait(&world.one, &browser).await;
        world.store.trouble_everywhere(&Trouble::Fail);
        elapse(&world, 2 * TTL).await;
        assert!(!waiting.is_finished());
        let outage = world.one.answer(browser.get("/me")).await;
        assert_eq!(outage.status(), StatusCode::SERVICE_UNAVAILABLE);
        elapse(&world, IDLE).await;
        assert!(!waiting.is_finished(), "unknown during the outage");
        world.store.recover();
        elapse(&world, 33).await;
        assert!(waiting.is_finished(), "the store is not asked more often");
    }
}

#[tokio::test(start_paused = true)]
async fn wait_misses_a_revocation_while_the_feed_is_down_and_returns_when_it_is_back() {
    let world = World::new();
    let two = world.instance();
    let browser = world.signed_in("ann").await;
    let waiting = wait(&world.one, &browser).await;
    world.store.cut_the_feed();
    elapse(&world, 3).await;
    two.sessions.revoke_all("ann").await.unwrap();
    elapse(&world, 30).await;
    assert!(!waiting.is_finished(), "the feed is down");
    world.store.recover();
    elapse(&world, 30).await;
    assert!(waiting.is_finished());
}

#[tokio::test(start_paused = true)]
async fn wait_returns_at_the_idle_timeout_of_a_session_that_is_only_polled() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    elapse(&world, IDLE - 10).await;
    assert!(poll(&mut browser, &world.one).await.ok());
    let answer = world.one.answer(browser.get("/session").and("x-poll", "1")).await;
    let session = answer.0.extensions().get::<TheSession>().unwrap().clone();
    let waiting = tokio::spawn(session.ended());
    elapse(&world, 9).await;
    assert!(!waiting.is_finished());
    elapse(&world, 3).await;
    assert!(waiting.is_finished(), "before an access token would expire");
}

#[tokio::test(start_paused = true)]
async fn cancelled_wait_makes_no_store_call() {
    let world = World::new();
    let browser = world.signed_in("ann").await;
    for _ in 0..100 {
        wait(&world.one, &browser).await.abort();
    }
    let before = world.store.all_calls();
    elapse(&world, IDLE).await;
    assert_eq!(world.store.all_calls(), before);
}
