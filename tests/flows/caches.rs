//! A shared cache must never hand one person's session, or page, to another.

use axum::http::{HeaderMap, Request};
use tower_sliding_sessions::RejectionKind;

use crate::support::{Answer, Browser, TTL, Trouble, World};

fn cache_control(answer: &Answer) -> Option<&str> {
    answer.header("cache-control")
}

/// Whether the response says, in one `Vary` line or several, that cookies matter.
fn varies_by_cookie(answer: &Answer) -> bool {
    let lines = answer.headers().get_all("vary").iter().map(|line| line.to_str().unwrap());
    lines.flat_map(|line| line.split(',')).any(|name| name.trim().eq_ignore_ascii_case("cookie"))
}

#[tokio::test]
async fn every_kind_of_response_says_who_may_keep_it() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;

    let fresh = browser.visit(&world.one, "/me").await;
    assert_eq!(cache_control(&fresh), Some("private, no-cache"));
    assert!(varies_by_cookie(&fresh));

    world.pass(TTL);
    let renewed = browser.visit(&world.one, "/me").await;
    assert!(renewed.sets_both());
    assert_eq!(cache_control(&renewed), Some("no-store"));
    assert!(varies_by_cookie(&renewed));

    let anonymous = Browser::new().visit(&world.one, "/anybody").await;
    assert!(anonymous.ok());
    assert_eq!(cache_control(&anonymous), None, "it is nobody's");
    assert!(varies_by_cookie(&anonymous));

    let rejected = Browser::new().visit(&world.one, "/me").await;
    assert_eq!(rejected.status(), 401);
    assert_eq!(cache_control(&rejected), Some("no-store"));
    assert!(varies_by_cookie(&rejected));

    let cross_site = world.one.answer(browser.post("/me").with("sec-fetch-site", Some("cross-site"))).await;
    assert_eq!(cross_site.rejection(), Some(RejectionKind::CrossSite));
    assert_eq!(cache_control(&cross_site), Some("no-store"));

    for path in ["/login?name=ann", "/logout"] {
        let answer = browser.submit(&world.one, path).await;
        assert!(answer.ok());
        assert_eq!(cache_control(&answer), Some("no-store"), "{path}");
        assert!(varies_by_cookie(&answer), "{path}");
    }
}

#[tokio::test]
async fn a_page_that_its_handler_calls_public_is_not_once_cookies_go_with_it() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    let fresh = browser.visit(&world.one, "/public-page").await;
    assert_eq!(cache_control(&fresh), Some("public, s-maxage=600"), "no cookie, and the handler's word");
    assert_eq!(fresh.header("vary"), Some("accept-encoding, cookie"), "merged, not overwritten");

    world.pass(TTL);
    let renewed = browser.visit(&world.one, "/public-page").await;
    assert!(renewed.sets_both());
    assert_eq!(cache_control(&renewed), Some("no-store"));
    assert_eq!(renewed.header("vary"), Some("accept-encoding, cookie"));
}

#[tokio::test]
async fn a_renewed_response_that_carries_no_cookie_is_private_still() {
    let world = World::new();
    let browser = world.signed_in("ann").await;
    world.pass(TTL);
    let slow = world.one.accept(browser.get("/slow"));
    world.one.door.reached().await;
    world.pass(61);
    world.one.door.open();
    let answer = slow.await.unwrap();
    assert!(answer.ok() && answer.touches_no_cookie());
    assert_eq!(cache_control(&answer), Some("private, no-cache"));
    assert!(varies_by_cookie(&answer));
}

#[tokio::test]
async fn an_outage_is_not_kept_either() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    world.pass(TTL);
    world.store.trouble("advance", Trouble::Fail);
    let answer = browser.visit(&world.one, "/public-page").await;
    assert_eq!(answer.status(), 503);
    assert_eq!(cache_control(&answer), Some("no-store"));
    assert!(varies_by_cookie(&answer));
}

#[tokio::test]
async fn a_sign_out_has_the_browser_clear_its_cache_if_it_is_told_to() {
    let world = World::new();
    let visitor = world.one.sessions.visitor(&Request::new(())).unwrap();
    let mut headers = HeaderMap::new();
    visitor.sign_out().await.unwrap().apply(&mut headers);
    assert_eq!(headers.get("clear-site-data"), None);
    visitor.sign_out().await.unwrap().clear_cache().apply(&mut headers);
    assert_eq!(headers["clear-site-data"], "\"cache\"", "a quoted string");
    assert_eq!(headers["cache-control"], "no-store");
}

#[tokio::test]
async fn a_layer_can_have_nothing_stored_but_the_handlers_word_stands() {
    let world = World::new();
    let layer = world.one.sessions.layer().no_store();
    let app = axum::Router::new()
        .route("/silent", axum::routing::get(|| async { "private" }))
        .route("/public", axum::routing::get(|| async { ([("cache-control", "public")], "public") }))
        .route_layer(layer);
    let browser = world.signed_in("ann").await;
    for (path, says) in [("/silent", "no-store"), ("/public", "public")] {
        let response = tower::ServiceExt::oneshot(app.clone(), browser.get(path).0).await.unwrap();
        assert_eq!(response.headers()["cache-control"], says, "{path}");
    }
}
