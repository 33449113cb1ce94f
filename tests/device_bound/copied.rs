//! Clients with copied cookies and without the key.

use http::{Method, StatusCode};
use tower_sliding_sessions::{EventKind, Severity, protocol::Refusal};

use super::{
    browser::{ACCESS, Browser, REFRESH},
    world::{World, bound},
};

fn warnings(world: &World) -> usize {
    let is = |kind: &EventKind| *kind == EventKind::DeviceProofMissing;
    assert_eq!(EventKind::DeviceProofMissing.severity(), Severity::Warning);
    world.count(is)
}

#[tokio::test]
async fn copy_made_at_any_time_is_refused_after_the_access_token_and_the_owner_goes_on() {
    let world = World::new();
    let mut owner = Browser::signed_in(&world).await;
    let mut copies = Vec::new();
    for minute in 0..40 {
        copies.push((minute, owner.copied_jar()));
        world.pass(60);
        let answer = owner.get(&world, "/me").await;
        assert!(answer.ok(), "{answer:?}");
        if minute % 7 == 0 {
            copies.push((minute, owner.copied_jar()));
        }
    }
    world.pass(240);
    assert!(owner.get(&world, "/me").await.ok());
    world.pass(61);
    for (minute, mut copy) in copies {
        for path in ["/me", "/public"] {
            let answer = copy.get(&world, path).await;
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "minute {minute}: {answer:?}");
        }
        assert!(owner.get(&world, "/me").await.ok());
    }
    world.pass(3600);
    assert!(owner.get(&world, "/me").await.ok());
    assert!(warnings(&world) >= 1);
    let ended = |kind: &EventKind| {
        matches!(kind, EventKind::ReuseDetected | EventKind::Revoked { .. })
            || matches!(kind, EventKind::Refused(why) if *why != Refusal::DeviceProofRequired)
    };
    assert_eq!(world.count(ended), 0);
}

#[tokio::test]
async fn copy_with_an_expired_access_token_does_not_keep_the_session_alive() {
    let world = World::new();
    let mut owner = Browser::confirmed(&world).await;
    assert!(owner.get(&world, "/me").await.ok());
    let (copy, copied_at) = (owner.copied_jar(), world.now());
    // An instance that did not verify the token before.
    let other = world.instance(|builder| builder.device_bound(bound()));
    for _ in 0..11 {
        world.pass(600);
        // With all cookies as they were copied: a browser would have removed the expired one.
        let request = copy.request(Method::GET, "/me", copied_at, &[]);
        assert_eq!(other.answer(request).await.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    world.pass(900);
    assert!(!owner.get(&world, "/me").await.ok(), "the session was idle for longer than two hours");
}

#[tokio::test]
async fn copy_cannot_prolong_its_access_token_by_a_change_of_the_session() {
    for path in ["/rename", "/confirm"] {
        let world = World::new();
        let mut owner = Browser::confirmed(&world).await;
        let mut copy = owner.copied_jar();
        for _ in 0..8 {
            world.pass(30);
            assert!(copy.post(&world, path).await.ok(), "{path}");
        }
        world.pass(61);
        assert_eq!(copy.post(&world, path).await.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(owner.get(&world, "/me").await.ok());
    }
}

#[tokio::test]
async fn copy_renews_nothing_at_the_token_endpoint() {
    let world = World::new();
    let mut owner = Browser::confirmed(&world).await;
    for _ in 0..4 {
        let token = owner.value(REFRESH, world.now()).expect("a refresh token").to_owned();
        let request = http::Request::post("/token")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("grant_type=refresh_token&refresh_token={token}").into())
            .expect("a request");
        let answer = world.one.answer(request).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert_eq!(answer.json()["error"], "invalid_grant");
        world.pass(280);
        assert!(owner.get(&world, "/me").await.ok());
    }
    assert!(warnings(&world) >= 1);
}

#[tokio::test]
async fn copy_that_refreshes_gets_a_challenge_only_and_cannot_register_another_key() {
    let world = World::new();
    let mut owner = Browser::confirmed(&world).await;
    let mut copy = owner.copied_jar();
    world.pass(301);
    let request = copy.request(Method::POST, "/auth/device/refresh", world.now(), &[]);
    let answer = world.one.answer(request).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.set_cookies().is_empty());
    // Nothing offers a registration to it.
    copy.has_device = true;
    let answer = copy.get(&world, "/me").await;
    assert!(answer.header("secure-session-registration").is_none() && copy.bound.is_none());
    assert!(owner.get(&world, "/me").await.ok());
}

#[tokio::test]
async fn registration_after_the_confirmation_is_refused() {
    let world = World::new();
    let mut owner = Browser::signed_in(&world).await;
    world.pass(200);
    // A challenge from before the confirmation.
    let mut other = owner.copied_jar();
    world.pass(101);
    let offer = super::browser::offer_of(&other.get(&world, "/me").await);
    assert!(owner.get(&world, "/me").await.ok());
    if let Some((path, challenge)) = offer {
        let (_, request) = other.registration(&world, &path, &challenge);
        assert_eq!(world.one.answer(request).await.status, StatusCode::BAD_REQUEST);
    }
    world.pass(301);
    assert!(owner.get(&world, "/me").await.ok());
}

#[tokio::test]
async fn superseded_copy_without_a_proof_revokes_nothing_and_with_a_proof_it_is_reuse() {
    let world = World::new();
    let mut owner = Browser::confirmed(&world).await;
    let old = owner.clone();
    for _ in 0..12 {
        world.pass(280);
        assert!(owner.get(&world, "/me").await.ok());
    }
    let mut copy = old.copied_jar();
    assert_eq!(copy.get(&world, "/me").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(owner.get(&world, "/me").await.ok());
    // The browser was restored from a backup, on the same device.
    let mut restored = old;
    restored.get(&world, "/me").await;
    assert_eq!(world.count(|kind| *kind == EventKind::ReuseDetected), 1);
    assert_eq!(owner.get(&world, "/me").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn access_token_of_a_bound_session_is_not_renewed_early_by_a_copy() {
    let world = World::new();
    let owner = Browser::confirmed(&world).await;
    let mut copy = owner.copied_jar();
    world.pass(265);
    let answer = copy.get(&world, "/me").await;
    assert!(answer.ok() && answer.set_cookies().is_empty());
    assert!(copy.value(ACCESS, world.now()).is_some());
}
