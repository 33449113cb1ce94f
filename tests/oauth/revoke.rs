//! Revocation (RFC 7009).

use tower_sliding_sessions::EventKind;

use crate::support::{TTL, World};

#[tokio::test]
async fn either_token_revokes_the_whole_session_with_any_hint() {
    for hint in [None, Some("access_token"), Some("refresh_token"), Some("nonsense")] {
        for by_refresh in [false, true] {
            let world = World::new();
            let client = world.signed_in("ann").await;
            let other = world.signed_in("ann").await;
            let token = if by_refresh { &client.refresh } else { &client.access };
            let mut parameters = vec![("token", token.as_str())];
            parameters.extend(hint.map(|hint| ("token_type_hint", hint)));
            let answer = world.post("/oauth/revoke", &parameters).await;
            assert!(answer.status == 200 && answer.is_not_stored(), "{answer:?}");
            assert_eq!(world.count(&EventKind::Revoked { sessions: 1 }), 1);
            assert_eq!(client.get(&world, "/me").await.status, 401);
            assert!(client.exchange(&world).await.is_error(400, "invalid_grant"));
            assert_eq!(other.get(&world, "/me").await.status, 200, "another session stays valid");
        }
    }
}

#[tokio::test]
async fn expired_access_token_still_names_its_session() {
    let world = World::new();
    let client = world.signed_in("ann").await;
    world.pass(TTL + 1);
    assert_eq!(world.post("/oauth/revoke", &[("token", &client.access)]).await.status, 200);
    assert!(client.exchange(&world).await.is_error(400, "invalid_grant"));
}

#[tokio::test]
async fn invalid_token_gets_the_same_response_as_a_valid_one() {
    let world = World::new();
    let client = world.signed_in("ann").await;
    let good = world.post("/oauth/revoke", &[("token", &client.refresh)]).await;
    let elsewhere = World::new().signed_in("bob").await;
    let forged = format!("{}A", client.access);
    let long = "x".repeat(5000);
    for token in [&client.refresh, &client.access, &elsewhere.refresh, &forged, &long] {
        let answer = world.post("/oauth/revoke", &[("token", token)]).await;
        assert_eq!((answer.status, &answer.json), (good.status, &good.json));
    }
    assert_eq!(world.count(&EventKind::Revoked { sessions: 1 }), 1);
}

#[tokio::test]
async fn request_without_a_token_is_invalid() {
    let world = World::new();
    assert!(world.post("/oauth/revoke", &[]).await.is_error(400, "invalid_request"));
    assert!(world.post("/oauth/revoke", &[("token", "")]).await.is_error(400, "invalid_request"));
}
