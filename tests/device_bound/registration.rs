//! Registration, and the confirmation of a binding.

use http::{Method, StatusCode};
use tower_sliding_sessions::EventKind;

use super::{
    browser::{ACCESS, Browser, REFRESH, offer_of},
    key::DeviceKey,
    world::World,
};

#[tokio::test]
async fn browser_registers_at_sign_in_and_refreshes_when_the_bound_cookie_is_gone() {
    let world = World::new();
    let mut browser = Browser::signed_in(&world).await;
    assert!(browser.bound.is_some());
    let answer = browser.get(&world, "/me").await;
    assert_eq!((answer.status, answer.header("x-bound")), (StatusCode::OK, Some("false")));
    for _ in 0..5 {
        world.pass(271);
        assert!(
            browser.value(ACCESS, world.now()).is_none() && browser.value(REFRESH, world.now()).is_some()
        );
        assert!(browser.get(&world, "/me").await.ok());
        let answer = browser.get(&world, "/me").await;
        assert_eq!((answer.status, answer.header("x-bound")), (StatusCode::OK, Some("true")));
    }
    assert_eq!(browser.signatures, 6);
    assert_eq!(world.count(|kind| *kind == EventKind::DeviceRegistered), 1);
    assert_eq!(world.count(|kind| *kind == EventKind::DeviceConfirmed), 1);
    assert!(world.count(|kind| matches!(kind, EventKind::Renewed(_))) >= 6);
}

#[tokio::test]
async fn key_for_rs256_is_bound_and_proven() {
    let world = World::new();
    let mut browser = Browser::new();
    browser.has_device = false;
    let (path, challenge) = offer_of(&browser.post(&world, "/login").await).expect("an offer");
    let key = DeviceKey::rsa();
    let proof = key.register(&challenge);
    let request = browser.request(Method::POST, &path, world.now(), &[("secure-session-response", &proof)]);
    browser.accept(&world, key, &world.one.answer(request).await);
    for _ in 0..2 {
        world.pass(280);
        assert!(browser.get(&world, "/me").await.ok());
    }
    assert_eq!(browser.get(&world, "/me").await.header("x-bound"), Some("true"));
}

#[tokio::test]
async fn browser_without_support_is_renewed_as_before() {
    let world = World::new();
    let mut browser = Browser::without_device();
    assert!(offer_of(&browser.post(&world, "/login").await).is_some());
    for nth in 1..6 {
        world.pass(301);
        let answer = browser.get(&world, "/me").await;
        // A session is bound within 15 minutes.
        assert_eq!((answer.ok(), offer_of(&answer).is_some()), (true, nth < 3));
        assert!(browser.value(ACCESS, world.now()).is_some());
    }
}

#[tokio::test]
async fn session_that_missed_the_binding_window_is_bound_after_a_reauthentication() {
    let world = World::new();
    let mut browser = Browser::without_device();
    browser.post(&world, "/login").await;
    for _ in 0..5 {
        world.pass(301);
        assert!(browser.get(&world, "/me").await.ok());
    }
    // The browser can bind sessions from now on.
    browser.has_device = true;
    for _ in 0..3 {
        world.pass(301);
        assert!(browser.get(&world, "/me").await.ok());
        assert!(browser.bound.is_none(), "nothing offers a registration");
    }
    assert!(browser.post(&world, "/confirm").await.ok());
    for _ in 0..3 {
        world.pass(301);
        assert!(browser.get(&world, "/me").await.ok());
    }
    assert_eq!(browser.get(&world, "/me").await.header("x-bound"), Some("true"));
}

#[tokio::test]
async fn registration_that_fails_during_an_outage_is_offered_again_by_the_next_renewal() {
    let world = World::new();
    let mut browser = Browser::new();
    world.store.fail(&["get", "replace", "advance"]);
    assert!(browser.post(&world, "/login").await.ok());
    assert!(browser.bound.is_none());
    world.store.fail(&[]);
    for _ in 0..3 {
        world.pass(301);
        assert!(browser.get(&world, "/me").await.ok());
    }
    assert_eq!(browser.get(&world, "/me").await.header("x-bound"), Some("true"));
}

/// The answer to this registration would have no cookies, and so it would be 503.
#[tokio::test]
async fn registration_in_the_second_of_a_change_of_claims_stores_no_key() {
    let world = World::new();
    let mut browser = Browser::without_device();
    let (path, challenge) = offer_of(&browser.post(&world, "/login").await).expect("an offer");
    assert!(browser.post(&world, "/rename").await.ok());
    browser.has_device = true;
    browser.register(&world, &world.one.clone(), &path, &challenge).await;
    assert!(browser.bound.is_none());
    assert_eq!(world.count(|kind| *kind == EventKind::DeviceRegistered), 0);
    world.pass(301);
    assert!(browser.get(&world, "/me").await.ok());
    assert!(browser.bound.is_some());
}

#[tokio::test]
async fn confirmed_binding_is_not_renewed_without_a_proof() {
    let world = World::new();
    let mut browser = Browser::confirmed(&world).await;
    let mut copy = browser.copied_jar();
    world.pass(301);
    for _ in 0..3 {
        let answer = copy.get(&world, "/me").await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.body.contains("device_proof_required"), "{}", answer.body);
        assert!(answer.set_cookies().is_empty());
    }
    assert!(browser.get(&world, "/me").await.ok());
    assert_eq!(world.count(|kind| *kind == EventKind::DeviceProofMissing), 1);
}

/// The browser's own request has another mode, or none. Scripts of this site can send the proof's header, too.
#[tokio::test]
async fn registration_by_a_script_is_refused() {
    for (mode, status) in [
        ("cors", StatusCode::BAD_REQUEST),
        ("same-origin", StatusCode::BAD_REQUEST),
        ("no-cors", StatusCode::OK),
    ] {
        let world = World::new();
        let mut browser = Browser::new();
        browser.has_device = false;
        let (path, challenge) = offer_of(&browser.post(&world, "/login").await).expect("an offer");
        let (_, mut request) = browser.registration(&world, &path, &challenge);
        request.headers_mut().insert("sec-fetch-mode", mode.parse().expect("a value"));
        assert_eq!(world.one.answer(request).await.status, status, "{mode}");
    }
}
