//! Tokens outside the cookie header, valid tokens of no session, and optional layers.

use std::time::Duration;

use axum::{
    Router,
    body::Body,
    http::{Method, Request, StatusCode, header},
    routing::get,
};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;
use tower_sliding_sessions::{EventKind, Session, protocol::Refusal};

use crate::{
    forge::Kind,
    world::{ACCESS, Answer, Profile, REFRESH, World, send},
};

async fn with_headers(world: &World, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().uri(path).header(header::HOST, "app.example");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(world.legitimate.access.clone())).expect("a request");
    let (parts, body) = world.app.clone().oneshot(request).await.expect("infallible").into_parts();
    let body = body.collect().await.expect("a body").to_bytes().to_vec();
    Answer { status: parts.status, headers: parts.headers, body }
}

#[tokio::test]
async fn tokens_are_read_only_from_the_cookie_header() {
    let world = World::new().await;
    let calls = world.store.calls();
    let (access, refresh) = (&world.legitimate.access, &world.legitimate.refresh);
    let both = format!("{ACCESS}={access}; {REFRESH}={refresh}");
    for (name, value) in [
        ("authorization", &format!("Bearer {access}")),
        ("authorization", &format!("Bearer {refresh}")),
        ("authorization", access),
        ("proxy-authorization", &format!("Bearer {access}")),
        ("x-access-token", access),
        ("cookie2", &both),
        ("set-cookie", &both),
        ("x-forwarded-cookie", &both),
        (ACCESS, access),
        (REFRESH, refresh),
    ] {
        assert_eq!(with_headers(&world, "/me", &[(name, value)]).await, world.anonymous, "{name}");
    }
    for path in [format!("/me?access_token={access}"), format!("/me?{both}").replace(' ', "")] {
        assert_eq!(with_headers(&world, &path, &[]).await, world.anonymous, "{path}");
    }
    assert_eq!(world.store.calls(), calls);
    world.still_serves_legitimate_clients().await;
}

#[tokio::test]
async fn no_header_disables_the_layer_or_names_a_user() {
    let world = World::new().await;
    for (name, value) in [
        ("x-middleware-subrequest", "middleware:middleware:middleware"),
        ("x-forwarded-user", "ann"),
        ("x-remote-user", "ann"),
        ("x-user", "ann"),
        ("sub", "ann"),
        ("x-original-url", "/login/ann"),
        ("x-rewrite-url", "/login/ann"),
        ("x-http-method-override", "OPTIONS"),
        ("upgrade-insecure-requests", "1"),
        ("connection", "cookie, host"),
    ] {
        assert_eq!(with_headers(&world, "/me", &[(name, value)]).await, world.anonymous, "{name}");
    }
    for method in [Method::HEAD, Method::OPTIONS, Method::TRACE, Method::PUT] {
        let answer = send(&world.app, method.clone(), "/me", &[]).await;
        assert!(!answer.status.is_success(), "{method}: {answer:?}");
        assert_ne!(answer.body, world.welcome.body);
    }
    world.still_serves_legitimate_clients().await;
}

#[tokio::test]
async fn signed_token_of_no_session_asks_the_store_once_and_gets_the_anonymous_response() {
    let world = World::new().await;
    let sid = crate::forge::encode([7; 32]);
    for (name, value) in [("sid", &*sid), ("sub", "bob"), ("run", "0123456789abcdef")] {
        let value = format!("\"{value}\"");
        let payload = world.forge.payload_with(Kind::Refresh, name, &value);
        let token = world.forge.token(Kind::Refresh, world.forge.header(Kind::Refresh), payload);
        let (calls, sessions) = (world.store.calls(), world.store.sessions());
        assert_eq!(world.get_with(None, Some(token.as_bytes())).await, world.anonymous, "{name}");
        assert_eq!((world.store.calls(), world.store.sessions()), (calls + 1, sessions), "{name}");
        // An access token of another run ID is refused too.
        let payload = world.forge.payload_with(Kind::Access, name, &value);
        let token = world.forge.token(Kind::Access, world.forge.header(Kind::Access), payload);
        if name == "run" {
            world.refuses("another run", Some(token.as_bytes()), None).await;
        }
    }
    world.still_serves_legitimate_clients().await;
}

#[tokio::test]
async fn refresh_token_that_outlives_its_record_is_refused() {
    let world = World::new().await;
    let exp = u64::MAX.to_string();
    let payload = world.forge.payload_with(Kind::Refresh, "exp", &exp);
    let token = world.forge.token(Kind::Refresh, world.forge.header(Kind::Refresh), payload);
    assert_eq!(world.get_with(None, Some(token.as_bytes())).await, world.anonymous);
    let last = || world.events.lock().expect("no panic").last().expect("an event").kind.clone();
    assert_eq!(last(), EventKind::Refused(Refusal::BadToken));
    world.clock.advance(Duration::from_secs(24 * 60 * 60));
    assert_eq!(world.get_with(None, Some(token.as_bytes())).await, world.anonymous);
    assert_eq!(last(), EventKind::Refused(Refusal::Expired));
}

#[tokio::test]
async fn client_with_invalid_tokens_is_anonymous_under_an_optional_layer() {
    let world = World::new().await;
    let who =
        async |session: Option<Session<Profile>>| session.map(|s| s.subject().to_owned()).unwrap_or_default();
    let app = Router::new().route("/me", get(who)).layer(world.sessions.layer().optional());
    let calls = world.store.calls();
    let anonymous = send(&app, Method::GET, "/me", &[]).await;
    assert_eq!((anonymous.status, anonymous.body.is_empty()), (StatusCode::OK, true));
    let access = &world.legitimate.access;
    for cookies in [
        format!("{ACCESS}=x; {REFRESH}=y"),
        format!("{ACCESS}={}; {REFRESH}={access}", world.legitimate.refresh),
        format!("{ACCESS}={access}x; {ACCESS}=x"),
        format!("{ACCESS}={access}x"),
        format!("__%48ost-access={access}"),
    ] {
        assert_eq!(send(&app, Method::GET, "/me", &[cookies.as_bytes()]).await, anonymous, "{cookies}");
    }
    assert_eq!(world.store.calls(), calls);
    let legitimate = send(&app, Method::GET, "/me", &[format!("{ACCESS}={access}").as_bytes()]).await;
    assert_eq!(legitimate.body, b"ann");
}
