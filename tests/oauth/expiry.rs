//! When the refresh token of a response expires (draft-ietf-oauth-refresh-token-expiration-03).

use std::time::Duration;

use axum::body::Body;
use tower_sliding_sessions::oauth::Grant;

use crate::support::{Answer, Client, Profile, TTL, World, form, idle};

const HOUR: u64 = 3600;

/// `refresh_token_expires_in`, which must be `refresh_token_timeout`, and `authorization_expires_in`.
fn expiry(answer: &Answer) -> (u64, u64) {
    let secs =
        |member: &str| answer.json[member].as_u64().unwrap_or_else(|| panic!("{member} of {answer:?}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(secs("refresh_token_expires_in"), secs("refresh_token_timeout"));
    (secs("refresh_token_timeout"), secs("authorization_expires_in"))
}

async fn sign_in(world: &World) -> Answer {
    world.token(&[("grant_type", "password"), ("username", "ann"), ("password", "right")]).await
}

async fn introspect(world: &World, token: &str) -> Answer {
    let request = form("/oauth/introspect").header("authorization", "Basic c2VydmljZQ==");
    world.send(request.body(Body::from(format!("token={token}"))).unwrap()).await
}

#[tokio::test]
async fn idle_timeout_ends_a_new_refresh_token_and_the_absolute_timeout_ends_a_late_one() {
    let world = World::new();
    let answer = sign_in(&world).await;
    assert_eq!(expiry(&answer), (2 * HOUR, 24 * HOUR));
    let mut client = Client::of(&answer);
    for hour in 1..=22 {
        world.pass(HOUR);
        assert_eq!(expiry(&client.renew(&world).await), (2 * HOUR, (24 - hour) * HOUR));
        client.get(&world, "/me").await;
        idle().await;
    }
    world.pass(HOUR / 2);
    assert_eq!(expiry(&client.renew(&world).await), (3 * HOUR / 2, 3 * HOUR / 2));
}

#[tokio::test]
async fn refresh_token_works_until_the_announced_second_and_not_longer() {
    let world = World::new();
    let (idle, _) = expiry(&sign_in(&world).await);
    let (early, late) = (world.signed_in("bob").await, world.signed_in("eve").await);
    world.pass(idle - 1);
    assert_eq!(early.exchange(&world).await.status, 200);
    world.pass(1);
    assert!(late.exchange(&world).await.is_error(400, "invalid_grant"));
}

#[tokio::test]
async fn response_without_a_refresh_token_tells_of_the_presented_one() {
    let world = World::new();
    let client = world.signed_in("ann").await;
    world.pass(TTL - 60 - 45);
    let answer = client.exchange(&world).await;
    assert_eq!(answer.json.get("refresh_token"), None);
    let (unused, session) = expiry(&answer);
    assert!(unused >= 2 * HOUR - (TTL - 60 - 45), "{unused}");
    assert_eq!(session, 24 * HOUR - (TTL - 60 - 45));
}

#[tokio::test]
async fn shorter_timeouts_of_a_grant_and_of_a_policy_count() {
    let world = World::new();
    let short = Grant::new("ann", Profile::default())
        .idle_timeout(Duration::from_secs(HOUR))
        .absolute_timeout(Duration::from_secs(3 * HOUR));
    let tokens = world.sessions.issue_tokens(short).await.unwrap();
    assert_eq!(tokens.refresh_token_expires_in(), Duration::from_secs(HOUR));
    assert_eq!(tokens.authorization_expires_in(), Duration::from_secs(3 * HOUR));

    let client = world.signed_in("ann").await;
    let hours = |n| Duration::from_secs(n * HOUR);
    let stricter = World::around(world.store.clone(), |builder| {
        builder.timing(|timing| timing.idle_timeout(hours(1)).absolute_timeout(hours(2)))
    });
    assert_eq!(expiry(&client.exchange(&stricter).await), (HOUR, 2 * HOUR));
}

#[tokio::test]
async fn introspection_of_a_refresh_token_says_when_it_expires_and_does_not_extend_it() {
    let world = World::new();
    let client = world.signed_in("ann").await;
    for _ in 0..2 {
        world.pass(HOUR / 2);
        introspect(&world, &client.refresh).await;
    }
    let answer = introspect(&world, &client.refresh).await;
    assert_eq!(answer.json["refresh_token_timeout"], HOUR);
    assert_eq!(answer.json["authorization_expires_in"], 23 * HOUR);
    let fresh = world.signed_in("ann").await;
    let access = introspect(&world, &fresh.access).await;
    assert_eq!((&access.json["active"], access.json.get("refresh_token_timeout")), (&true.into(), None));
}

#[tokio::test]
async fn session_with_a_fraction_of_a_second_is_rounded_down() {
    let world = World::new();
    world.clock.advance(Duration::from_millis(300));
    let answer = sign_in(&world).await;
    let (unused, session) = expiry(&answer);
    assert_eq!((unused, session), (2 * HOUR, 24 * HOUR - 1), "the token has whole seconds");
}
