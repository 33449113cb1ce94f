//! A shared cache must never serve one user's session, or one user's page, to another user.

use axum::http::{HeaderMap, Request};
use tower_sliding_sessions::RejectionKind;

use crate::support::{Answer, Browser, TTL, Trouble, World};

fn cache_control(answer: &Answer) -> Option<&str> {
    answer.header("cache-control")
}

/// Whether the response has `Vary: cookie`, in one line or several.
fn varies_by_cookie(answer: &Answer) -> bool {
    let lines = answer.headers().get_all("vary").iter().map(|line| line.to_str().unwrap());
    lines.flat_map(|line| line.split(',')).any(|name| name.trim().eq_ignore_ascii_case("cookie"))
}

#[tokio::test]
async fn each_kind_of_response_has_its_cache_headers() {
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

    let anonymous = Browser::new().visit(&world.one, "/optional").await;
    assert!(anonymous.ok());
    assert_eq!(cache_control(&anonymous), None, "it is anonymous");
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
async fn public_page_is_no_longer_public_once_the_response_sets_cookies() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    let fresh = browser.visit(&world.one, "/public-page").await;
    assert_eq!(cache_control(&fresh), Some("public, s-maxage=600"), "no cookie: the handler's header stays");
    assert_eq!(fresh.header("vary"), Some("accept-encoding, cookie"), "merged, not overwritten");

    world.pass(TTL);
    let renewed = browser.visit(&world.one, "/public-page").await;
    assert!(renewed.sets_both());
    assert_eq!(cache_control(&renewed), Some("no-store"));
    assert_eq!(renewed.header("vary"), Some("accept-encoding, cookie"));
}

#[tokio::test]
async fn renewed_response_that_sets_no_cookie_is_still_private() {
    let world = World::new();
    let browser = world.signed_in("ann").await;
    world.pass(TTL);
    let slow = world.one.accept(browser.get("/slow"));
    world.one.gate.reached().await;
    world.pass(61);
    world.one.gate.open();
    let answer = slow.await.unwrap();
    assert!(answer.ok() && answer.touches_no_cookie());
    assert_eq!(cache_control(&answer), Some("private, no-cache"));
    assert!(varies_by_cookie(&answer));
}

#[tokio::test]
async fn outage_response_is_not_stored() {
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
async fn sign_out_clears_the_browser_cache_if_configured() {
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
async fn layer_with_no_store_keeps_a_cache_header_of_the_handler() {
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
