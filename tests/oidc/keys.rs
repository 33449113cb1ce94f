//! Discovery, and keys of the provider that change.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};
use tower_sliding_sessions::{
    CookieJar, Keyring, Sessions,
    oidc::{Identity, Oidc, OidcBuildError, Problem, User},
};

use crate::{
    fake::{Fake, header, sign_as},
    site::Site,
};

async fn sign_in_with(site: &Site, kid: &str) -> StatusCode {
    let mut jar = CookieJar::default();
    let started = site.start(&mut jar, "").await;
    let token = sign_as(&header(kid, None), "two", &started.claims(site.sessions.now()));
    site.answer_with(&mut jar, &started, token).await.status()
}

#[tokio::test]
async fn unknown_key_is_fetched_once_per_minute() {
    let site = Site::new();
    assert_eq!(sign_in_with(&site, "two").await, StatusCode::BAD_GATEWAY);
    site.provider.state().published = vec!["one", "two"];
    // It was asked less than a minute ago.
    for _ in 0..100 {
        assert_eq!(sign_in_with(&site, "two").await, StatusCode::BAD_GATEWAY);
    }
    assert_eq!(site.provider.count("/jwks"), 1);
    site.clock.advance(Duration::from_secs(61));
    assert_eq!(sign_in_with(&site, "two").await, StatusCode::SEE_OTHER);
    assert_eq!(sign_in_with(&site, "three").await, StatusCode::BAD_GATEWAY);
    assert_eq!(site.provider.count("/jwks"), 2);
}

#[tokio::test]
async fn keys_that_the_provider_withdrew_are_forgotten_within_an_hour() {
    let site = Site::new();
    site.provider.state().published = vec!["two"];
    assert_eq!(sign_in_with(&site, "two").await, StatusCode::SEE_OTHER);
    site.provider.state().published = vec!["one"];
    site.clock.advance(Duration::from_secs(3601));
    assert_eq!(sign_in_with(&site, "two").await, StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn stale_keys_serve_through_an_outage_of_discovery() {
    let site = Site::new();
    site.provider.state().published = vec!["two"];
    assert_eq!(sign_in_with(&site, "two").await, StatusCode::SEE_OTHER);
    site.provider.state().discovery = json!({ "issuer": "https://another.example" });
    site.clock.advance(Duration::from_secs(12 * 3600));
    assert_eq!(sign_in_with(&site, "two").await, StatusCode::SEE_OTHER);
    site.clock.advance(Duration::from_secs(13 * 3600));
    let response = site.get(&mut CookieJar::default(), "/auth/sign-in").await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn discovery_with_an_unsafe_answer_is_refused() {
    for (discovery, status) in [
        (json!({ "issuer": "https://another.example" }), StatusCode::SERVICE_UNAVAILABLE),
        (json!({ "token_endpoint": "http://provider.example/token" }), StatusCode::BAD_GATEWAY),
        (json!({ "end_session_endpoint": "javascript:alert(1)" }), StatusCode::BAD_GATEWAY),
        (json!({ "id_token_signing_alg_values_supported": ["HS256", "none"] }), StatusCode::BAD_GATEWAY),
        (json!({ "padding": "x".repeat(300_000) }), StatusCode::SERVICE_UNAVAILABLE),
    ] {
        let site = Site::new();
        site.provider.state().discovery = discovery;
        let response = site.get(&mut CookieJar::default(), "/auth/sign-in").await;
        assert_eq!(response.status(), status);
        assert_eq!(site.outcomes("oidc_failed"), ["discovery"]);
    }
}

#[test]
fn unsafe_settings_are_refused() {
    let keys = Keyring::hs256(b"3q2+7wQmV1xK9rT0pLsYzBnH5cJ8uGfE").expect("a key");
    let sessions = Sessions::<Value>::builder(keys).build().expect("a good configuration");
    let build = |issuer: &str, client: &str, address: &str| {
        let builder = Oidc::builder(&sessions, Fake::new(), issuer, client, address);
        builder.build(|_: Identity| async { Err::<User<Value>, _>(Problem::Refused) }).err()
    };
    let (issuer, address) = ("https://provider.example", "https://app.example/auth");
    assert_eq!(build(issuer, "c", address), None);
    assert_eq!(build("http://127.0.0.1:9000", "c", "http://localhost:3000"), None);
    assert_eq!(build("http://[::1]:9000", "c", "http://app.localhost/"), None);
    for bad in ["http://provider.example", "https://a.example/?x", "https://a.example/#x", "a.example", ""] {
        assert_eq!(build(bad, "c", address), Some(OidcBuildError::Issuer(bad.to_owned())));
    }
    for bad in ["http://app.example/auth", "/auth", "https://app.example/{auth}", "https://app.example/a?b"] {
        assert!(matches!(build(issuer, "c", bad), Some(OidcBuildError::Address(_))), "{bad}");
    }
    assert_eq!(build(issuer, "", address), Some(OidcBuildError::ClientId));
}
