//! What tokens say of the device, and claims that change while a session is bound.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{Method, StatusCode};
use serde_json::Value;

use super::{
    browser::{ACCESS, Browser, REFRESH},
    world::World,
};

fn claims(browser: &Browser, cookie: &str, world: &World) -> Value {
    let token = browser.value(cookie, world.now()).expect("a token");
    let payload = token.split('.').nth(1).expect("a payload");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("JSON")
}

#[tokio::test]
async fn access_token_names_the_key_and_the_refresh_token_does_so_after_the_confirmation() {
    let world = World::new();
    let mut browser = Browser::signed_in(&world).await;
    let provisional = claims(&browser, ACCESS, &world)["cnf"].clone();
    assert_eq!(
        (provisional["jkt"].as_str().map(str::len), &provisional["provisional"]),
        (Some(43), &Value::Bool(true))
    );
    assert!(claims(&browser, REFRESH, &world)["cnf"].is_null());
    for _ in 0..4 {
        world.pass(280);
        assert!(browser.get(&world, "/me").await.ok());
    }
    for cookie in [ACCESS, REFRESH] {
        assert_eq!(claims(&browser, cookie, &world)["cnf"], serde_json::json!({"jkt": provisional["jkt"]}));
    }
    let mut unbound = Browser::without_device();
    unbound.post(&world, "/login").await;
    assert!(claims(&unbound, ACCESS, &world)["cnf"].is_null());
}

#[tokio::test]
async fn changed_claims_are_served_to_a_bound_session_without_a_renewal() {
    let world = World::new();
    let mut browser = Browser::confirmed(&world).await;
    let mut tab = browser.clone();
    assert!(browser.post(&world, "/rename").await.ok());
    assert_eq!(browser.get(&world, "/me").await.body, "renamed");
    let answer = tab.get(&world, "/me").await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "renamed"));
    assert!(answer.set_cookies().is_empty());
    world.one.sessions.mark_stale("ann").await.expect("marked");
    for _ in 0..3 {
        assert_eq!(tab.get(&world, "/me").await.body, "renamed");
    }
    world.pass(301);
    assert_eq!(tab.get(&world, "/me").await.body, "renamed");
}

#[tokio::test]
async fn revoked_bound_session_is_refused_at_once() {
    let world = World::new();
    let mut browser = Browser::confirmed(&world).await;
    world.one.sessions.revoke_all("ann").await.expect("revoked");
    assert_eq!(browser.get(&world, "/me").await.status, StatusCode::UNAUTHORIZED);
    world.pass(301);
    assert_eq!(browser.get(&world, "/me").await.status, StatusCode::UNAUTHORIZED);
    assert!(browser.bound.is_none());
}

#[tokio::test]
async fn idle_and_absolute_timeout_of_a_bound_session_hold() {
    let world = World::new();
    let mut browser = Browser::confirmed(&world).await;
    world.pass(2 * 3600 + 1);
    assert_eq!(browser.get(&world, "/me").await.status, StatusCode::UNAUTHORIZED);
    assert!(browser.bound.is_none());
    let mut browser = Browser::confirmed(&world).await;
    for _ in 0..23 {
        world.pass(3600);
        assert!(browser.get(&world, "/me").await.ok());
    }
    world.pass(3600);
    assert_eq!(browser.get(&world, "/me").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn encrypted_cookies_can_be_bound() {
    let world = World::tuned(|builder| {
        builder.device_bound(super::world::bound()).cookies(|cookies| cookies.encrypted())
    });
    let mut browser = Browser::confirmed(&world).await;
    let mut copy = browser.copied_jar();
    world.pass(301);
    assert_eq!(copy.get(&world, "/me").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(browser.get(&world, "/me").await.ok());
}

#[tokio::test]
async fn bound_session_is_refreshed_on_any_instance() {
    let world = World::new();
    let tune = |builder: tower_sliding_sessions::SessionsBuilder<String>| {
        builder.device_bound(super::world::bound())
    };
    let others = [world.instance(tune), world.instance(tune)];
    let mut browser = Browser::signed_in(&world).await;
    for nth in 0..10 {
        world.pass(280);
        let answer = browser.send(&world, &others[nth % 2], Method::GET, "/me", &[]).await;
        assert!(answer.ok(), "{answer:?}");
    }
}
