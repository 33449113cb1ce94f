//! Bearer tokens used at another origin, where origins are compared.

use serde_json::json;
use tower_sliding_sessions::{EventKind, OriginVerdict};

use crate::support::{Answer, Client, World};

fn world(verdict: OriginVerdict) -> World {
    World::tuned(move |builder| {
        builder.origin(|head| Some(head.headers.get("x-place")?.to_str().ok()?.to_owned())).compare_origin(
            move |home, here| if here == Some(home) { OriginVerdict::Ignore } else { verdict },
        )
    })
}

async fn signed_in_at(world: &World, place: &str) -> Client {
    let password = "grant_type=password&username=ann&password=right".to_owned();
    let request = crate::support::form("/oauth/token").header("x-place", place);
    let answer = world.send(request.body(axum::body::Body::from(password)).unwrap()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    Client::of(&answer)
}

async fn asks(world: &World, client: &Client, method: &str, path: &str, place: &str) -> Answer {
    world.ask(method, path, &[("authorization", &client.authorization()), ("x-place", place)]).await
}

/// Whether the re-authentication counts at that place.
async fn is_reauthenticated(world: &World, client: &Client, place: &str) -> bool {
    let answer = asks(world, client, "GET", "/me", place).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json["reauthenticated"] == json!(true)
}

#[tokio::test]
async fn reauthentication_at_home_does_not_count_for_a_copied_token_at_another_origin() {
    let world = world(OriginVerdict::StepUp);
    let client = signed_in_at(&world, "home").await;
    world.pass(100);
    assert!(!is_reauthenticated(&world, &client, "cafe").await);
    assert_eq!(asks(&world, &client, "POST", "/promote", "home").await.status, 200);
    for seconds in [0, 1, 1] {
        world.pass(seconds);
        assert!(is_reauthenticated(&world, &client, "home").await);
        assert!(!is_reauthenticated(&world, &client, "cafe").await);
    }
    assert!(world.count(&EventKind::OriginChanged(OriginVerdict::StepUp)) > 0);
}

#[tokio::test]
async fn reauthentication_at_another_origin_counts_there_at_once() {
    let world = world(OriginVerdict::StepUp);
    let mut client = signed_in_at(&world, "home").await;
    world.pass(300);
    let request = crate::support::form("/oauth/token").header("x-place", "cafe");
    let body = format!("grant_type=refresh_token&refresh_token={}", client.refresh);
    client = Client::of(&world.send(request.body(axum::body::Body::from(body)).unwrap()).await);
    assert!(!is_reauthenticated(&world, &client, "cafe").await);
    assert_eq!(asks(&world, &client, "POST", "/promote", "cafe").await.status, 200);
    assert!(is_reauthenticated(&world, &client, "cafe").await);
    world.pass(1);
    assert!(is_reauthenticated(&world, &client, "cafe").await);
}

#[tokio::test]
async fn copied_token_at_a_refused_origin_is_refused_at_the_next_read_of_the_record() {
    let world = world(OriginVerdict::Refuse);
    let client = signed_in_at(&world, "home").await;
    assert_eq!(
        asks(&world, &client, "GET", "/me", "cafe").await.status,
        200,
        "a valid token is not compared"
    );
    world.sessions.mark_stale("ann").await.unwrap();
    assert_eq!(asks(&world, &client, "GET", "/me", "cafe").await.status, 401);
    assert_eq!(asks(&world, &client, "GET", "/me", "home").await.status, 200);
}
