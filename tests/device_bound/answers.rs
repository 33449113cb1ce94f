//! Answers to requests of bound sessions that come without a proof, and to all requests during an outage.

use http::{Method, StatusCode};
use tower_sliding_sessions::{EventKind, RedirectToLogin};

use super::{
    browser::{Browser, Refreshed},
    world::{Answer, World, bound},
};

const DOWN: &[&str] = &["get", "replace", "create", "revoke"];
const PAGE: [(&str, &str); 2] = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];

/// A browser whose access cookie is gone, and that does not refresh.
async fn without_refresh(world: &World) -> Browser {
    let copy = Browser::confirmed(world).await.copied_jar();
    world.pass(301);
    copy
}

async fn answer(
    world: &World,
    browser: &mut Browser,
    path: &str,
    headers: &[(&'static str, &str)],
) -> Answer {
    browser.send(world, &world.one, Method::GET, path, headers).await
}

#[tokio::test]
async fn fetch_gets_503_with_a_code_and_keeps_its_cookies() {
    let world = World::new();
    let mut browser = without_refresh(&world).await;
    for path in ["/me", "/public"] {
        let answer = answer(&world, &mut browser, path, &[]).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(answer.json()["code"], "device_proof_required");
        assert!(answer.set_cookies().is_empty());
    }
}

#[tokio::test]
async fn page_visit_after_a_failed_refresh_gets_a_page_that_loads_again() {
    let world = World::new();
    let mut browser = without_refresh(&world).await;
    for (why, seconds) in [("server_error", "1"), ("unreachable", "1"), ("quota_exceeded", "30")] {
        let skipped = format!("{why};session_identifier=\"a\"");
        let headers = [PAGE[0], PAGE[1], ("secure-session-skipped", &skipped)];
        for path in ["/me", "/public"] {
            let answer = answer(&world, &mut browser, path, &headers).await;
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(
                (answer.header("refresh"), answer.header("retry-after")),
                (Some(seconds), Some(seconds))
            );
            assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
            assert!(answer.set_cookies().is_empty() && answer.body.contains("One moment"));
        }
    }
}

/// Browsers do not refresh for such a visit, and do not say so.
#[tokio::test]
async fn page_visit_by_a_link_on_another_site_gets_a_page_that_loads_again_once() {
    let world = World::new();
    let mut browser = without_refresh(&world).await;
    for (site, status, refresh) in [
        ("cross-site", StatusCode::SERVICE_UNAVAILABLE, Some("0")),
        ("same-site", StatusCode::SERVICE_UNAVAILABLE, Some("0")),
        // The same page, loaded again.
        ("same-origin", StatusCode::UNAUTHORIZED, None),
        ("none", StatusCode::UNAUTHORIZED, None),
    ] {
        let headers = [PAGE[0], PAGE[1], ("sec-fetch-site", site)];
        let answer = answer(&world, &mut browser, "/me", &headers).await;
        assert_eq!((answer.status, answer.header("refresh")), (status, refresh), "{site}");
        assert!(answer.set_cookies().is_empty());
    }
}

#[tokio::test]
async fn page_visit_of_a_browser_without_a_key_is_anonymous_and_keeps_its_cookies() {
    let world = World::new();
    let mut browser = without_refresh(&world).await;
    let refused = answer(&world, &mut browser, "/me", &PAGE).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert!(refused.set_cookies().is_empty());
    let public = answer(&world, &mut browser, "/public", &PAGE).await;
    assert_eq!((public.status, &*public.body), (StatusCode::OK, "anonymous"));
    // So the user can sign in.
    browser.has_device = true;
    assert!(browser.post(&world, "/login").await.ok());
    assert!(browser.get(&world, "/me").await.ok());
}

#[tokio::test]
async fn page_visit_of_a_browser_without_a_key_leads_to_the_sign_in_page() {
    let world = World::new();
    let mut browser = without_refresh(&world).await;
    let layer = world.one.sessions.layer().with_reject(RedirectToLogin::new("/login"));
    let app = axum::Router::new().route("/page", axum::routing::get(async || "page")).route_layer(layer);
    let mut instance = world.one.clone();
    instance.app = app;
    let visited = browser.send(&world, &instance, Method::GET, "/page", &PAGE).await;
    assert_eq!(
        (visited.status, visited.header("location")),
        (StatusCode::SEE_OTHER, Some("/login?next=/page"))
    );
    let headers = [PAGE[0], PAGE[1], ("secure-session-skipped", "server_error")];
    let visited = browser.send(&world, &instance, Method::GET, "/page", &headers).await;
    assert_eq!((visited.status, visited.header("refresh")), (StatusCode::SERVICE_UNAVAILABLE, Some("1")));
}

/// Otherwise it could not sign in until its session ends.
#[tokio::test]
async fn browser_without_a_key_signs_in_inside_an_optional_layer() {
    let world = World::new();
    let mut browser = without_refresh(&world).await;
    // With a key, it says that it could not refresh. A request from another site is refused in any case.
    for (headers, status) in [
        (&[("secure-session-skipped", "server_error")][..], StatusCode::SERVICE_UNAVAILABLE),
        (&[("sec-fetch-site", "cross-site")], StatusCode::FORBIDDEN),
        (&[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors")], StatusCode::OK),
    ] {
        let answer = browser.send(&world, &world.one, Method::POST, "/sign-in", headers).await;
        assert_eq!(answer.status, status, "{headers:?}");
    }
    assert!(browser.get(&world, "/me").await.ok());
}

#[tokio::test]
async fn event_stream_connects_again() {
    let world = World::new();
    let mut browser = without_refresh(&world).await;
    let answer = answer(&world, &mut browser, "/me", &[("accept", "text/event-stream")]).await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "retry: 3000\n\n"));
}

#[tokio::test]
async fn outage_of_the_store_ends_no_session_and_takes_no_signature() {
    let world = World::new();
    let mut browser = Browser::confirmed(&world).await;
    world.pass(280);
    world.store.fail(DOWN);
    let before = browser.signatures;
    for _ in 0..30 {
        world.pass(1);
        assert_eq!(browser.refresh(&world, &world.one).await, Refreshed::Skipped("server_error"));
        for answer in [browser.get(&world, "/me").await, browser.visit(&world, "/me").await] {
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
            assert!(answer.set_cookies().is_empty());
        }
    }
    assert_eq!(browser.signatures, before);
    world.store.fail(&[]);
    assert!(browser.get(&world, "/me").await.ok());
    assert!(browser.bound.is_some());
}

#[tokio::test]
async fn outage_during_the_registration_leaves_an_unbound_session() {
    let world = World::new();
    let mut browser = Browser::new();
    world.store.fail(&["replace"]);
    assert!(browser.post(&world, "/login").await.ok());
    assert!(browser.bound.is_none());
    world.store.fail(&[]);
    world.pass(301);
    assert!(browser.get(&world, "/me").await.ok());
    assert!(browser.bound.is_some());
    assert_eq!(world.count(|kind| *kind == EventKind::DeviceRegistered), 1);
}

#[tokio::test]
async fn outage_when_the_binding_is_confirmed_is_made_up_for_later() {
    let world = World::new();
    let mut browser = Browser::signed_in(&world).await;
    world.pass(280);
    world.store.fail(&["replace"]);
    assert_eq!(browser.refresh(&world, &world.one).await, Refreshed::Skipped("server_error"));
    world.store.fail(&[]);
    assert!(browser.get(&world, "/me").await.ok());
    assert_eq!(world.count(|kind| *kind == EventKind::DeviceConfirmed), 1);
}

#[tokio::test]
async fn instructions_name_the_cookie_as_it_is_set_and_the_paths_to_leave_out() {
    let world = World::tuned(|builder| builder.device_bound(bound().exclude_path("/img")));
    let mut browser = Browser::new();
    browser.has_device = false;
    let (path, challenge) =
        super::browser::offer_of(&browser.post(&world, "/login").await).expect("an offer");
    assert_eq!(path, "/auth/device/start");
    let (_, request) = browser.registration(&world, &path, &challenge);
    let answer = world.one.answer(request).await;
    let json = answer.json();
    assert_eq!(json["refresh_url"], "/auth/device/refresh");
    let excluded = json["scope"]["scope_specification"].as_array().expect("a list");
    assert_eq!(excluded.iter().map(|rule| &rule["path"]).collect::<Vec<_>>(), ["/static", "/img"]);
    assert_eq!(json["credentials"][0]["attributes"], "HttpOnly; SameSite=Lax; Secure; Path=/");
    let line = answer.set_cookies()[0].to_owned();
    assert!(line.ends_with("; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=270"), "{line}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    // No session ID, in any form.
    let session = world.one.sessions.list("ann").await.expect("a list")[0].id;
    assert!(!answer.body.contains(&session.encode()) && !answer.body.contains(&session.tag()));
}
