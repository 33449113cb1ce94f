//! A page that needs a re-authentication sends the browser to the page that asks for it, and back.

use std::time::Duration;

use axum::{Router, http::StatusCode, routing::any};
use tower_sliding_sessions::{RedirectToReauthentication, RejectionKind, Session};

use crate::support::{Browser, Instance, Profile, World};

async fn page(session: Session<Profile>) -> String {
    session.subject().to_owned()
}

fn around(world: &World, app: Router) -> Instance {
    Instance { app, ..world.one.clone() }
}

#[tokio::test]
async fn a_page_visit_without_recent_authentication_is_redirected_with_its_return_path() {
    let world = World::new();
    let sessions = &world.one.sessions;
    let redirect = RedirectToReauthentication::new("/confirm");
    let recent =
        sessions.require().authenticated_within(Duration::from_secs(60)).with_reject(redirect.clone());
    let otp = sessions.require().method("otp").with_reject(redirect.clone());
    let admin = sessions.require().claims(|_| false).with_reject(redirect);
    let inner = Router::new()
        .route("/recent", any(page).layer(recent))
        .route("/otp", any(page).layer(otp))
        .route("/admin", any(page).layer(admin))
        .route_layer(sessions.layer());
    let instance = around(&world, Router::new().nest("/deep", inner));
    let browser = world.signed_in("ann").await;
    let visit = |path: &str| {
        let sent = browser.get(path).with("sec-fetch-mode", Some("navigate"));
        sent.with("sec-fetch-dest", Some("document"))
    };
    assert!(instance.answer(visit("/deep/recent")).await.ok());
    world.pass(61);
    for (path, location) in
        [("/deep/recent?a=1", "/confirm?next=/deep/recent%3Fa%3D1"), ("/deep/otp", "/confirm?next=/deep/otp")]
    {
        let answer = instance.answer(visit(path)).await;
        assert_eq!((answer.status(), answer.header("location")), (StatusCode::SEE_OTHER, Some(location)));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let script = instance.answer(browser.get("/deep/recent").with("sec-fetch-mode", Some("cors"))).await;
    assert_eq!(script.rejection(), Some(RejectionKind::ReauthenticationRequired));
    assert_eq!(script.status(), StatusCode::FORBIDDEN);
    let frame = instance.answer(visit("/deep/recent").with("sec-fetch-dest", Some("iframe"))).await;
    assert_eq!(frame.status(), StatusCode::FORBIDDEN);
    let form = browser.post("/deep/recent").with("sec-fetch-mode", Some("navigate"));
    let form = instance.answer(form.with("sec-fetch-dest", Some("document"))).await;
    assert_eq!(form.status(), StatusCode::FORBIDDEN);
    let refused = instance.answer(visit("/deep/admin")).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN, "another password helps nothing here");
}

#[tokio::test]
async fn a_closure_has_the_return_path_and_knows_page_visits() {
    let world = World::new();
    let layer = world.one.sessions.layer().with_rejection(|rejection, request| {
        (rejection.status(), format!("{} {}", request.return_path(), request.is_page_visit()))
    });
    let inner = Router::new().route("/{page}", any(page)).route_layer(layer);
    let instance = around(&world, Router::new().nest("/deep", inner));
    for (headers, is_page) in [
        (&[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")][..], true),
        (&[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")], false),
        (&[("sec-fetch-mode", "cors"), ("accept", "text/html")], false),
        (&[("sec-fetch-mode", "navigate")], true),
        (&[("accept", "text/html,*/*")], true),
        (&[("accept", "application/json")], false),
        (&[], false),
    ] {
        let mut sent = Browser::new().get("/deep/page?q=1");
        for name in ["accept", "sec-fetch-mode", "sec-fetch-dest"] {
            sent = sent.with(name, headers.iter().find(|header| header.0 == name).map(|header| header.1));
        }
        let text = instance.answer(sent).await.text().await;
        assert_eq!(text, format!("/deep/page?q=1 {is_page}"), "{headers:?}");
    }
}
