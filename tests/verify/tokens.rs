//! Which tokens are accepted, and what handlers see of them.

use std::time::Duration;

use axum::routing::get;
use http::Method;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use tower_sliding_sessions::{BuildError, Keyring, PublicKey, Session, Verified, Verifier};

use crate::{
    support::{BILLING, ISSUER, Issuer, NOW, Profile, Seen, Service, payload, public, send},
    vectors::{ED25519_V1, P256, P256_PUBLIC, RSA_PUBLIC},
};

#[tokio::test]
async fn session_token_and_token_for_the_service_are_accepted_and_read() {
    let issuer = Issuer::new();
    let tokens = issuer.sign_in().await;
    let service = Service::new(&issuer, |builder| builder);
    issuer.pass(10);
    assert_eq!(
        service.get(&tokens.access).await.seen(),
        Seen {
            subject: "ann".to_owned(),
            role: "admin".to_owned(),
            session: true,
            scopes: Vec::new(),
            client: None,
            authenticated_at: Some(NOW),
            methods: vec!["pwd".to_owned()],
            expires_in: 290,
        }
    );
    let billing = issuer.billing(&tokens, "scope=read+write").await;
    assert_eq!(
        service.get(&billing).await.seen(),
        Seen {
            subject: "ann".to_owned(),
            role: "payer".to_owned(),
            session: false,
            scopes: vec!["read".to_owned(), "write".to_owned()],
            client: Some("shop".to_owned()),
            authenticated_at: Some(NOW),
            methods: vec!["pwd".to_owned()],
            expires_in: 290,
        }
    );
    assert!(service.get(&issuer.billing(&tokens, "sid=true").await).await.seen().session);
    issuer.pass(290);
    for expired in [&tokens.access, &billing] {
        let answer = service.get(expired).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("www-authenticate")),
            (401, r#"Bearer error="invalid_token""#)
        );
        assert_eq!(answer.header("cache-control"), "no-store");
        assert!(!answer.headers.contains_key("set-cookie"));
    }
}

#[tokio::test]
async fn each_kind_of_token_is_accepted_only_where_it_is_named() {
    let issuer = Issuer::new();
    let tokens = issuer.sign_in().await;
    let billing = issuer.billing(&tokens, "").await;
    let elsewhere = issuer.billing(&tokens, "audience=https://other.example").await;
    let built = |tune: fn(crate::support::Builder) -> crate::support::Builder| {
        let builder = tune(Verifier::with_keys([public()]).realm("shop").clock(issuer.clock.clone()));
        let verifier = builder.build().expect("valid settings");
        axum::Router::new().route("/me", get(crate::support::me)).route_layer(verifier.layer())
    };
    let services = [
        (built(|builder| builder.issuer(ISSUER).audience(BILLING)), [401, 200]),
        (built(|builder| builder.accept_session_tokens()), [200, 401]),
        (built(|builder| builder.issuer(ISSUER).accept_session_tokens()), [200, 401]),
        (built(|builder| builder.issuer("https://shop.example/").accept_session_tokens()), [401, 401]),
        (built(|builder| builder.issuer("https://other.example").audience(BILLING)), [401, 401]),
        (built(|builder| builder.issuer(ISSUER).audience("https://billing.example/")), [401, 401]),
        (built(|builder| builder.accept_session_tokens().session_audience("api")), [401, 401]),
        (built(|builder| builder.accept_session_tokens().realm("other")), [401, 401]),
    ];
    for (index, (app, wanted)) in services.iter().enumerate() {
        let mut got = Vec::new();
        for token in [&tokens.access, &billing, &elsewhere, &tokens.refresh] {
            let bearer = format!("Bearer {token}");
            got.push(send(app, Method::GET, "/me", &[("authorization", &bearer)]).await.status.as_u16());
        }
        assert_eq!(got, [wanted[0], wanted[1], 401, 401], "service {index}");
    }
}

/// Signs claims by the issuer's key.
fn signed(header: &Value, claims: &Value) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let key = EncodingKey::from_ed_pem(ED25519_V1.as_bytes()).expect("a key");
    let signature =
        jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::EdDSA).expect("a signature");
    format!("{message}.{signature}")
}

fn header(typ: &str) -> Value {
    json!({"alg": "EdDSA", "kid": public().kid(), "typ": typ})
}

#[tokio::test]
async fn signed_tokens_of_other_kinds_and_shapes_are_refused() {
    let issuer = Issuer::new();
    let tokens = issuer.sign_in().await;
    let service = Service::new(&issuer, |builder| builder);
    let claims = payload(&issuer.billing(&tokens, "").await);
    assert_eq!(service.status(&signed(&header("at+jwt"), &claims)).await, 200);
    for typ in ["JWT", "id+jwt", "logout+jwt", "rt+jwt", "application/at+jwt", ""] {
        assert_eq!(service.status(&signed(&header(typ), &claims)).await, 401, "{typ}");
    }
    let without_typ = json!({"alg": "EdDSA", "kid": public().kid()});
    assert_eq!(service.status(&signed(&without_typ, &claims)).await, 401);
    let with_crit = json!({"alg": "EdDSA", "kid": public().kid(), "typ": "at+jwt", "crit": ["exp"]});
    assert_eq!(service.status(&signed(&with_crit, &claims)).await, 401);
    let with_key =
        json!({"alg": "EdDSA", "kid": public().kid(), "typ": "at+jwt", "jku": "https://evil.example"});
    assert_eq!(service.status(&signed(&with_key, &claims)).await, 401);
    for (name, value) in [
        ("aud", json!([BILLING])),
        ("aud", json!("shop")),
        ("iss", json!("https://evil.example")),
        ("iss", Value::Null),
        ("sub", json!("")),
        ("jti", json!("")),
        ("client_id", json!("")),
        ("exp", json!(NOW + 362)),
        ("exp", json!(NOW)),
        ("iat", json!(NOW + 6)),
        ("iat", json!("1")),
        ("auth_time", json!("1")),
        ("nonce", json!("an ID token has it")),
        ("gen", json!(0)),
        ("sid", json!("short")),
        ("run", json!("0000000000000001")),
        ("ext", json!({"role": 1})),
        ("ext", json!([])),
    ] {
        let mut claims = claims.clone();
        claims[name] = value.clone();
        assert_eq!(service.status(&signed(&header("at+jwt"), &claims)).await, 401, "{name} {value}");
    }
    for name in ["iss", "sub", "aud", "client_id", "iat", "exp", "jti"] {
        let mut claims = claims.clone();
        claims.as_object_mut().expect("an object").remove(name);
        assert_eq!(service.status(&signed(&header("at+jwt"), &claims)).await, 401, "{name}");
    }
    assert_eq!(service.status(&tokens.access).await, 200);
}

#[tokio::test]
async fn public_key_is_no_hmac_secret_and_no_algorithm_is_no_algorithm() {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let issuer = Issuer::new();
    let tokens = issuer.sign_in().await;
    let rsa = || PublicKey::from_pem(RSA_PUBLIC).expect("a key").with_kid("rsa").expect("a name");
    let p256 = PublicKey::from_pem(P256_PUBLIC).expect("a key").with_kid("p256").expect("a name");
    let service = Service::new(&issuer, |builder| builder);
    service.verifier.set_keys([public(), rsa(), p256]);
    assert_eq!(service.status(&tokens.access).await, 200);
    let claims = tokens.access.split('.').nth(1).expect("three parts");
    let kid = public().kid().to_owned();
    for kid in [&*kid, "rsa", "p256"] {
        for alg in ["HS256", "none", "RS256", "ES256", "EdDSA"] {
            let head = json!({"alg": alg, "kid": kid, "typ": "at+jwt"}).to_string();
            let message = format!("{}.{claims}", URL_SAFE_NO_PAD.encode(head));
            for secret in [RSA_PUBLIC, P256_PUBLIC, &rsa().to_jwk(), ""] {
                let key = EncodingKey::from_secret(secret.as_bytes());
                let mac = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256)
                    .expect("a signature");
                assert_eq!(service.status(&format!("{message}.{mac}")).await, 401, "{alg} {kid}");
            }
            assert_ne!(service.status(&format!("{message}.")).await, 200);
        }
    }
}

#[tokio::test]
async fn es256_tokens_are_verified_too() {
    let issuer = Issuer::with_keys(Keyring::es256_pem(P256).expect("a key").with_kid("k").expect("a name"));
    let tokens = issuer.sign_in().await;
    let service = Service::new(&issuer, |builder| builder);
    assert_eq!(service.status(&tokens.access).await, 401);
    service
        .verifier
        .set_keys([PublicKey::from_pem(P256_PUBLIC).expect("a key").with_kid("k").expect("a name")]);
    assert_eq!(service.status(&tokens.access).await, 200);
    service.verifier.set_keys([]);
    assert_eq!(service.status(&tokens.access).await, 401, "a removed key is removed from the cache, too");
}

#[tokio::test]
async fn access_cookie_is_read_only_where_it_is_accepted_and_needs_csrf_protection() {
    let issuer = Issuer::new();
    let tokens = issuer.sign_in().await;
    let cookie = format!("__Host-access={}; __Host-refresh={}", tokens.access, tokens.refresh);
    let plain = Service::new(&issuer, |builder| builder);
    let answer = send(&plain.app, Method::GET, "/me", &[("cookie", &cookie)]).await;
    assert_eq!((answer.status.as_u16(), answer.header("www-authenticate")), (401, "Bearer"));
    let service = Service::new(&issuer, |builder| builder.accept_cookie(|cookies| cookies));
    let with = async |method, headers: &[(&str, &str)]| {
        let headers = [&[("cookie", &*cookie)], headers].concat();
        send(&service.app, method, "/me", &headers).await.status.as_u16()
    };
    assert_eq!(with(Method::GET, &[]).await, 200);
    assert_eq!(with(Method::POST, &[("origin", "https://evil.example")]).await, 403);
    assert_eq!(with(Method::POST, &[("origin", "https://app.example")]).await, 200);
    // A bearer token decides alone.
    assert_eq!(with(Method::GET, &[("authorization", "Bearer x")]).await, 401);
    issuer.pass(300);
    let expired = send(&service.app, Method::GET, "/me", &[("cookie", &cookie)]).await;
    assert_eq!(expired.status.as_u16(), 401, "the refresh cookie renews nothing here");
    assert!(!expired.headers.contains_key("set-cookie"));
}

#[tokio::test]
async fn handler_takes_a_verified_token_and_no_session() {
    let issuer = Issuer::new();
    let tokens = issuer.sign_in().await;
    let service = Service::new(&issuer, |builder| builder).routed(|app, _, layer| {
        app.route("/session", get(async |_: Session<Profile>| "a session"))
            .route("/optional", get(async |token: Option<Verified<Profile>>| format!("{}", token.is_some())))
            .route_layer(layer.optional())
    });
    assert_eq!(service.get_path("/session", &tokens.access).await.status.as_u16(), 500);
    assert_eq!(service.get_path("/optional", &tokens.access).await.body, "true");
    assert_eq!(send(&service.app, Method::GET, "/optional", &[]).await.body, "false");
    assert_eq!(service.get_path("/optional", "bad").await.status.as_u16(), 401);
    let malformed = send(&service.app, Method::GET, "/optional", &[("authorization", "Bearer a b")]).await;
    assert_eq!(malformed.status.as_u16(), 400);
    // Within the layer of the issuer, the same handler reads a session.
    let app = axum::Router::new().route("/me", get(crate::support::me)).route_layer(issuer.sessions.layer());
    let cookie = format!("__Host-access={}", tokens.access);
    assert!(send(&app, Method::GET, "/me", &[("cookie", &cookie)]).await.seen().session);
}

#[test]
fn builder_names_what_is_missing() {
    let builder = || Verifier::<Profile>::with_keys([public()]);
    let refused = |builder: crate::support::Builder| builder.build().err();
    assert_eq!(refused(builder()), Some(BuildError::NothingAccepted));
    assert_eq!(refused(builder().audience(BILLING)), Some(BuildError::NoIssuer));
    assert!(matches!(refused(builder().accept_session_tokens().realm("a b")), Some(BuildError::Realm(_))));
    let long = |builder: crate::support::Builder| builder.timing(|timing| timing.access_ttl(Duration::MAX));
    assert!(matches!(refused(long(builder().accept_session_tokens())), Some(BuildError::Policy(_))));
    let at = |address: &str| {
        let client = crate::support::Script::new([crate::support::Reply::Fails]);
        Verifier::<Profile>::from_jwks(address.parse().expect("an address"), client).accept_session_tokens()
    };
    for bad in
        ["http://shop.example/jwks", "/jwks", "ftp://shop.example/", "https://user:pass@shop.example/jwks"]
    {
        let error = refused(at(bad)).expect("an error");
        assert!(matches!(error, BuildError::KeyAddress(_)), "{bad}: {error:?}");
        assert!(!error.to_string().contains("pass@"));
    }
    for good in ["https://shop.example/jwks", "http://localhost:3000/jwks", "http://127.0.0.1/jwks"] {
        assert!(refused(at(good)).is_none(), "{good}");
    }
    assert!(refused(at("http://shop.example/jwks").dangerous_plain_http_keys()).is_none());
}
