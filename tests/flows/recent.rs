//! Requests whose `Cookie` header or bearer token comes again and again, unchanged.

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode},
    routing::get,
};
use tower::ServiceExt as _;
use tower_sliding_sessions::{Session, Sessions};

use crate::support::{TTL, World, idle, keys};

/// More often than a header must come before a thread keeps it.
const TIMES: usize = 5;

#[tokio::test]
async fn kept_header_is_refused_once_its_session_is_revoked() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    for _ in 0..TIMES {
        assert!(browser.visit(&world.one, "/me").await.ok());
    }
    assert_eq!(world.one.sessions.revoke_all("bob").await.unwrap(), 0);
    assert!(
        browser.visit(&world.one, "/me").await.ok(),
        "a change of the denylist that is about another user"
    );
    assert_eq!(world.one.sessions.revoke_all("ann").await.unwrap(), 1);
    assert_eq!(browser.visit(&world.one, "/me").await.status(), 401);
}

#[tokio::test]
async fn kept_header_is_refused_once_its_key_is_removed() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    for _ in 0..TIMES {
        assert!(browser.visit(&world.one, "/me").await.ok());
    }
    world.one.sessions.set_keys(keys(1));
    assert_eq!(browser.visit(&world.one, "/me").await.status(), 401);
}

#[tokio::test]
async fn kept_header_renews_once_its_access_token_has_expired() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    for _ in 0..TIMES {
        assert!(!browser.visit(&world.one, "/me").await.sets_both());
    }
    world.pass(TTL);
    assert!(browser.visit(&world.one, "/me").await.sets_both());
}

async fn status(app: &Router, name: &str, value: &str) -> StatusCode {
    let request = Request::get("/").header(name, value).body(Body::empty()).unwrap();
    let status = app.clone().oneshot(request).await.unwrap().status();
    idle().await;
    status
}

#[tokio::test]
async fn kept_bearer_token_is_no_cookie_header() {
    let sessions: Sessions = Sessions::builder(keys(0)).build().unwrap();
    let app = Router::new().route("/", get(async |_: Session| ())).layer(sessions.layer().accept_bearer());
    let mut headers = HeaderMap::new();
    let visitor = sessions.visitor(&Request::new(())).unwrap();
    visitor.sign_in("ann", ()).await.unwrap().apply(&mut headers);
    let lines: Vec<_> = headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap()).collect();
    let pairs: Vec<_> = lines.iter().map(|line| line.split(';').next().unwrap()).collect();
    let access = pairs.iter().find_map(|pair| pair.strip_prefix("__Host-access=")).unwrap();
    for _ in 0..TIMES {
        assert_eq!(status(&app, "authorization", &format!("Bearer {access}")).await, StatusCode::OK);
        assert_eq!(status(&app, "cookie", &pairs.join("; ")).await, StatusCode::OK);
    }
    assert_eq!(status(&app, "cookie", access).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&app, "authorization", &pairs.join("; ")).await, StatusCode::UNAUTHORIZED);
}
