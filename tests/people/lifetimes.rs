//! The lifetime of a session whose sign-in or policy does not use the defaults.

use std::time::Duration;

use axum::{body::Body, http::Request};
use tower_sliding_sessions::{
    RejectionKind, SignInError,
    protocol::{PolicyError, Timing},
};

use crate::{
    near::is_in,
    support::{ABSOLUTE, ACCESS, Browser, IDLE, Profile, REFRESH, TTL, World, idle},
};

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// The cookies are renewed until `seconds` have passed without use, and not later.
async fn lives_for(world: &World, browser: &Browser, seconds: u64) {
    let mut browser = browser.clone();
    world.pass(seconds - 1);
    // Polling does not count as use.
    assert!(crate::passive::poll(&mut browser, &world.one).await.ok());
    world.pass(1);
    assert!(!is_in(&world.one, &browser).await);
}

#[tokio::test]
async fn shorter_idle_timeout_applies_to_this_session() {
    let world = World::new();
    let short = world.signed_in("ann&idle=1200").await;
    let mut used = world.signed_in("ann&idle=1200").await;
    let other = world.signed_in("ann").await;
    for _ in 0..3 {
        world.pass(399);
        assert!(used.visit(&world.one, "/me").await.ok());
        idle().await;
    }
    lives_for(&world, &short, 3).await;
    assert!(is_in(&world.one, &used).await && is_in(&world.one, &other).await);
    idle().await;
    for _ in 0..10 {
        world.pass(1199);
        assert!(used.visit(&world.one, "/me").await.ok(), "its own idle timeout slides");
        idle().await;
    }
    world.pass(1200);
    assert!(!is_in(&world.one, &used).await);
}

#[tokio::test]
async fn shorter_absolute_timeout_ends_a_session_in_use() {
    let world = World::new();
    let mut browser = world.signed_in("ann&absolute=3600&remember=true").await;
    let other = world.signed_in("ann&remember=true").await;
    assert_eq!([ACCESS, REFRESH].map(|name| browser.max_age(name)), [Some(HOUR); 2]);
    assert_eq!(other.max_age(REFRESH), Some(ABSOLUTE));
    for _ in 0..(HOUR / TTL - 1) {
        world.pass(TTL);
        assert!(browser.visit(&world.one, "/me").await.ok());
        idle().await;
    }
    assert_eq!(browser.max_age(ACCESS), Some(TTL), "the time left");
    world.pass(TTL - 1);
    assert!(is_in(&world.one, &browser).await);
    world.pass(1);
    assert!(!is_in(&world.one, &browser).await && is_in(&world.one, &other).await);
}

#[tokio::test]
async fn absolute_timeout_below_the_idle_timeout_limits_it() {
    let world = World::new();
    let browser = world.signed_in("ann&absolute=1800").await;
    lives_for(&world, &browser, 1800).await;
}

#[tokio::test]
async fn timeout_outside_the_policy_is_an_error_with_its_numbers_and_no_sign_in() {
    let world = World::new();
    let visitor = world.one.sessions.visitor(&Request::new(Body::empty())).unwrap();
    let (idle, absolute) = (Duration::from_secs(IDLE), Duration::from_secs(ABSOLUTE));
    let (second, none) = (Duration::from_secs(1), None);
    for (ask_idle, ask_absolute, numbers) in [
        (Some(idle + second), none, ["idle_timeout", "7200s", "7201s"]),
        (none, Some(absolute + second), ["absolute_timeout", "86400s", "86401s"]),
        (
            Some(second),
            none,
            ["idle_timeout", "1s", "access_ttl (300s) + rotation_interval (240s) + write_window (60s)"],
        ),
        (Some(idle), Some(idle - second), ["absolute_timeout", "7200s", "7199s"]),
    ] {
        let mut sign_in = visitor.sign_in("ann", Profile::default());
        if let Some(idle) = ask_idle {
            sign_in = sign_in.idle_timeout(idle);
        }
        if let Some(absolute) = ask_absolute {
            sign_in = sign_in.absolute_timeout(absolute);
        }
        let error = sign_in.await.unwrap_err();
        let SignInError::Timeouts(policy) = &error else { panic!("{error:?}") };
        let longer = ask_idle > Some(idle) || ask_absolute > Some(absolute);
        assert_eq!(matches!(policy, PolicyError::LongerThanPolicy { .. }), longer);
        for number in numbers {
            assert!(error.to_string().contains(number), "{error}: {number}");
        }
    }
    assert_eq!(world.store.all_calls(), 0);

    let mut browser = world.signed_in("ann").await;
    let before = browser.clone();
    let answer = browser.submit(&world.one, &format!("/login?name=ann&idle={}", IDLE + 1)).await;
    assert_eq!(answer.status(), 400);
    let Some(RejectionKind::Timeouts(why)) = answer.rejection() else { panic!("{answer:?}") };
    assert!(why.to_string().contains("7200s") && why.to_string().contains("7201s"), "{why}");
    assert_eq!(browser, before);
    assert!(is_in(&world.one, &browser).await, "no session was replaced");
}

fn world_of(timing: Timing) -> World {
    World::tuned(move |builder| builder.timing(|_| timing.renew_before(Duration::ZERO)))
}

#[tokio::test]
async fn presets_end_unused_sessions() {
    for (timing, unused) in
        [(Timing::aal1(), 30 * DAY), (Timing::aal2(), HOUR), (Timing::aal3(), 15 * MINUTE)]
    {
        let world = world_of(timing);
        let browser = world.signed_in("ann").await;
        lives_for(&world, &browser, unused).await;
    }
}

#[tokio::test]
async fn presets_end_sessions_in_constant_use() {
    for (timing, whole, every) in [
        (Timing::aal1(), 30 * DAY, 6 * HOUR),
        (Timing::aal2(), DAY, 30 * MINUTE),
        (Timing::aal3(), 12 * HOUR, 10 * MINUTE),
    ] {
        let world = world_of(timing);
        let mut browser = world.signed_in("ann").await;
        for _ in 0..(whole / every - 1) {
            world.pass(every);
            assert!(browser.visit(&world.one, "/me").await.ok());
            idle().await;
        }
        world.pass(every - 1);
        assert!(browser.visit(&world.one, "/me").await.ok());
        world.pass(1);
        assert!(!is_in(&world.one, &browser).await);
    }
}
