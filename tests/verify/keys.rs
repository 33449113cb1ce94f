//! Keys from the issuer's address: how often they are fetched, and what a bad response changes.

use std::time::Duration;

use futures_util::future::join_all;
use http::StatusCode;
use tower_sliding_sessions::{EventKind, PublicKey};

use crate::{
    support::{Issuer, Reply, Script, Service, public, settle},
    vectors::{P256_PUBLIC, RSA_PUBLIC},
};

fn other() -> PublicKey {
    PublicKey::from_pem(P256_PUBLIC).expect("a key")
}

/// A well-formed token of an unknown key.
fn unknown(number: usize) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let head = format!(r#"{{"alg":"EdDSA","kid":"k{number}","typ":"at+jwt"}}"#);
    format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode(head))
}

#[tokio::test]
async fn first_request_fetches_the_keys_and_later_ones_do_not() {
    let issuer = Issuer::new();
    let tokens = issuer.sign_in().await;
    let client = Script::new([Reply::keys(&[public()])]);
    let service = Service::at(&issuer, &client, |builder| builder);
    let first = join_all((0..20).map(|_| service.status(&tokens.access))).await;
    assert_eq!((first, client.fetches()), (vec![200; 20], 1), "one fetch at a time");
    issuer.pass(59);
    assert_eq!((service.status(&tokens.access).await, client.fetches()), (200, 1));
    issuer.pass(1);
    assert_eq!(service.status(&tokens.access).await, 200, "it does not wait for the fetch");
    settle().await;
    assert_eq!(client.fetches(), 2);
    assert_eq!(client.last_header("accept").as_deref(), Some("application/json"));
}

#[tokio::test]
async fn requests_with_unknown_keys_cause_one_fetch_in_ten_seconds() {
    // A million take over a minute: UNKNOWN_KEYS=1000000.
    let requests = std::env::var("UNKNOWN_KEYS").map_or(50_000, |text| text.parse().expect("a number"));
    let in_ten_seconds: usize = requests / 10;
    let issuer = Issuer::new();
    let tokens = issuer.sign_in().await;
    let client = Script::new([Reply::keys_for(&[public()], "max-age=3600")]);
    let service = Service::at(&issuer, &client, |builder| builder.key_max_age(Duration::from_secs(3600)));
    assert_eq!((service.status(&tokens.access).await, client.fetches()), (200, 1));
    let mut service_of_requests = service.app.clone();
    for period in 0..10 {
        issuer.pass(10);
        for number in 0..in_ten_seconds {
            use tower::Service as _;
            let request = http::Request::builder()
                .uri("/me")
                .header("authorization", format!("Bearer {}", unknown(number)));
            let request = request.body(axum::body::Body::empty()).expect("a request");
            let status = service_of_requests.call(request).await.expect("infallible").status();
            assert_eq!(status, StatusCode::UNAUTHORIZED);
        }
        assert_eq!(client.fetches(), 2 + period);
    }
    assert_eq!(service.status(&tokens.access).await, 200);
    assert_eq!(
        service.reported(),
        [EventKind::KeysChanged { keys: format!("{} published", public().kid()), pulled: vec![] }]
    );
}

#[tokio::test]
async fn unknown_key_is_found_by_one_fetch_once_ten_seconds_have_passed() {
    let issuer = Issuer::new();
    let tokens = issuer.sign_in().await;
    let client = Script::new([Reply::keys_for(&[other()], "max-age=300")]);
    let service = Service::at(&issuer, &client, |builder| builder);
    assert_eq!((service.status(&tokens.access).await, client.fetches()), (401, 1));
    client.set(Reply::keys(&[other(), public()]));
    issuer.pass(9);
    assert_eq!((service.status(&tokens.access).await, client.fetches()), (401, 1), "no fetch is allowed yet");
    issuer.pass(1);
    let found = join_all((0..20).map(|_| service.status(&tokens.access))).await;
    assert_eq!((found, client.fetches()), (vec![200; 20], 2));
}

#[tokio::test]
async fn pulled_key_is_refused_after_the_next_fetch_or_at_once_if_told() {
    let issuer = Issuer::new();
    let tokens = issuer.sign_in().await;
    let client = Script::new([Reply::keys(&[public()])]);
    let service = Service::at(&issuer, &client, |builder| builder);
    assert_eq!(service.status(&tokens.access).await, 200);
    client.set(Reply::keys(&[other()]));
    service.verifier.refresh_keys().await;
    assert_eq!((service.status(&tokens.access).await, client.fetches()), (200, 1), "within ten seconds");
    issuer.pass(10);
    service.verifier.refresh_keys().await;
    assert_eq!((service.status(&tokens.access).await, client.fetches()), (401, 2));
    // A set without keys is an answer, too: all keys are pulled.
    client.set(Reply::keys(&[public()]));
    issuer.pass(60);
    assert_eq!(service.status(&tokens.access).await, 200);
    client.set(Reply::body(r#"{"keys":[]}"#));
    issuer.pass(60);
    service.status(&tokens.access).await;
    settle().await;
    assert_eq!(service.status(&tokens.access).await, 401);
}

#[tokio::test]
async fn keys_that_were_set_are_used_until_the_next_fetch() {
    let issuer = Issuer::new();
    let tokens = issuer.sign_in().await;
    let client = Script::new([Reply::keys(&[public()])]);
    let service = Service::at(&issuer, &client, |builder| builder);
    assert_eq!(service.status(&tokens.access).await, 200);
    service.verifier.set_keys([other()]);
    assert_eq!((service.status(&tokens.access).await, client.fetches()), (401, 1));
    issuer.pass(10);
    assert_eq!((service.status(&tokens.access).await, client.fetches()), (200, 2), "the issuer still has it");
}

#[tokio::test]
async fn max_age_of_the_response_counts_within_bounds() {
    let issuer = Issuer::new();
    for (cache, extra, fresh_for) in [
        ("max-age=60", None, 60),
        ("public, max-age=120, must-revalidate", None, 120),
        ("max-age=120", Some(("age", "50")), 70),
        ("max-age=\"45\"", None, 45),
        ("max-age=0", None, 10),
        ("max-age=31536000", None, 300),
        ("no-store", None, 300),
        ("max-age=x", None, 300),
        ("s-maxage=20", None, 300),
    ] {
        let Reply::Is(status, mut headers, body) = Reply::keys_for(&[public()], cache) else { panic!() };
        headers.extend(extra);
        let client = Script::new([Reply::Is(status, headers, body)]);
        let service = Service::at(&issuer, &client, |builder| builder);
        service.verifier.refresh_keys().await;
        issuer.pass(fresh_for - 1);
        service.status("x").await;
        settle().await;
        assert_eq!(client.fetches(), 1, "{cache}");
        issuer.pass(1);
        service.status("x").await;
        settle().await;
        assert_eq!(client.fetches(), 2, "{cache}");
    }
}

#[tokio::test]
async fn unchanged_keys_are_not_sent_again() {
    let issuer = Issuer::new();
    let tokens = issuer.sign_in().await;
    let Reply::Is(status, mut headers, body) = Reply::keys(&[public()]) else { panic!() };
    headers.push(("etag", "\"one\""));
    let not_modified = Reply::Is(StatusCode::NOT_MODIFIED, vec![("cache-control", "max-age=30")], Vec::new());
    let client = Script::new([Reply::Is(status, headers, body), not_modified]);
    let service = Service::at(&issuer, &client, |builder| builder);
    assert_eq!(service.status(&tokens.access).await, 200);
    assert_eq!(client.last_header("if-none-match"), None);
    for fetches in [2, 3] {
        issuer.pass(60);
        service.status("x").await;
        settle().await;
        assert_eq!(client.fetches(), fetches);
        assert_eq!(client.last_header("if-none-match").as_deref(), Some("\"one\""));
        assert_eq!(service.status(&tokens.access).await, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn bad_response_changes_nothing_and_is_reported_with_its_cause() {
    let good = Reply::keys(&[public()]);
    let huge = format!(r#"{{"keys":[],"more":"{}"}}"#, "a".repeat(70_000));
    let many = format!(r#"{{"keys":[{}]}}"#, vec!["{}"; 65].join(","));
    let redirect = Reply::Is(StatusCode::FOUND, vec![("location", "https://evil.example/jwks")], Vec::new());
    for (bad, says) in [
        (Reply::Fails, "connection refused"),
        (Reply::Hangs, "5s"),
        (redirect, "302"),
        (Reply::Is(StatusCode::INTERNAL_SERVER_ERROR, Vec::new(), b"{\"keys\":[]}".to_vec()), "500"),
        (Reply::Is(StatusCode::NOT_FOUND, Vec::new(), Vec::new()), "404"),
        (Reply::body("<!doctype html><title>Sign in</title>"), "not a JWK Set"),
        (Reply::body(""), "not a JWK Set"),
        (Reply::body("null"), "not a JWK Set"),
        (Reply::body(r#"[{"keys":[]}]"#), "not a JWK Set"),
        (Reply::body(r#"{"keys":{}}"#), "not a JWK Set"),
        (Reply::body([0xff, 0xfe]), "not a JWK Set"),
        (Reply::body(huge), "65536"),
        (Reply::body(many), "64 keys"),
    ] {
        let issuer = Issuer::new();
        let tokens = issuer.sign_in().await;
        let client = Script::new([good.clone(), bad]);
        let service = Service::at(&issuer, &client, |builder| builder);
        assert_eq!(service.status(&tokens.access).await, 200);
        issuer.pass(60);
        assert_eq!(service.status(&tokens.access).await, 200);
        service.verifier.refresh_keys().await;
        assert_eq!(client.fetches(), 2);
        let causes = service.fetch_failures();
        assert!(causes.len() == 1 && causes[0].contains(says), "{says}: {causes:?}");
        assert_eq!(service.status(&tokens.access).await, 200, "the known keys stay");
    }
}

#[tokio::test]
async fn keys_of_other_kinds_in_the_set_are_ignored() {
    let issuer = Issuer::new();
    let tokens = issuer.sign_in().await;
    let rsa = PublicKey::from_pem(RSA_PUBLIC).expect("a key").with_kid("name with no meaning here/+=");
    assert!(rsa.is_err());
    let rsa = PublicKey::from_pem(RSA_PUBLIC).expect("a key").with_kid("of/another+issuer=").expect("a name");
    let set = format!(
        r#"{{"keys":[{{"kty":"oct","k":"AAAA","kid":"{kid}"}},{{"kty":"AKP","alg":"ML-DSA-44"}},{},{}]}}"#,
        rsa.to_jwk(),
        public().to_jwk(),
        kid = public().kid(),
    );
    let service = Service::at(&issuer, &Script::new([Reply::body(set)]), |builder| builder);
    assert_eq!(service.status(&tokens.access).await, 200);
}

#[tokio::test]
async fn keys_that_were_set_during_an_outage_do_not_become_too_old() {
    let issuer = Issuer::new();
    let client = Script::new([Reply::keys(&[other()]), Reply::Fails]);
    let service = Service::at(&issuer, &client, |builder| builder);
    assert_eq!(service.status(&issuer.sign_in().await.access).await, 401);
    service.verifier.set_keys([public()]);
    for _ in 0..9 {
        issuer.pass(600);
        assert_eq!(service.status(&issuer.sign_in().await.access).await, 200);
        settle().await;
    }
    assert!(!service.reported().contains(&EventKind::KeysTooOld));
}
