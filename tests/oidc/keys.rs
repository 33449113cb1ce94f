//! Discovery, and keys of the provider that change.

use std::time::Duration;

use axum::http::StatusCode;
use futures_util::FutureExt as _;
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
    for (secs, is_good) in [(0, false), (599, false), (600, true), (1_000_000_000, true)] {
        let age = Duration::from_secs(secs);
        let builder = Oidc::builder(&sessions, Fake::new(), issuer, "c", address).max_age(age);
        let built = builder.build(|_: Identity| async { Err::<User<Value>, _>(Problem::Refused) });
        assert_eq!(built.err(), (!is_good).then_some(OidcBuildError::MaxAge(age)));
    }
}

const DISCOVERY: &str = "/.well-known/openid-configuration";

#[tokio::test(start_paused = true)]
async fn client_that_hangs_up_bypasses_no_floor() {
    let site = Site::new();
    site.provider.state().hangs = true;
    let mut jar = CookieJar::default();
    for number in 0..10 {
        let request = site.get(&mut jar, "/auth/sign-in");
        let hung_up = tokio::time::timeout(Duration::from_millis(1), request).await.is_err();
        assert_eq!(hung_up, number == 0, "the others get 503 at once");
    }
    assert_eq!(site.provider.count(DISCOVERY), 1);
    site.provider.state().hangs = false;
    site.clock.advance(Duration::from_secs(2));
    assert_eq!(site.get(&mut jar, "/auth/sign-in").await.status(), StatusCode::SEE_OTHER);
}

#[tokio::test(start_paused = true)]
async fn waiters_of_a_provider_that_hangs_do_not_queue() {
    let site = Site::new();
    site.provider.state().hangs = true;
    let requests =
        (0..10).map(|_| async { site.get(&mut CookieJar::default(), "/auth/sign-in").await.status() });
    let time_passes = async {
        tokio::time::sleep(Duration::from_millis(4900)).await;
        site.clock.advance(Duration::from_secs(5));
    };
    let (answers, ()) = tokio::join!(futures_util::future::join_all(requests), time_passes);
    assert_eq!(answers, [StatusCode::SERVICE_UNAVAILABLE; 10]);
    assert_eq!(site.provider.count(DISCOVERY), 1);
}

#[tokio::test]
async fn answer_for_a_client_that_hung_up_serves_the_others() {
    let site = Site::new();
    assert!(site.get(&mut CookieJar::default(), "/auth/sign-in").now_or_never().is_none());
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(site.provider.count("/jwks"), 1);
    site.provider.state().is_down = true;
    site.start(&mut CookieJar::default(), "").await;
}
