//! Keys are replaced while sessions are under way.

use tower_sliding_sessions::{EventKind, InvalidToken};

use crate::support::{ACCESS, Browser, REFRESH, TTL, World, idle, keys};

fn kid(browser: &Browser, name: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let header = browser.value(name).unwrap().split('.').next().unwrap();
    let header: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_new_key_signs_nobody_out_while_the_old_one_still_verifies() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    let old = kid(&browser, ACCESS);
    world.one.sessions.set_keys(keys(1).and_verify(keys(0)).unwrap());
    assert_eq!(browser.visit(&world.one, "/me").await.renewed(), None, "the token is good as it is");

    world.pass(TTL);
    assert!(browser.visit(&world.one, "/me").await.sets_both());
    let new = kid(&browser, ACCESS);
    assert_ne!(new, old);
    assert_eq!(kid(&browser, REFRESH), new);

    // By now the old key may go.
    world.one.sessions.set_keys(keys(1));
    assert!(browser.visit(&world.one, "/me").await.ok());
    idle().await;
    world.pass(TTL);
    assert!(browser.visit(&world.one, "/me").await.ok());
}

#[tokio::test]
async fn an_instance_that_has_not_got_the_new_key_yet_is_told_to_verify_it_first() {
    let world = World::new();
    let two = world.instance();
    world.one.sessions.set_keys(keys(0).and_verify(keys(1)).unwrap());
    two.sessions.set_keys(keys(1).and_verify(keys(0)).unwrap());
    let mut browser = world.signed_in("ann").await;
    for turn in 0..6 {
        world.pass(TTL);
        let answer = browser.visit([&world.one, &two][turn % 2], "/me").await;
        assert!(answer.sets_both(), "{answer:?}");
        assert!(browser.visit([&two, &world.one][turn % 2], "/me").await.ok());
        idle().await;
    }
}

#[tokio::test]
async fn a_key_that_is_pulled_takes_both_tokens_with_it_at_once() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    // Both tokens are remembered as good.
    assert!(browser.visit(&world.one, "/me").await.ok());
    assert!(browser.visit(&world.one, "/me").await.ok());
    let calls = world.store.all_calls();

    world.one.sessions.set_keys(keys(1));
    let answer = browser.visit(&world.one, "/me").await;
    assert_eq!(answer.status(), 401);
    assert!(answer.touches_no_cookie());
    assert_eq!(world.count(&EventKind::AccessTokenInvalid(InvalidToken::UnknownKey)), 1);
    assert_eq!(world.count(&EventKind::RefreshTokenInvalid(InvalidToken::UnknownKey)), 1);

    browser.lose(ACCESS);
    assert_eq!(browser.visit(&world.one, "/me").await.status(), 401, "no silent renewal by it");
    assert_eq!(world.store.all_calls(), calls, "and the store was never asked");
}

#[tokio::test]
async fn another_key_of_the_same_name_is_another_key() {
    let world = World::new();
    world.one.sessions.set_keys(keys(0).with_kid("the-key").unwrap());
    let mut browser = world.signed_in("ann").await;
    assert!(browser.visit(&world.one, "/me").await.ok());
    world.one.sessions.set_keys(keys(1).with_kid("the-key").unwrap());
    assert_eq!(browser.visit(&world.one, "/me").await.status(), 401);
    assert_eq!(world.count(&EventKind::AccessTokenInvalid(InvalidToken::Signature)), 1);
}

#[tokio::test]
async fn a_key_that_comes_back_makes_its_sessions_good_again() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    world.one.sessions.set_keys(keys(1));
    assert!(!browser.visit(&world.one, "/me").await.ok());
    world.one.sessions.set_keys(keys(1).and_verify(keys(0)).unwrap());
    assert!(browser.visit(&world.one, "/me").await.ok());
}
