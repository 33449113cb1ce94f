//! Introspection (RFC 7662).

use axum::body::Body;
use http::Request;
use serde_json::json;
use tower::ServiceExt as _;
use tower_sliding_sessions::{Keyring, Sessions, oauth::OAuth, store::MemoryStore};

use crate::support::{Answer, GRACE, Gate, Probe, TTL, Trouble, World, form, idle};

async fn introspect(world: &World, token: &str) -> Answer {
    let request = form("/oauth/introspect").header("authorization", "Basic c2VydmljZQ==");
    world.send(request.body(Body::from(format!("token={token}"))).unwrap()).await
}

async fn is_inactive(world: &World, token: &str) -> bool {
    let answer = introspect(world, token).await;
    assert!(answer.status == 200 && answer.is_not_stored(), "{answer:?}");
    answer.json == json!({"active": false})
}

#[tokio::test]
async fn valid_access_token_is_described() {
    let world = World::tuned(|builder| builder.audience("api").issuer("https://app.example"));
    let client = world.signed_in("ann").await;
    world.pass(10);
    let calls = world.store.all_calls();
    let answer = introspect(&world, &client.access).await;
    assert!(answer.is_not_stored());
    let sid = world.sessions.list("ann").await.unwrap()[0].id.encode();
    assert_eq!(
        answer.json,
        json!({
            "active": true, "token_type": "Bearer", "iss": "https://app.example", "aud": "api",
            "sub": "ann", "sid": sid, "iat": 1_800_000_000_u64, "exp": 1_800_000_300_u64,
            "auth_time": 1_800_000_000_u64, "amr": ["pwd"], "ext": {"role": "user"},
        })
    );
    assert_eq!(world.store.all_calls(), calls + 1, "only the list of this test asked the store");
}

#[tokio::test]
async fn token_with_outdated_claims_is_described_with_the_current_ones() {
    let world = World::new();
    let client = world.signed_in("ann").await;
    world.pass(1);
    let bearer = client.authorization();
    assert_eq!(world.ask("POST", "/promote", &[("authorization", &bearer)]).await.status, 200);
    for seconds in [0, 1, 1] {
        world.pass(seconds);
        let json = introspect(&world, &client.access).await.json;
        assert_eq!((&json["ext"], &json["iat"]), (&json!({"role": "boss"}), &1_800_000_000_u64.into()));
        assert_eq!(json["amr"], json!(["pwd"]), "of the token: introspection knows no origin");
    }
}

#[tokio::test]
async fn valid_refresh_token_is_described_and_nothing_is_written() {
    let world = World::new();
    let mut client = world.signed_in("ann").await;
    world.pass(TTL);
    client.renew(&world).await;
    world.pass(TTL);
    let before = world.store.all_calls();
    for _ in 0..3 {
        let answer = introspect(&world, &client.refresh).await;
        assert_eq!(answer.json["active"], true);
        assert_eq!(answer.json["sub"], "ann");
        assert_eq!(answer.json["exp"], 1_800_086_400_u64);
        assert_eq!(answer.json.get("token_type"), None, "a refresh token is no bearer token");
    }
    idle().await;
    assert_eq!(world.store.all_calls(), before + 3, "reads only");
    assert_eq!(world.store.calls("confirm"), 0);
}

#[tokio::test]
async fn response_about_an_invalid_token_says_only_that_it_is_inactive() {
    let world = World::new();
    let client = world.signed_in("ann").await;
    let revoked = world.signed_in("bob").await;
    world.sessions.revoke_all("bob").await.unwrap();
    assert!(is_inactive(&world, &revoked.access).await);
    assert!(is_inactive(&world, &revoked.refresh).await);
    assert!(is_inactive(&world, "a.b.c").await);
    assert!(is_inactive(&world, &format!("{}A", client.access)).await);
    assert!(is_inactive(&world, &World::new().signed_in("ann").await.access).await);
    world.pass(TTL);
    assert!(is_inactive(&world, &client.access).await);
    assert!(!is_inactive(&world, &client.refresh).await);
    world.pass(2 * 3600);
    assert!(is_inactive(&world, &client.refresh).await);
}

#[tokio::test]
async fn superseded_refresh_token_is_inactive_and_introspection_is_no_reuse() {
    let world = World::new();
    let mut client = world.signed_in("ann").await;
    let old = client.refresh.clone();
    world.pass(TTL);
    client.renew(&world).await;
    assert!(!is_inactive(&world, &old).await, "still accepted");
    client.get(&world, "/me").await;
    idle().await;
    world.pass(GRACE + 1);
    assert!(is_inactive(&world, &old).await);
    assert_eq!(client.get(&world, "/me").await.status, 200);
}

#[tokio::test]
async fn session_revoked_during_the_read_is_inactive() {
    let world = World::new();
    let client = world.signed_in("ann").await;
    let gate = Gate::closed();
    world.store.trouble("get", Trouble::After(gate.clone()));
    let asked = {
        let (world, client) = (world.clone(), client.clone());
        tokio::spawn(async move { is_inactive(&world, &client.refresh).await })
    };
    gate.reached().await;
    world.sessions.revoke_all("ann").await.unwrap();
    gate.open();
    assert!(asked.await.unwrap());
}

#[tokio::test]
async fn introspection_asks_the_store_where_revocations_are_not_followed() {
    let world = World::around(Probe::new(MemoryStore::new().unwrap()).without_feed(), |builder| builder);
    let client = world.signed_in("ann").await;
    assert!(!is_inactive(&world, &client.access).await);
    assert_eq!(world.store.calls("get"), 1);
    world.store.trouble("get", Trouble::Fail);
    for token in [&client.access, &client.refresh] {
        let answer = introspect(&world, token).await;
        assert!(answer.is_error(503, "temporarily_unavailable"));
    }
}

#[tokio::test]
async fn unauthorized_caller_gets_only_an_error() {
    let world = World::new();
    let client = world.signed_in("ann").await;
    for token in [client.access.as_str(), "nonsense", ""] {
        let answer = world.post("/oauth/introspect", &[("token", token)]).await;
        assert!(answer.is_error(401, "invalid_client"));
        assert_eq!(answer.header("www-authenticate"), Some(r#"Basic realm="oauth""#));
    }
    assert!(introspect(&world, "").await.is_error(400, "invalid_request"));
}

#[tokio::test]
async fn introspection_endpoint_is_absent_unless_configured() {
    let keys = Keyring::hs256(b"3q2+7wQmV1xK9rT0pLsYzBnH5cJ8uGfE").unwrap();
    let sessions = Sessions::<()>::builder(keys).build().unwrap();
    let router = OAuth::new(&sessions).router::<()>();
    let request = Request::builder().method("POST").uri("/introspect").body(Body::empty()).unwrap();
    assert_eq!(router.oneshot(request).await.unwrap().status(), 404);
}
