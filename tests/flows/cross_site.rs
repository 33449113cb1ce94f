//! What another site can make a browser do: no unsafe request, and no renewal except by a link.

use http::Method;
use tower_sliding_sessions::{EventKind, RejectionKind};

use crate::support::{Answer, Browser, Sent, TTL, World};

fn from(sent: Sent, site: &str, mode: &str, dest: &str) -> Sent {
    sent.with("origin", None)
        .with("sec-fetch-site", Some(site))
        .with("sec-fetch-mode", Some(mode))
        .with("sec-fetch-dest", Some(dest))
}

fn is_foreign(answer: &Answer) -> bool {
    answer.status() == 403
        && answer.rejection() == Some(RejectionKind::CrossSite)
        && answer.touches_no_cookie()
}

async fn due(world: &World) -> Browser {
    let browser = world.signed_in("ann").await;
    world.pass(TTL);
    browser
}

#[tokio::test]
async fn unsafe_cross_site_request_is_refused_by_the_layer_and_by_the_visitor() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    let calls = world.store.all_calls();
    let mut refused = 0;
    for site in ["cross-site", "same-site"] {
        for path in ["/me", "/optional", "/logout", "/leave", "/login?name=mallory", "/switch?name=mallory"] {
            let answer = world.one.answer(browser.post(path).with("sec-fetch-site", Some(site))).await;
            assert!(is_foreign(&answer), "{site} {path}: {answer:?}");
            refused += 1;
        }
    }
    assert_eq!(world.count(&EventKind::CrossSiteRefused), refused);
    assert_eq!(world.store.all_calls(), calls, "no sign-in and no sign-out");
    for method in
        [Method::PUT, Method::PATCH, Method::DELETE, Method::TRACE, Method::from_bytes(b"PROPFIND").unwrap()]
    {
        let sent = browser.send(method.clone(), "/me").with("sec-fetch-site", Some("cross-site"));
        assert!(is_foreign(&world.one.answer(sent).await), "{method}");
    }
    assert!(browser.visit(&world.one, "/me").await.ok());
}

#[tokio::test]
async fn browser_without_fetch_metadata_is_judged_by_origin() {
    let world = World::new();
    let browser = world.signed_in("ann").await;
    for (origin, accepted) in [
        (Some("https://app.example"), true),
        (Some("https://evil.example"), false),
        (Some("https://app.example.evil.example"), false),
        (Some("https://app.example:8443"), false),
        (Some("null"), false),
        (None, true),
    ] {
        let sent = browser.post("/me").with("sec-fetch-site", None).with("origin", origin);
        assert_eq!(world.one.answer(sent).await.ok(), accepted, "{origin:?}");
    }
}

#[tokio::test]
async fn cross_site_websocket_handshake_is_refused_although_it_is_a_get() {
    let world = World::new();
    let browser = world.signed_in("ann").await;
    let handshake = |sent: Sent| sent.and("connection", "Upgrade").and("upgrade", "websocket");
    assert!(world.one.answer(handshake(browser.get("/me"))).await.ok());
    let foreign = handshake(browser.get("/me")).with("sec-fetch-site", Some("cross-site"));
    assert!(is_foreign(&world.one.answer(foreign).await));
}

#[tokio::test]
async fn cross_site_link_renews_and_a_cross_site_subresource_does_not() {
    let world = World::new();
    for (mode, dest, renews) in [
        ("navigate", "document", true),
        ("no-cors", "image", false),
        ("no-cors", "script", false),
        ("cors", "empty", false),
        ("navigate", "iframe", false),
        ("navigate", "object", false),
    ] {
        let browser = due(&world).await;
        let calls = world.store.calls("advance");
        let answer = world.one.answer(from(browser.get("/me"), "cross-site", mode, dest)).await;
        assert_eq!(answer.ok(), renews, "{mode} {dest}");
        assert_eq!(answer.sets_both(), renews, "{mode} {dest}");
        assert_eq!(world.store.calls("advance") - calls, usize::from(renews));

        // With a valid access token, it is served.
        let fresh = world.signed_in("ann").await;
        let answer = world.one.answer(from(fresh.get("/me"), "cross-site", mode, dest)).await;
        assert!(answer.ok() && answer.touches_no_cookie());
    }
}

#[tokio::test]
async fn prefetch_and_service_worker_script_do_not_renew() {
    let world = World::new();
    for (name, value) in [
        ("sec-purpose", "prefetch"),
        ("sec-purpose", "prefetch;prerender"),
        ("purpose", "prefetch"),
        ("service-worker", "script"),
    ] {
        let mut browser = due(&world).await;
        let calls = world.store.all_calls();
        for path in ["/me", "/optional"] {
            let answer = world.one.answer(browser.get(path).and(name, value)).await;
            assert_eq!(answer.status(), 425, "{name}: {value}");
            assert_eq!(answer.rejection(), Some(RejectionKind::NotNow));
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            assert!(answer.touches_no_cookie());
        }
        assert_eq!(world.store.all_calls(), calls);
        assert!(browser.visit(&world.one, "/me").await.sets_both(), "then the user opens the page");

        let fresh = world.signed_in("ann").await;
        assert!(world.one.answer(fresh.get("/me").and(name, value)).await.ok());
    }
}

#[tokio::test]
async fn preflight_does_not_renew() {
    let world = World::new();
    let browser = due(&world).await;
    let calls = world.store.all_calls();
    let preflight = browser.send(Method::OPTIONS, "/me").and("access-control-request-method", "POST");
    let answer = world.one.answer(preflight).await;
    assert_eq!(answer.status(), 401);
    assert!(answer.touches_no_cookie());
    assert_eq!(world.store.all_calls(), calls);
    assert!(
        world.one.answer(browser.send(Method::OPTIONS, "/me")).await.sets_both(),
        "any other OPTIONS request does"
    );
}

#[tokio::test]
async fn trusted_origin_is_treated_as_same_origin() {
    const FRIEND: &str = "https://friend.example";
    let world = World::tuned(|builder| builder.cookies(|cookies| cookies.trusted_origin(FRIEND)));
    for (origin, accepted) in
        [(FRIEND, true), ("https://friend.example:444", false), ("http://friend.example", false)]
    {
        let browser = due(&world).await;
        let sent = from(browser.post("/me"), "cross-site", "cors", "empty").with("origin", Some(origin));
        assert_eq!(world.one.answer(sent).await.sets_both(), accepted, "{origin}");
        let browser = due(&world).await;
        let sent = from(browser.get("/me"), "cross-site", "cors", "empty").with("origin", Some(origin));
        assert_eq!(world.one.answer(sent).await.sets_both(), accepted, "{origin}");
    }
}

#[tokio::test]
async fn same_site_subresource_renews() {
    let world = World::new();
    let browser = due(&world).await;
    assert!(world.one.answer(from(browser.get("/me"), "same-site", "no-cors", "image")).await.sets_both());
}
