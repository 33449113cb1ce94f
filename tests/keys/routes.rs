//! The routes that show the public keys.

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, Response},
};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tower_sliding_sessions::{EventKind, jsonwebtoken};

use crate::{
    samples::{ED25519_KID, ed25519, oct, p256, ring, rsa, secret, with},
    support::{ABSOLUTE, ACCESS, GRACE, Instance, World, idle},
};

const JWKS: &str = "/.well-known/jwks.json";

async fn send(instance: &Instance, method: &str, path: &str, headers: &[(&str, &str)]) -> Response<Body> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let app: Router = instance.sessions.jwks_routes();
    app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

async fn text(response: Response<Body>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

async fn keys(instance: &Instance) -> Vec<Value> {
    let text = text(send(instance, "GET", JWKS, &[]).await).await;
    let set: Value = serde_json::from_str(&text).unwrap();
    set["keys"].as_array().unwrap().clone()
}

async fn kids(instance: &Instance) -> Vec<String> {
    keys(instance).await.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers[name].to_str().unwrap()
}

#[tokio::test]
async fn public_keys_that_verify_are_shown_and_nothing_else() {
    let world = World::new();
    let sessions = &world.one.sessions;
    let all = [
        with(ed25519(), &json!({"step": "signing"})),
        with(p256(), &json!({"step": "published", "kid": "next"})),
        with(rsa(), &json!({"step": "retired", "kid": "old"})),
        oct(0, "published"),
    ];
    sessions.set_keys(ring(&all));
    let response = send(&world.one, "GET", JWKS, &[]).await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(response.headers(), "content-type"), "application/jwk-set+json");
    assert_eq!(header(response.headers(), "cache-control"), "public, max-age=300");
    let shown = text(response).await;
    for hidden in
        [ed25519()["d"].as_str().unwrap(), p256()["d"].as_str().unwrap(), &secret(0), "\"d\"", "\"k\""]
    {
        assert!(!shown.contains(hidden), "{shown}");
    }
    assert_eq!(
        keys(&world.one).await,
        [
            json!({"kty": "OKP", "crv": "Ed25519", "x": ed25519()["x"], "kid": ED25519_KID, "alg": "EdDSA", "use": "sig"}),
            json!({"kty": "EC", "crv": "P-256", "x": p256()["x"], "y": p256()["y"], "kid": "next", "alg": "ES256", "use": "sig"}),
            json!({"kty": "RSA", "e": "AQAB", "n": rsa()["n"], "kid": "old", "alg": "RS256", "use": "sig"}),
        ]
    );
    sessions.set_keys(sessions.keys().pull("next").unwrap());
    assert_eq!(kids(&world.one).await, [ED25519_KID, "old"]);
    world.pass(ABSOLUTE + GRACE);
    assert_eq!(kids(&world.one).await, [ED25519_KID], "the retired key is gone");
}

#[tokio::test]
async fn set_is_empty_under_hs256() {
    let world = World::new();
    assert_eq!(text(send(&world.one, "GET", JWKS, &[]).await).await, r#"{"keys":[]}"#);
}

#[tokio::test]
async fn etag_changes_with_the_keys_and_saves_the_body() {
    let world = World::new();
    let sessions = &world.one.sessions;
    sessions.set_keys(ring(&[ed25519()]));
    let first = send(&world.one, "GET", JWKS, &[]).await;
    let etag = header(first.headers(), "etag").to_owned();
    let weak = format!("\"other\", W/{etag}");
    for tags in [&*etag, "*", &weak] {
        let response = send(&world.one, "GET", JWKS, &[("if-none-match", tags)]).await;
        assert_eq!(response.status(), 304, "{tags}");
        assert_eq!(header(response.headers(), "etag"), etag);
        assert_eq!(header(response.headers(), "cache-control"), "public, max-age=300");
        assert_eq!(text(response).await, "");
    }
    let head = send(&world.one, "HEAD", JWKS, &[]).await;
    assert_eq!((head.status().as_u16(), header(head.headers(), "etag")), (200, &*etag));
    assert_eq!(send(&world.one, "POST", JWKS, &[]).await.status(), 405);

    sessions.set_keys(sessions.keys().publish(ring(&[p256()])).unwrap());
    let response = send(&world.one, "GET", JWKS, &[("if-none-match", &etag)]).await;
    assert_eq!(response.status(), 200);
    assert_ne!(header(response.headers(), "etag"), etag);
}

#[tokio::test]
async fn another_library_verifies_access_tokens_by_the_set() {
    let world = World::new();
    for key in [ed25519(), p256()] {
        world.one.sessions.set_keys(ring(&[key]));
        let browser = world.signed_in("ann").await;
        let token = browser.value(ACCESS).unwrap();
        let shown = text(send(&world.one, "GET", JWKS, &[]).await).await;
        let set: jsonwebtoken::jwk::JwkSet = serde_json::from_str(&shown).unwrap();
        let header = jsonwebtoken::decode_header(token).unwrap();
        let jwk = set.find(&header.kid.unwrap()).unwrap();
        let mut rules = jsonwebtoken::Validation::new(header.alg);
        rules.set_audience(&["sessions"]);
        rules.validate_exp = false;
        let key = jsonwebtoken::DecodingKey::from_jwk(jwk).unwrap();
        let claims = jsonwebtoken::decode::<Value>(token, &key, &rules).unwrap().claims;
        assert_eq!(claims["sub"], "ann");
        idle().await;
    }
}

#[tokio::test]
async fn metadata_names_the_issuer_and_the_address_of_its_keys() {
    let world = World::new();
    let (openid, oauth) = ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server");
    let issued_by = |issuer: &'static str| world.other(move |builder| builder.issuer(issuer));
    let at_root = issued_by("https://id.example");
    for path in [openid, oauth] {
        let response = send(&at_root, "GET", path, &[]).await;
        assert_eq!(header(response.headers(), "content-type"), "application/json");
        let metadata: Value = serde_json::from_str(&text(response).await).unwrap();
        assert_eq!(metadata["issuer"], "https://id.example");
        assert_eq!(metadata["jwks_uri"], "https://id.example/.well-known/jwks.json");
        assert_eq!(send(&world.one, "GET", path, &[]).await.status(), 404, "no issuer is set");
        assert_eq!(send(&issued_by("shop"), "GET", path, &[]).await.status(), 404, "it is no URL");
    }
    let below = issued_by("https://example.org/id/");
    let metadata = text(send(&below, "GET", openid, &[]).await).await;
    assert!(metadata.contains("\"https://example.org/id/.well-known/jwks.json\""), "{metadata}");
    assert_eq!(send(&below, "GET", oauth, &[]).await.status(), 404);
}

#[tokio::test]
async fn promotion_before_services_have_the_key_is_reported() {
    let world = World::new();
    let sessions = &world.one.sessions;
    let early = || world.count(&EventKind::KeyPromotedEarly);
    let rotate = |seconds: u64| {
        sessions.set_keys(ring(&[ed25519()]));
        sessions.set_keys(sessions.keys().publish(ring(&[p256()])).unwrap());
        world.pass(seconds);
        let next = sessions.keys().list()[1].kid.clone();
        sessions.set_keys(sessions.keys().promote(&next).unwrap());
    };
    rotate(0);
    assert_eq!(early(), 0, "no route shows the keys");
    let _routes: Router = sessions.jwks_routes();
    rotate(299);
    assert_eq!(early(), 1);
    rotate(300);
    assert_eq!(early(), 1);
}
