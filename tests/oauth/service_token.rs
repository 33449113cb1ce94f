//! Tokens for other services (RFC 9068).

use std::time::Duration;

use axum::body::Body;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};
use tower_sliding_sessions::{
    EventKind, Keyring, MintError, RejectionKind, ServiceTokenError, Session, SessionsBuilder,
    store::MemoryStore,
};

use crate::{
    support::{Answer, Client, Probe, Profile, TTL, World, form},
    vectors::{ED25519_PUBLIC, ED25519_V1, P256, P256_PUBLIC},
};

const ISSUER: &str = "https://shop.example";
const BILLING: &str = "https://billing.example";
const NOW: u64 = 1_800_000_000;

fn world_of(tune: impl Fn(SessionsBuilder<Profile>) -> SessionsBuilder<Profile>) -> World {
    let keys = Keyring::ed25519_pem(ED25519_V1).unwrap();
    World::with_keys(&keys, Probe::new(MemoryStore::new().unwrap()), tune)
}

fn world() -> World {
    world_of(|builder| builder.issuer(ISSUER).realm("shop").audience("shop-api"))
}

/// The claims as another service reads them, which has the public key and the settings only.
fn verified(token: &str, key: &DecodingKey, algorithm: Algorithm) -> Value {
    let mut validation = Validation::new(algorithm);
    validation.set_audience(&[BILLING]);
    validation.set_issuer(&[ISSUER]);
    validation.set_required_spec_claims(&["exp", "aud", "sub", "iss"]);
    // `jsonwebtoken` uses the system clock, and these tests a manual one.
    validation.validate_exp = false;
    let token = jsonwebtoken::decode::<Value>(token, key, &validation).unwrap();
    assert_eq!(token.header.typ.as_deref(), Some("at+jwt"));
    token.claims
}

fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

async fn token_for(world: &World, client: &Client, query: &str) -> Answer {
    client.get(world, &format!("/token-for?{query}")).await
}

async fn billing_token(world: &World, client: &Client) -> String {
    token_for(world, client, &format!("audience={BILLING}")).await.text("token")
}

/// The session of a request, as a handler has it.
async fn session_of(world: &World, client: &Client) -> Session<Profile> {
    use axum::{Router, routing::get};
    use tower::ServiceExt as _;
    let (send, receive) = std::sync::mpsc::channel();
    let handler = get(move |session: Session<Profile>| async move { send.send(session).unwrap() });
    let app = Router::<()>::new().route("/", handler).route_layer(world.sessions.layer().accept_bearer());
    let request = http::Request::builder().uri("/").header("authorization", client.authorization());
    assert_eq!(app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status(), 200);
    receive.recv().unwrap()
}

#[tokio::test]
async fn another_service_verifies_the_token_by_the_public_key() {
    let keys = [
        (
            Keyring::ed25519_pem(ED25519_V1).unwrap(),
            DecodingKey::from_ed_pem(ED25519_PUBLIC.as_bytes()).unwrap(),
            Algorithm::EdDSA,
        ),
        (
            Keyring::es256_pem(P256).unwrap(),
            DecodingKey::from_ec_pem(P256_PUBLIC.as_bytes()).unwrap(),
            Algorithm::ES256,
        ),
    ];
    for (keys, public, algorithm) in keys {
        let store = Probe::new(MemoryStore::new().unwrap());
        let world = World::with_keys(&keys, store, |builder| builder.issuer(ISSUER).realm("shop"));
        let client = world.signed_in("ann").await;
        world.pass(10);
        let calls = world.store.all_calls();
        let answer = token_for(&world, &client, &format!("audience={BILLING}&scope=a+b")).await;
        assert_eq!(world.store.all_calls(), calls, "no store call");
        let mut claims = verified(&answer.text("token"), &public, algorithm);
        let id = claims.as_object_mut().unwrap().remove("jti").unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(id.as_str().unwrap()).unwrap().len(), 16);
        assert_eq!(
            claims,
            json!({
                "iss": ISSUER, "sub": "ann", "aud": BILLING, "client_id": "shop", "iat": NOW + 10,
                "exp": NOW + TTL, "auth_time": NOW, "amr": ["pwd"], "scope": "a b", "ext": {"tenant": 7},
            })
        );
        let again = token_for(&world, &client, &format!("audience={BILLING}")).await.text("token");
        assert_ne!(self::claims(&again)["jti"], id);
    }
}

#[tokio::test]
async fn builder_sets_each_claim_and_default_has_neither_session_id_nor_session_claims() {
    let world = world();
    let client = world.signed_in("ann").await;
    let session = session_of(&world, &client).await;
    let plain = claims(&session.token_for("a").mint().unwrap());
    let members: Vec<_> = plain.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["amr", "aud", "auth_time", "client_id", "exp", "iat", "iss", "jti", "sub"]);
    let full = session
        .token_for("a")
        .client_id("web shop")
        .claims(&Profile { role: "user".into() })
        .lifetime(Duration::from_millis(59_500))
        .with_session_id();
    let full = claims(&full.mint().unwrap());
    assert_eq!(full["client_id"], "web shop");
    assert_eq!(full["ext"], json!({"role": "user"}));
    assert_eq!(full["exp"], NOW + 60);
    assert_eq!(full["sid"], session.id().encode());
    assert_eq!(claims(&session.token_for("a").claims(&()).mint().unwrap()).get("ext"), None);
}

#[tokio::test]
async fn lifetime_is_five_minutes_and_never_longer_than_that_of_the_access_token() {
    let hour = Duration::from_secs(3600);
    let world = world_of(|builder| builder.issuer(ISSUER).timing(|timing| timing.access_ttl(hour / 4)));
    let client = world.signed_in("ann").await;
    let exp = async |query: &str| {
        let answer = token_for(&world, &client, &format!("audience={BILLING}{query}")).await;
        claims(&answer.text("token"))["exp"].as_u64().unwrap()
    };
    assert_eq!(exp("").await, NOW + 300);
    assert_eq!(exp("&seconds=30").await, NOW + 30);
    assert_eq!(exp("&seconds=86400").await, NOW + 900);
    assert_eq!(exp(&format!("&seconds={}", u64::MAX)).await, NOW + 900);
    world.pass(890);
    assert_eq!(exp("").await, NOW + 900);
}

#[tokio::test]
async fn last_authentication_is_the_one_in_the_token() {
    let world = world();
    let client = world.signed_in("ann").await;
    world.pass(5);
    let bearer = client.authorization();
    assert_eq!(world.ask("POST", "/promote", &[("authorization", &bearer)]).await.status, 200);
    world.pass(1);
    let said = claims(&billing_token(&world, &client).await);
    assert_eq!((&said["auth_time"], &said["amr"]), (&json!(NOW + 5), &json!(["otp"])));
}

#[tokio::test]
async fn no_realm_and_no_endpoint_accepts_the_token() {
    let world = world();
    let client = world.signed_in("ann").await;
    let with_sid = session_of(&world, &client).await.token_for(BILLING).with_session_id().mint().unwrap();
    // The same keys, issuer and store, and the token's audience: only the claims differ from a session's.
    let tune = |builder: SessionsBuilder<Profile>| builder.issuer(ISSUER).realm("billing").audience(BILLING);
    let keys = Keyring::ed25519_pem(ED25519_V1).unwrap();
    let billing = World::with_keys(&keys.clone(), world.store.clone(), tune);
    let tune = |builder: SessionsBuilder<Profile>| builder.issuer(ISSUER).realm(BILLING);
    let realm = World::with_keys(&keys, world.store.clone(), tune);
    let without = billing_token(&world, &client).await;
    for (token, world) in
        [&with_sid, &without].into_iter().flat_map(|t| [&world, &billing, &realm].map(|w| (t, w)))
    {
        let calls = world.store.all_calls();
        let bearer = format!("Bearer {token}");
        assert_eq!(world.get("/me", &[("authorization", &bearer)]).await.status, 401);
        let cookies = format!("__Host-access={token}; __Host-refresh={token}");
        assert_eq!(world.get("/browsers", &[("cookie", &cookies)]).await.status, 401);
        assert_eq!(world.get("/optional", &[("cookie", &cookies)]).await.json, Value::Null);
        let exchange = [("grant_type", "refresh_token"), ("refresh_token", token)];
        assert!(world.token(&exchange).await.is_error(400, "invalid_grant"));
        let introspection = form("/oauth/introspect").header("authorization", "Basic c2VydmljZQ==");
        let answer = world.send(introspection.body(Body::from(format!("token={token}"))).unwrap()).await;
        assert_eq!(answer.json, json!({"active": false}));
        assert_eq!(world.post("/oauth/revoke", &[("token", token)]).await.status, 200);
        assert_eq!(world.store.all_calls(), calls, "the store was not asked");
    }
    assert_eq!(client.get(&world, "/me").await.status, 200, "the session was not revoked");
}

#[tokio::test]
async fn own_audience_missing_issuer_and_shared_secret_are_refused() {
    let own = world();
    let client = own.signed_in("ann").await;
    let session = session_of(&own, &client).await;
    for audience in ["", "shop-api", "shop", ISSUER] {
        let refused = session.token_for(audience).mint();
        assert!(matches!(refused, Err(ServiceTokenError::Audience(_))), "{audience}");
    }
    assert_eq!(own.count(&EventKind::InternalError { operation: "token_for" }), 4);
    let answer = token_for(&own, &client, "audience=shop").await;
    assert_eq!((answer.status, answer.text("code")), (500, "internal".to_owned()));

    let nameless = world_of(|builder| builder);
    let client = nameless.signed_in("ann").await;
    let refused = session_of(&nameless, &client).await.token_for(BILLING).mint();
    assert!(matches!(refused, Err(ServiceTokenError::NoIssuer)));

    let shared = World::tuned(|builder| builder.issuer(ISSUER));
    let client = shared.signed_in("ann").await;
    let refused = session_of(&shared, &client).await.token_for(BILLING).mint().unwrap_err();
    assert!(matches!(refused, ServiceTokenError::SharedSecret));
    assert!(refused.to_string().contains("Ed25519 or ES256"));
}

#[tokio::test]
async fn malformed_scope_client_id_and_claims_are_refused() {
    let world = world();
    let session = session_of(&world, &world.signed_in("ann").await).await;
    let token = || session.token_for(BILLING);
    assert!(matches!(token().scope("a  b").mint(), Err(ServiceTokenError::Scope(_))));
    assert!(matches!(token().scope("").mint(), Err(ServiceTokenError::Scope(_))));
    assert!(matches!(token().client_id("").mint(), Err(ServiceTokenError::ClientId(_))));
    assert!(matches!(token().client_id("a\nb").mint(), Err(ServiceTokenError::ClientId(_))));
    let unwritable = std::collections::HashMap::from([(vec![1], 1)]);
    let refused = token().claims(&unwritable).mint();
    assert!(matches!(refused, Err(ServiceTokenError::Mint(MintError::NotJson(_)))));
    let refused = token().claims(&"x".repeat(4000)).mint();
    assert!(matches!(refused, Err(ServiceTokenError::Mint(MintError::TooLong { .. }))));
    assert_eq!(world.count(&EventKind::InternalError { operation: "token_for" }), 4);
}

#[tokio::test]
async fn revoked_or_expired_session_gets_no_token() {
    let world = world();
    let (client, other) = (world.signed_in("ann").await, world.signed_in("bob").await);
    let (revoked, expired) = (session_of(&world, &client).await, session_of(&world, &other).await);
    assert!(revoked.token_for(BILLING).mint().is_ok());
    world.sessions.revoke_all("ann").await.unwrap();
    let refused = revoked.token_for(BILLING).mint();
    assert!(matches!(refused, Err(ServiceTokenError::Ended)));
    let rejection = tower_sliding_sessions::Rejection::from(refused.unwrap_err());
    assert!(matches!(rejection.kind(), RejectionKind::Unauthenticated(_)));
    world.pass(TTL - 1);
    assert!(expired.token_for(BILLING).mint().is_ok());
    world.pass(1);
    assert!(matches!(expired.token_for(BILLING).mint(), Err(ServiceTokenError::Ended)));

    let later = world.signed_in("eve").await;
    let session = session_of(&world, &later).await;
    world.sessions.revoke_everything().await.unwrap();
    assert!(matches!(session.token_for(BILLING).mint(), Err(ServiceTokenError::Ended)));
}

#[tokio::test]
async fn debug_output_of_the_builder_shows_the_audience_only() {
    let world = world();
    let session = session_of(&world, &world.signed_in("ann").await).await;
    let debug = format!("{:?}", session.token_for(BILLING).scope("secret").with_session_id());
    assert_eq!(debug, r#"TokenFor { audience: "https://billing.example", .. }"#);
}
