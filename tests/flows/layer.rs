//! The layer, the rules and the extractors, combined as an application does.

use std::time::Duration;

use axum::{Extension, Router, body::Body, extract::OriginalUri, routing::get};
use http::{Response, StatusCode};
use tower_sliding_sessions::{
    RedirectToLogin, Rejection, RejectionKind, RequestHead, Session, Visitor, protocol::Refusal,
};

use crate::support::{Answer, Browser, Gate, Instance, Profile, Sent, TTL, Trouble, World};

/// The same sessions around other routes.
fn around(world: &World, app: Router) -> Instance {
    Instance { app, ..world.one.clone() }
}

async fn me(session: Session<Profile>) -> String {
    session.subject().to_owned()
}

async fn signed_in_as(world: &World, role: &str) -> Browser {
    let mut browser = Browser::new();
    assert!(browser.submit(&world.one, &format!("/login?name=ann&role={role}")).await.ok());
    browser
}

#[tokio::test]
async fn route_outside_the_layer_says_what_to_add() {
    let world = World::new();
    let app = Router::new()
        .route("/me", get(me))
        .route("/maybe", get(|session: Option<Session<Profile>>| async move { format!("{session:?}") }));
    let instance = around(&world, app);
    let mut browser = world.signed_in("ann").await;
    for path in ["/me", "/maybe"] {
        let answer = browser.visit(&instance, path).await;
        assert_eq!(answer.status(), 500);
        assert_eq!(answer.rejection(), Some(RejectionKind::MissingLayer));
        assert!(answer.text().await.contains(".route_layer(sessions.layer())"));
    }
}

#[tokio::test]
async fn every_invalid_token_gets_the_same_response() {
    let world = World::new();
    let mut expired = world.signed_in("ann").await;
    let mut ended = world.signed_in("bob").await;
    world.pass(TTL);
    world.one.sessions.revoke_all("bob").await.unwrap();
    expired.plant(crate::support::REFRESH, "a.b.c");
    let mut texts = Vec::new();
    for browser in [&mut Browser::new(), &mut expired, &mut ended] {
        let answer = browser.visit(&world.one, "/me").await;
        assert_eq!(answer.status(), 401);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert!(answer.header("www-authenticate").is_some());
        texts.push(answer.text().await);
    }
    assert_eq!(texts[0], texts[1]);
    assert_eq!(texts[1], texts[2]);
    let problem: serde_json::Value = serde_json::from_str(&texts[0]).unwrap();
    assert_eq!(problem["status"], 401);
}

#[tokio::test]
async fn optional_layer_serves_anonymous_requests_and_renews_sessions() {
    let world = World::new();
    assert_eq!(Browser::new().visit(&world.one, "/optional").await.text().await, "null");
    let mut browser = world.signed_in("ann").await;
    world.pass(TTL);
    let answer = browser.visit(&world.one, "/optional").await;
    assert!(answer.sets_both());
    assert_eq!(answer.text().await, r#""ann""#);

    world.one.sessions.revoke_all("ann").await.unwrap();
    let answer = browser.visit(&world.one, "/optional").await;
    assert!(answer.ok() && answer.touches_no_cookie(), "a revoked session is anonymous");
    assert_eq!(answer.text().await, "null");
}

#[tokio::test]
async fn claims_rule_admits_only_matching_sessions() {
    let world = World::new();
    let rule = || world.one.sessions.require().claims(|profile| profile.role == "admin");
    let admin = Router::new().route("/admin", get(me)).route_layer(rule());
    let app = Router::new()
        .merge(admin.clone().route_layer(world.one.sessions.layer()))
        .nest("/open", admin.clone().route_layer(world.one.sessions.layer().optional()))
        .nest("/bare", admin);
    let instance = around(&world, app);

    let admin = signed_in_as(&world, "admin").await;
    let user = signed_in_as(&world, "user").await;
    world.pass(TTL);
    let anonymous = Browser::new();
    for (browser, path, expected) in [
        (&admin, "/admin", None),
        (&user, "/admin", Some(RejectionKind::Forbidden)),
        (&anonymous, "/admin", Some(RejectionKind::Unauthenticated(Refusal::NoToken))),
        (&admin, "/open/admin", None),
        (&anonymous, "/open/admin", Some(RejectionKind::Unauthenticated(Refusal::NoToken))),
        (&admin, "/bare/admin", Some(RejectionKind::RequireOutsideLayer)),
    ] {
        let answer = instance.answer(browser.get(path)).await;
        assert_eq!(answer.rejection(), expected, "{path}");
        let renewed = expected.is_none() || expected == Some(RejectionKind::Forbidden);
        assert_eq!(answer.sets_both(), renewed, "a refusal by a rule keeps the session alive: {path}");
    }
}

#[tokio::test]
async fn rule_about_a_recent_sign_in_counts_from_the_sign_in() {
    let world = World::new();
    let app = Router::new()
        .route("/delete", get(me))
        .route_layer(world.one.sessions.require().authenticated_within(Duration::from_secs(600)))
        .route_layer(world.one.sessions.layer());
    let instance = around(&world, app);
    let mut browser = world.signed_in("ann").await;
    world.pass(600);
    assert!(browser.visit(&instance, "/delete").await.ok());
    world.pass(1);
    let answer = browser.visit(&instance, "/delete").await;
    assert_eq!(
        answer.rejection(),
        Some(RejectionKind::ReauthenticationRequired),
        "a renewal is no re-authentication"
    );
    assert_eq!(answer.status(), 403);
    assert!(browser.submit(&world.one, "/login?name=ann").await.ok());
    assert!(browser.visit(&instance, "/delete").await.ok());
}

#[tokio::test]
async fn anonymous_page_request_is_redirected_to_the_sign_in_page_with_a_return_path() {
    let world = World::new();
    let layer = || world.one.sessions.layer().with_reject(RedirectToLogin::new("/login?lang=en"));
    let inner = Router::new().route("/{*page}", get(me)).route_layer(layer());
    let app = Router::new().nest("/deep/er", inner).route("/top", get(me).post(me).route_layer(layer()));
    let instance = around(&world, app);
    let page = |path: &str| Browser::new().get(path).with("accept", Some("text/html,*/*"));

    for (path, next) in [("/top?a=1&b=%2F", "/top%3Fa%3D1%26b%3D%252F"), ("/deep/er/page", "/deep/er/page")] {
        let answer = instance.answer(page(path)).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        let location = format!("/login?lang=en&next={next}");
        assert_eq!(answer.header("location"), Some(location.as_str()));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert!(answer.touches_no_cookie());
    }

    let no_page: [Sent; 4] = [
        Browser::new().get("/top"),
        Browser::new().post("/top").with("accept", Some("text/html")),
        page("/top").with("sec-fetch-mode", Some("cors")),
        page("/top").with("sec-fetch-site", Some("same-origin")).with("sec-fetch-mode", Some("no-cors")),
    ];
    for sent in no_page {
        assert_eq!(instance.answer(sent).await.status(), 401);
    }
    let navigation = Browser::new().get("/top").with("sec-fetch-mode", Some("navigate"));
    assert_eq!(instance.answer(navigation).await.status(), 303);
}

#[tokio::test]
async fn outage_and_prefetch_are_never_redirected_to_the_sign_in_page() {
    let world = World::new();
    let layer = world.one.sessions.layer().with_reject(RedirectToLogin::new("/login"));
    let instance = around(&world, Router::new().route("/top", get(me)).route_layer(layer));
    let browser = world.signed_in("ann").await;
    world.pass(TTL);
    let page = || browser.get("/top").with("sec-fetch-mode", Some("navigate"));
    assert_eq!(instance.answer(page().and("sec-purpose", "prefetch")).await.status(), 425);
    world.store.trouble("advance", Trouble::Fail);
    assert_eq!(instance.answer(page()).await.status(), 503);
    world.store.recover();
    assert!(instance.answer(page()).await.ok());
}

#[tokio::test]
async fn application_can_render_rejections_itself() {
    let world = World::new();
    let teapot = |rejection: Rejection, request: &RequestHead<'_>| {
        let text = format!("{} {} {}", request.method, request.uri.path(), rejection.status());
        Response::builder().status(418).header("cache-control", "public").body(Body::from(text)).unwrap()
    };
    let app = Router::new()
        .route("/me", get(me))
        .route_layer(world.one.sessions.require().claims(|_| false).with_rejection(teapot))
        .route_layer(world.one.sessions.layer().with_rejection(teapot));
    let instance = around(&world, app);
    let answer: Answer = Browser::new().visit(&instance, "/me").await;
    assert_eq!(answer.status(), 418);
    assert_eq!(answer.header("cache-control"), Some("no-store"), "the handler's header is replaced");
    assert!(answer.rejection().is_some());
    assert_eq!(answer.text().await, "GET /me 401 Unauthorized");
    let mut browser = world.signed_in("ann").await;
    assert_eq!(browser.visit(&instance, "/me").await.text().await, "GET /me 403 Forbidden");
}

#[tokio::test]
async fn no_client_header_disables_the_layer_or_names_a_user() {
    let world = World::new();
    let headers =
        ["x-user", "x-forwarded-user", "x-middleware-subrequest", "x-session", "authorization", "x-sid"];
    let sent = headers.iter().fold(Browser::new().get("/me"), |sent, name| sent.and(name, "ann"));
    assert_eq!(world.one.answer(sent).await.status(), 401);
}

#[tokio::test]
async fn session_under_two_layers_is_renewed_once() {
    let world = World::new();
    let app = Router::new()
        .route(
            "/me",
            get(|OriginalUri(_): OriginalUri, visitor: Visitor<Profile>| async move { drop(visitor) }),
        )
        .route_layer(world.one.sessions.layer())
        .route_layer(world.one.sessions.layer())
        .layer(Extension(Gate::closed()))
        .with_state(world.one.sessions.clone());
    let mut browser = world.signed_in("ann").await;
    world.pass(TTL);
    let answer = browser.visit(&around(&world, app), "/me").await;
    assert!(answer.ok() && answer.sets_both(), "{answer:?}");
    assert_eq!(answer.set_cookies().len(), 2);
    assert_eq!(world.store.rotations(), 1);
}
