//! A sign-in always opens a new session, and revokes the one it replaces.

use tower_sliding_sessions::EventKind;

use crate::support::{ACCESS, Browser, REFRESH, TTL, Trouble, World, claims_of};

fn sid(browser: &Browser) -> String {
    claims_of(browser.value(REFRESH).unwrap())["sid"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn each_sign_in_opens_a_new_session_and_revokes_the_replaced_one() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    for name in ["ann", "bob", "ann"] {
        let before = browser.clone();
        assert!(browser.submit(&world.one, &format!("/login?name={name}")).await.ok());
        assert_ne!(sid(&browser), sid(&before));
        assert!(!world.one.answer(before.get("/me")).await.ok(), "the replaced session is revoked");
        assert_eq!(browser.visit(&world.one, "/me").await.text().await, name);
    }
    assert_eq!(world.store.calls("create"), 4);
}

#[tokio::test]
async fn planted_session_is_neither_adopted_nor_left_valid() {
    let world = World::new();
    let attacker = world.signed_in("mallory").await;
    // The attacker plants a session of their own, and waits for the user to sign in.
    let mut victim = attacker.clone();
    assert!(victim.submit(&world.one, "/login?name=ann").await.ok());
    assert_ne!(sid(&victim), sid(&attacker));
    assert!(!world.one.answer(attacker.get("/me")).await.ok());
    assert_eq!(victim.visit(&world.one, "/me").await.text().await, "ann");
}

#[tokio::test]
async fn planted_token_that_was_not_minted_here_is_not_adopted() {
    let world = World::new();
    let mut victim = Browser::new();
    victim.plant(REFRESH, "chosen-by-the-attacker");
    victim.plant(ACCESS, "e30.e30.e30");
    let answer = victim.submit(&world.one, "/login?name=ann").await;
    assert!(answer.sets_both());
    assert_eq!(world.store.calls("revoke"), 0, "the token names no session of this application");
}

#[tokio::test]
async fn replaced_session_is_found_by_either_cookie_and_whether_valid_or_expired() {
    for lost in [ACCESS, REFRESH] {
        let world = World::new();
        let mut browser = world.signed_in("ann").await;
        let before = browser.clone();
        browser.lose(lost);
        assert!(browser.submit(&world.one, "/login?name=ann").await.ok());
        assert!(!world.one.answer(before.get("/me")).await.ok(), "without {lost}");
    }
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    let before = browser.clone();
    world.pass(TTL);
    assert!(browser.submit(&world.one, "/login?name=ann").await.ok());
    assert!(!world.one.answer(before.get("/me")).await.ok());
}

#[tokio::test]
async fn sessions_of_other_browsers_stay_valid() {
    let world = World::new();
    let mut phone = world.signed_in("ann").await;
    let mut laptop = world.signed_in("ann").await;
    assert!(laptop.submit(&world.one, "/login?name=ann").await.ok());
    assert!(phone.visit(&world.one, "/me").await.ok());
}

#[tokio::test]
async fn sign_in_that_the_store_refuses_sets_no_cookie() {
    for operation in ["revoke", "create"] {
        let world = World::new();
        let mut browser = world.signed_in("ann").await;
        world.store.trouble(operation, Trouble::Fail);
        let answer = browser.submit(&world.one, "/login?name=bob").await;
        assert_eq!(answer.status(), 503, "{operation}");
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert!(answer.touches_no_cookie());
        assert_eq!(world.count(&EventKind::SignedIn), 1);
        world.store.recover();
        assert!(browser.submit(&world.one, "/login?name=bob").await.sets_both());
    }
}

#[tokio::test]
async fn claims_too_large_for_a_cookie_are_an_error_before_anything_is_stored() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    let calls = world.store.all_calls();
    let login = format!("/login?name=bob&role={}", "x".repeat(3000));
    let answer = browser.submit(&world.one, &login).await;
    assert_eq!(answer.status(), 500);
    assert!(answer.touches_no_cookie());
    assert_eq!(world.store.all_calls(), calls);
    assert_eq!(browser.visit(&world.one, "/me").await.text().await, "ann");
}

#[tokio::test]
async fn renewal_never_changes_the_time_of_the_sign_in() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    let began = browser.visit(&world.one, "/me").await.header("x-auth-time").unwrap().to_owned();
    for _ in 0..5 {
        world.pass(TTL);
        let answer = browser.visit(&world.one, "/me").await;
        assert!(answer.renewed().is_some());
        assert_eq!(answer.header("x-auth-time"), Some(began.as_str()));
        assert_eq!(claims_of(browser.value(ACCESS).unwrap())["auth_time"].to_string(), began);
    }
}

#[tokio::test]
async fn sign_out_succeeds_without_a_session_and_on_an_expired_one() {
    let world = World::new();
    let answer = Browser::new().submit(&world.one, "/leave").await;
    assert!(answer.ok() && answer.removes_cookies());
    assert_eq!(world.store.calls("revoke"), 0);

    let mut browser = world.signed_in("ann").await;
    let before = browser.clone();
    world.pass(TTL);
    assert!(browser.submit(&world.one, "/leave").await.ok(), "by an expired access token");
    assert!(browser.is_empty());
    browser = before;
    assert!(browser.submit(&world.one, "/leave").await.ok(), "a second sign-out");
    assert!(browser.is_empty());
}
