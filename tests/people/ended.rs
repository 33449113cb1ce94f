//! Waiting for a session's end, as a stream does that goes on when its request was long answered.

use std::time::Duration;

use axum::http::StatusCode;
use tokio::task::JoinHandle;
use tower_sliding_sessions::store::MemoryStore;

use crate::{
    near::{TheSession, id, is_in, session_of},
    passive::poll,
    support::{ABSOLUTE, Browser, IDLE, Instance, Probe, TTL, Trouble, World, idle},
};

/// Waits for the end of the browser's session.
async fn wait(instance: &Instance, browser: &Browser) -> JoinHandle<()> {
    let session = session_of(instance, browser).await;
    let waiting = tokio::spawn(session.ended());
    idle().await;
    assert!(!waiting.is_finished());
    waiting
}

/// Time passes for the clock and for timers alike, in steps.
async fn elapse(world: &World, mut seconds: u64) {
    while seconds > 0 {
        let step = seconds.min(60);
        seconds -= step;
        world.pass(step);
        tokio::time::advance(Duration::from_secs(step)).await;
        idle().await;
    }
}

/// It has ended, within a second or so.
async fn has_ended(waiting: JoinHandle<()>) {
    tokio::time::timeout(Duration::from_secs(2), waiting).await.expect("heard of").unwrap();
}

fn without_feed() -> World {
    World::around(Probe::new(MemoryStore::new().unwrap()).without_feed(), |builder| builder)
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_hears_of_every_way_to_end_it_on_every_instance_with_a_feed_and_without() {
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
                "others revoked" => assert!(two.answer(other.post("/end-others")).await.ok()),
                _ => drop(world.one.sessions.revoke_everything().await.unwrap()),
            }
            for waiting in waiting {
                has_ended(waiting).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn on_the_instance_where_it_ends_nobody_waits_for_the_feed() {
    let world = World::new();
    let browser = world.signed_in("ann").await;
    let waiting = wait(&world.one, &browser).await;
    world.store.cut_the_feed();
    world.one.sessions.revoke_all("ann").await.unwrap();
    idle().await;
    assert!(waiting.is_finished(), "no timer had to fire");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_had_ended_before_is_told_of_at_once() {
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
async fn it_ends_when_nobody_uses_it_any_more() {
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
async fn it_goes_on_while_the_session_is_renewed_and_ends_at_the_absolute_limit() {
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
async fn other_sessions_may_end_and_this_one_goes_on() {
    for world in [World::new, without_feed] {
        let world = world();
        let two = world.instance();
        let mut browser = world.signed_in("ann").await;
        let waiting = wait(&world.one, &browser).await;
        // So many that one of them is heard of where this one would be.
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
        assert!(!waiting.is_finished(), "it was changed, and goes on");
        two.sessions.revoke_all("ann").await.unwrap();
        has_ended(waiting).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_ends_nothing_and_what_ran_out_meanwhile_is_told_of_after_it() {
    for world in [World::new, without_feed] {
        let world = world();
        let browser = world.signed_in("ann").await;
        let waiting = wait(&world.one, &browser).await;
        world.store.trouble_everywhere(&Trouble::Fail);
        elapse(&world, 2 * TTL).await;
        assert!(!waiting.is_finished());
        let away = world.one.answer(browser.get("/me")).await;
        assert_eq!(away.status(), StatusCode::SERVICE_UNAVAILABLE);
        elapse(&world, IDLE).await;
        assert!(!waiting.is_finished(), "nobody knows");
        world.store.recover();
        elapse(&world, 33).await;
        assert!(waiting.is_finished(), "it is not asked more often than that");
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_elsewhere_that_a_broken_feed_did_not_tell_of_is_heard_of_when_it_is_back() {
    let world = World::new();
    let two = world.instance();
    let browser = world.signed_in("ann").await;
    let waiting = wait(&world.one, &browser).await;
    world.store.cut_the_feed();
    elapse(&world, 3).await;
    two.sessions.revoke_all("ann").await.unwrap();
    elapse(&world, 30).await;
    assert!(!waiting.is_finished(), "it was not told");
    world.store.recover();
    elapse(&world, 30).await;
    assert!(waiting.is_finished());
}

#[tokio::test(start_paused = true)]
async fn it_tells_of_a_session_that_only_a_page_kept_polling() {
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
    assert!(waiting.is_finished(), "not only when an access token would have expired");
}

#[tokio::test(start_paused = true)]
async fn whoever_stops_waiting_costs_nothing() {
    let world = World::new();
    let browser = world.signed_in("ann").await;
    for _ in 0..100 {
        wait(&world.one, &browser).await.abort();
    }
    let before = world.store.all_calls();
    elapse(&world, IDLE).await;
    assert_eq!(world.store.all_calls(), before);
}
