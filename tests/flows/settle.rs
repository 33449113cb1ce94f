//! The cookies of a response are chosen when its head leaves.

use tower_sliding_sessions::Clock as _;

use crate::support::{ACCESS, Answer, Browser, REFRESH, Sent, TTL, WINDOW, World, claims_of, idle};

async fn due(world: &World) -> Browser {
    let browser = world.signed_in("ann").await;
    world.pass(TTL);
    browser
}

/// A request whose handler takes `seconds`.
async fn takes(world: &World, sent: Sent, seconds: u64) -> Answer {
    let task = world.one.accept(sent);
    world.one.gate.reached().await;
    world.pass(seconds);
    world.one.gate.open();
    task.await.unwrap()
}

#[tokio::test]
async fn handler_slower_than_the_write_window_sets_no_cookie_and_costs_no_session() {
    let world = World::new();
    let mut browser = due(&world).await;
    let before = browser.clone();
    let answer = takes(&world, browser.get("/slow"), WINDOW + 1).await;
    assert!(answer.ok() && answer.touches_no_cookie());
    browser.receive(&answer);
    assert_eq!(browser, before);
    assert_eq!(browser.visit(&world.one, "/me").await.renewed(), Some("PredecessorServed"));
}

#[tokio::test]
async fn access_token_has_the_claims_of_the_read_and_a_lifetime_from_the_response() {
    let world = World::new();
    let mut browser = due(&world).await;
    let answer = takes(&world, browser.get("/slow"), WINDOW).await;
    assert!(answer.sets_both(), "up to the last second of the window");
    let claims = claims_of(answer.cookie(ACCESS).unwrap());
    assert_eq!(claims["iat"], world.clock.now().as_secs() - WINDOW);
    assert_eq!(claims["exp"], world.clock.now().as_secs() + TTL);
    browser.receive(&answer);
    world.pass(TTL - 1);
    assert_eq!(browser.visit(&world.one, "/me").await.renewed(), None);
}

#[tokio::test]
async fn refresh_token_is_set_only_if_newer_than_the_presented_one() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    world.pass(60);
    browser.lose(ACCESS);
    let reissued = browser.visit(&world.one, "/me").await;
    assert_eq!(reissued.renewed(), Some("Reissued"));
    assert!(reissued.sets_access_only());

    world.pass(TTL);
    assert!(browser.visit(&world.one, "/me").await.sets_both());
    browser.lose(ACCESS);
    let confirmed = browser.visit(&world.one, "/me").await;
    assert_eq!(confirmed.renewed(), Some("Confirmed"));
    assert!(confirmed.sets_access_only());
    idle().await;
    browser.lose(ACCESS);
    assert!(browser.visit(&world.one, "/me").await.sets_access_only());
}

#[tokio::test]
async fn sign_in_inside_a_renewed_request_replaces_the_renewed_cookies() {
    let world = World::new();
    let mut browser = due(&world).await;
    let before = browser.clone();
    let answer = browser.submit(&world.one, "/switch?name=bob").await;
    assert_eq!(answer.set_cookies().len(), 2, "{answer:?}");
    assert!(answer.sets_both());
    assert_eq!(claims_of(browser.value(ACCESS).unwrap())["sub"], "bob");
    assert_eq!(claims_of(browser.value(REFRESH).unwrap())["sub"], "bob");
    assert_eq!(browser.visit(&world.one, "/me").await.text().await, "bob");
    assert!(!world.one.answer(before.get("/me")).await.ok());
}

#[tokio::test]
async fn sign_in_sets_cookies_however_slow_its_handler_is() {
    let world = World::new();
    let mut browser = due(&world).await;
    let answer = takes(&world, browser.post("/slow-switch?name=bob"), 2 * WINDOW).await;
    assert!(answer.sets_both());
    browser.receive(&answer);
    assert_eq!(browser.visit(&world.one, "/me").await.text().await, "bob");
}

#[tokio::test]
async fn late_response_of_an_old_session_does_not_overwrite_a_new_sign_in() {
    let world = World::new();
    let mut browser = due(&world).await;
    let slow = world.one.accept(browser.get("/slow"));
    world.one.gate.reached().await;
    assert!(browser.submit(&world.one, "/login?name=bob").await.sets_both());
    world.one.gate.open();
    let late = slow.await.unwrap();
    assert!(late.ok() && late.touches_no_cookie());
    browser.receive(&late);
    assert_eq!(browser.visit(&world.one, "/me").await.text().await, "bob");
}

#[tokio::test]
async fn late_response_of_an_old_session_does_not_undo_a_sign_out() {
    let world = World::new();
    let mut browser = due(&world).await;
    let slow = world.one.accept(browser.get("/slow"));
    world.one.gate.reached().await;
    assert!(browser.submit(&world.one, "/leave").await.ok());
    world.one.gate.open();
    browser.receive(&slow.await.unwrap());
    assert!(browser.is_empty());
}

#[tokio::test]
async fn cookie_of_the_handler_stays() {
    let world = World::new();
    let mut browser = due(&world).await;
    let answer = browser.visit(&world.one, "/theme").await;
    assert_eq!(answer.set_cookies().len(), 3);
    assert_eq!(answer.cookie("theme"), Some("dark"));
    assert!(answer.sets_both());
    assert_eq!(browser.visit(&world.one, "/theme").await.set_cookies(), ["theme=dark; Path=/"]);
}

#[tokio::test]
async fn layer_sets_no_cookie_under_a_name_the_handler_has_set() {
    let world = World::new();
    let mut browser = due(&world).await;
    let answer = browser.visit(&world.one, "/own-access").await;
    assert_eq!(answer.cookie(ACCESS), Some("mine"));
    assert!(answer.cookie(REFRESH).is_some_and(|token| claims_of(token)["gen"] == 1));
    assert_eq!(answer.set_cookies().len(), 2);
    assert!(browser.visit(&world.one, "/me").await.ok(), "the handler's cookie is no valid token");
}

#[tokio::test]
async fn request_without_a_renewal_sets_no_cookies() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    for path in ["/me", "/optional", "/status/500", "/redirect"] {
        assert!(browser.visit(&world.one, path).await.touches_no_cookie());
    }
}
