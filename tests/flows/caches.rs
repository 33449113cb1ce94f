//! A shared cache must never serve one user's session, or one user's page, to another user.

use axum::http::{HeaderMap, Request};
use tower_sliding_sessions::{RejectionKind, Session, Visitor};

use crate::support::{Answer, Browser, Profile, TTL, Trouble, World};

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

/// Each makes some shared cache keep a response, independently of `Cache-Control`.
const KEEP: [(&str, &str); 12] = [
    ("cdn-cache-control", "max-age=600"),
    ("cloudflare-cdn-cache-control", "max-age=600"),
    ("vercel-cdn-cache-control", "max-age=600"),
    ("netlify-cdn-cache-control", "public, durable, s-maxage=600"),
    ("x-litespeed-cache-control", "public, max-age=600"),
    ("x-accel-expires", "600"),
    ("expires", "Fri, 15 Jan 2038 00:00:00 GMT"),
    ("surrogate-control", "max-age=600"),
    ("x-surrogate-control", "max-age=600"),
    ("edge-control", "!no-store, max-age=10m"),
    ("akamai-edge-control", "max-age=10m"),
    ("access-control-expose-headers", "x-role"),
];

#[tokio::test]
async fn no_header_has_a_shared_cache_keep_a_response_that_sets_cookies() {
    let world = World::new();
    let sessions = world.one.sessions.clone();
    let keep = || axum::response::AppendHeaders(KEEP);
    let update = async move |session: Session<Profile>| {
        let cookies = session.update(&Profile { role: "admin".into() }).await.unwrap();
        (cookies, keep(), "changed")
    };
    let app = axum::Router::new()
        .route("/page", axum::routing::get(async move || (keep(), "page")))
        .route("/update", axum::routing::get(update))
        .route_layer(sessions.layer())
        .route(
            "/login",
            axum::routing::get(async move |visitor: Visitor<Profile>| {
                let cookies = visitor.sign_in("ann", Profile::default()).await.unwrap();
                (keep(), cookies, "welcome")
            }),
        )
        .with_state(sessions);
    let browser = world.signed_in("ann").await;
    let visit = async |path: &str| {
        let response = tower::ServiceExt::oneshot(app.clone(), browser.get(path).0).await.unwrap();
        Answer(response)
    };
    let kept = |answer: &Answer| KEEP.map(|(name, _)| answer.headers().contains_key(name));

    let fresh = visit("/page").await;
    assert!(fresh.touches_no_cookie());
    assert_eq!(kept(&fresh), [true; KEEP.len()], "no cookie, and the handler's word");
    let mut only_the_last = [false; KEEP.len()];
    only_the_last[KEEP.len() - 1] = true;
    for path in ["/update", "/page", "/login"] {
        world.pass(if path == "/page" { TTL } else { 0 });
        let answer = visit(path).await;
        assert!(!answer.touches_no_cookie(), "{path}");
        assert_eq!(cache_control(&answer), Some("no-store"), "{path}");
        assert_eq!(kept(&answer), only_the_last, "{path}");
    }
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
