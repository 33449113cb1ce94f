//! Renewed cookies leave with the head of every kind of response.

use http::Method;

use crate::support::{Browser, REFRESH, TTL, World, idle};

async fn due(world: &World) -> Browser {
    let browser = world.signed_in("ann").await;
    world.pass(TTL);
    browser
}

#[tokio::test]
async fn every_status_sets_renewed_cookies_and_is_not_stored() {
    let world = World::new();
    for status in [200, 201, 204, 206, 301, 302, 303, 304, 307, 400, 401, 403, 404, 409, 429, 500, 502, 503] {
        let mut browser = due(&world).await;
        let before = browser.value(REFRESH).unwrap().to_owned();
        let answer = browser.visit(&world.one, &format!("/status/{status}")).await;
        assert_eq!(answer.status(), status);
        assert!(answer.sets_both(), "{status}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{status}");
        assert_ne!(browser.value(REFRESH), Some(before.as_str()));
        assert_eq!(browser.visit(&world.one, "/me").await.renewed(), None);
        idle().await;
    }
}

#[tokio::test]
async fn redirect_and_head_response_set_renewed_cookies() {
    let world = World::new();
    let mut browser = due(&world).await;
    let redirect = browser.visit(&world.one, "/redirect").await;
    assert_eq!(redirect.header("location"), Some("/me"));
    assert!(redirect.sets_both());
    assert_eq!(redirect.header("cache-control"), Some("no-store"));

    let browser = due(&world).await;
    let head = world.one.answer(browser.send(Method::HEAD, "/me")).await;
    assert!(head.ok() && head.sets_both());
    assert_eq!(head.header("cache-control"), Some("no-store"));
    assert_eq!(head.text().await, "");
}

#[tokio::test]
async fn endless_stream_sets_renewed_cookies_in_its_head() {
    let world = World::new();
    let mut browser = due(&world).await;
    // The head is here although the body never ends.
    let answer = browser.visit(&world.one, "/stream").await;
    assert!(answer.ok() && answer.sets_both());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(browser.visit(&world.one, "/me").await.renewed(), None);
}

#[tokio::test]
async fn upgrade_response_sets_renewed_cookies() {
    let world = World::new();
    let browser = due(&world).await;
    let handshake = browser.get("/status/101").and("connection", "upgrade").and("upgrade", "websocket");
    let answer = world.one.answer(handshake).await;
    assert_eq!(answer.status(), 101);
    assert!(answer.sets_both());
}

#[tokio::test]
async fn unknown_route_is_404_with_and_without_a_session() {
    let world = World::new();
    assert_eq!(Browser::new().visit(&world.one, "/nowhere").await.status(), 404);
    let mut browser = due(&world).await;
    let answer = browser.visit(&world.one, "/nowhere").await;
    assert_eq!(answer.status(), 404);
    assert!(answer.touches_no_cookie(), "it is outside the layer");
}

#[tokio::test]
async fn handler_panic_fails_only_its_own_request() {
    let world = World::new();
    let mut browser = due(&world).await;
    let crashed = world.one.accept(browser.get("/panic")).await;
    assert!(crashed.unwrap_err().is_panic());
    assert_eq!(world.store.rotations(), 1);

    let answer = browser.visit(&world.one, "/me").await;
    assert_eq!(answer.renewed(), Some("PredecessorServed"));
    assert!(answer.sets_both());
    assert!(browser.visit(&world.one, "/me").await.ok());
}
