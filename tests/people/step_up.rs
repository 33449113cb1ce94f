//! Step-up: a sensitive route requires a recent re-authentication, or one by a given method.

use std::time::Duration;

use axum::http::StatusCode;
use tower_sliding_sessions::{ChangeError, Clock as _, EventKind, RejectionKind};

use crate::{
    directory::Directory,
    near::{overtakes_a_renewed_response, problem, role, role_in_jar, session_of, stays_signed_in},
    support::{ACCESS, Answer, Browser, TTL, World, claims_of, idle},
};

/// The response requires a re-authentication, and names it as the problem.
async fn requires_reauthentication(answer: Answer) {
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert_eq!(answer.rejection(), Some(RejectionKind::ReauthenticationRequired));
    assert_eq!(problem(answer).await, "ReauthenticationRequired");
}

async fn is_let_through(world: &World, browser: &mut Browser) {
    assert_eq!(browser.visit(&world.one, "/danger").await.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn sign_in_counts_for_exactly_the_required_time() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    is_let_through(&world, &mut browser).await;
    world.pass(60);
    is_let_through(&world, &mut browser).await;
    world.pass(1);
    requires_reauthentication(browser.visit(&world.one, "/danger").await).await;
    assert!(browser.visit(&world.one, "/me").await.ok(), "nothing else is affected");
}

#[tokio::test]
async fn sign_in_by_a_clock_ahead_does_not_count_but_a_later_reauthentication_does() {
    let world = World::new();
    let hour = Duration::from_secs(3600);
    world.clock.set(world.clock.now() + hour);
    let mut browser = world.signed_in("ann").await;
    is_let_through(&world, &mut browser).await;
    world.clock.set(world.clock.now() - hour);
    requires_reauthentication(browser.visit(&world.one, "/danger").await).await;
    assert!(browser.submit(&world.one, "/sudo?by=pwd").await.ok());
    is_let_through(&world, &mut browser).await;
    world.pass(3600);
    requires_reauthentication(browser.visit(&world.one, "/danger").await).await;
}

#[tokio::test]
async fn reauthentication_within_a_second_counts_for_at_least_the_required_time_and_below_a_second_longer() {
    for millis in [1, 500, 999] {
        let world = World::new();
        world.clock.advance(Duration::from_millis(millis));
        let mut browser = world.signed_in("ann").await;
        world.pass(60);
        is_let_through(&world, &mut browser).await;
        world.clock.advance(Duration::from_millis(1000 - millis));
        requires_reauthentication(browser.visit(&world.one, "/danger").await).await;
    }
}

#[tokio::test]
async fn reauthentication_counts_at_once_on_every_instance_for_exactly_the_required_time() {
    let world = World::new();
    let two = world.instance();
    let mut browser = world.signed_in("ann").await;
    world.pass(100);
    requires_reauthentication(browser.visit(&two, "/danger").await).await;
    let answer = browser.submit(&two, "/sudo?by=pwd").await;
    assert!(answer.ok() && answer.sets_access_only());
    assert_eq!(world.count(&EventKind::Reauthenticated), 1);
    idle().await;
    for _ in [0, 60] {
        assert_eq!(browser.visit(&two, "/danger").await.status(), StatusCode::NO_CONTENT);
        is_let_through(&world, &mut browser).await;
        world.pass(60);
    }
    world.pass(1);
    requires_reauthentication(browser.visit(&world.one, "/danger").await).await;
    requires_reauthentication(browser.visit(&two, "/danger").await).await;
}

#[tokio::test]
async fn start_of_the_session_never_changes_and_does_not_depend_on_the_token() {
    let world = World::new();
    world.clock.advance(Duration::from_millis(1700));
    let mut browser = world.signed_in("ann").await;
    let mut auth_times = Vec::new();
    for (seconds, path) in
        [(0, "/me"), (TTL, "/me"), (1, "/me"), (1, "/sudo?by=pwd"), (1, "/me"), (TTL, "/me")]
    {
        world.pass(seconds);
        let answer = browser.submit(&world.one, path).await;
        assert!(answer.ok());
        auth_times.push(answer.header("x-auth-time-ms").unwrap().to_owned());
        let claims = claims_of(browser.value(ACCESS).unwrap());
        assert_eq!(claims["auth_time"], 1_800_000_001);
        idle().await;
    }
    assert_eq!(auth_times, ["1800000001000"; 6]);
}

#[tokio::test]
async fn in_flight_renewed_response_does_not_undo_a_reauthentication() {
    for elsewhere in [false, true] {
        let world = World::new();
        let two = world.instance();
        let instance = if elsewhere { &two } else { &world.one };
        let mut browser = world.signed_in("ann").await;
        overtakes_a_renewed_response(&world, instance, &mut browser, "/sudo?by=pwd").await;
        assert_eq!(browser.visit(&two, "/danger").await.status(), StatusCode::NO_CONTENT);
        is_let_through(&world, &mut browser).await;
        stays_signed_in(&world, &two, &mut browser).await;
    }
}

#[tokio::test]
async fn reauthentication_survives_a_rotation() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    world.pass(TTL - 1);
    assert!(browser.submit(&world.one, "/sudo?by=pwd").await.ok());
    world.pass(1);
    let answer = browser.visit(&world.one, "/me").await;
    assert_eq!(answer.renewed(), Some("Rotated"));
    is_let_through(&world, &mut browser).await;
    world.pass(59);
    is_let_through(&world, &mut browser).await;
}

#[tokio::test]
async fn second_factor_is_required_and_counts_from_its_time() {
    let world = World::new();
    let two = world.instance();
    let mut browser = world.signed_in("ann&by=pwd").await;
    let answer = browser.visit(&world.one, "/otp").await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert_eq!(answer.rejection(), Some(RejectionKind::MethodRequired));
    assert_eq!(problem(answer).await, "MethodRequired");
    assert!(browser.submit(&world.one, "/sudo?by=otp").await.ok());
    idle().await;
    assert_eq!(claims_of(browser.value(ACCESS).unwrap())["amr"], serde_json::json!(["pwd", "otp"]));
    for seconds in [0, 1, TTL, TTL] {
        world.pass(seconds);
        for instance in [&world.one, &two] {
            assert_eq!(browser.visit(instance, "/otp").await.status(), StatusCode::NO_CONTENT);
        }
    }
    let other = world.signed_in("ann&by=pwd,otp").await;
    assert_eq!(world.one.answer(other.get("/otp")).await.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn method_within_a_time_is_that_of_the_last_reauthentication_only() {
    let world = World::new();
    let mut browser = world.signed_in("ann&by=pwd,otp").await;
    let fresh = async |browser: &mut Browser| browser.visit(&world.one, "/fresh-otp").await.rejection();
    assert_eq!(fresh(&mut browser).await, None, "the sign-in counts");
    world.pass(61);
    assert_eq!(fresh(&mut browser).await, Some(RejectionKind::ReauthenticationRequired));
    assert!(browser.submit(&world.one, "/sudo?by=pwd").await.ok());
    assert_eq!(fresh(&mut browser).await, Some(RejectionKind::MethodRequired), "an old otp, a new pwd");
    assert!(browser.submit(&world.one, "/sudo?by=otp").await.ok());
    world.pass(60);
    assert_eq!(fresh(&mut browser).await, None);
    world.pass(1);
    assert_eq!(fresh(&mut browser).await, Some(RejectionKind::ReauthenticationRequired));
}

#[tokio::test]
async fn last_reauthentication_replaces_the_one_before() {
    let world = World::new();
    let mut browser = world.signed_in("ann&by=pwd").await;
    assert!(browser.submit(&world.one, "/sudo?by=otp").await.ok());
    assert!(browser.submit(&world.one, "/sudo?by=pwd").await.ok());
    assert_eq!(browser.visit(&world.one, "/otp").await.rejection(), Some(RejectionKind::MethodRequired));
}

#[tokio::test]
async fn methods_too_large_for_a_cookie_are_refused() {
    let world = World::new();
    let two = world.instance();
    let mut browser = world.signed_in("ann").await;
    world.pass(61);
    let answer = browser.submit(&world.one, &format!("/sudo?by={}", "x".repeat(4000))).await;
    assert_eq!(answer.rejection(), Some(RejectionKind::ClaimsTooLarge));
    let session = session_of(&world.one, &browser).await;
    let error = session.reauthenticate(vec!["otp"; 1000]).await.unwrap_err();
    assert!(matches!(error, ChangeError::Claims(_)), "{error}");
    assert_eq!(world.store.calls("record_reauthentication"), 0);
    requires_reauthentication(browser.visit(&world.one, "/danger").await).await;
    stays_signed_in(&world, &two, &mut browser).await;
}

#[tokio::test]
async fn reauthentication_does_not_bring_back_claims_that_the_hook_replaced() {
    let directory = Directory::default();
    let world = directory.world();
    let mut browser = world.signed_in("ann&role=boss").await;
    directory.role("ann", "clerk");
    world.pass(TTL);
    assert_eq!(role(&browser.visit(&world.one, "/me").await), "clerk");
    world.pass(10);
    assert!(browser.submit(&world.one, "/sudo?by=pwd").await.ok());
    assert_eq!(role_in_jar(&browser), "clerk", "also for services that only verify the token");
    assert_eq!(role(&browser.visit(&world.one, "/me").await), "clerk");
}
