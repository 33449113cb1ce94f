//! Back-channel logout.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use tower_sliding_sessions::CookieJar;

use crate::{
    fake::{CLIENT, ISSUER, header, merge, sign, sign_as},
    site::{NOW, Reply, Site, text},
};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const SID: &str = "provider-session";

fn claims(more: &Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": CLIENT, "iat": NOW, "exp": NOW + 120, "jti": "1", "sub": "alice", "sid": SID,
        "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
    });
    merge(&mut claims, more);
    claims
}

pub(crate) fn token(more: &Value) -> String {
    sign_as(&header("one", Some("logout+jwt")), "one", &claims(more))
}

pub(crate) async fn post(site: &Site, token: &str) -> Reply {
    let body = format!("logout_token={token}");
    site.send(&mut CookieJar::default(), Method::POST, "/auth/backchannel-logout", &[FORM], body).await
}

#[tokio::test]
async fn logout_token_ends_the_sessions_of_the_providers_session() {
    let site = Site::new();
    let [mut here, mut other, mut bob] = [(); 3].map(|()| CookieJar::default());
    site.sign_in(&mut here, json!({})).await;
    site.sign_in(&mut other, json!({ "sid": "another" })).await;
    site.sign_in(&mut bob, json!({ "sub": "bob", "sid": "bobs" })).await;
    let response = post(&site, &token(&json!({}))).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(site.me(&mut here).await, Err(StatusCode::UNAUTHORIZED));
    assert!(site.me(&mut other).await.is_ok() && site.me(&mut bob).await.is_ok());
    assert_eq!(site.outcomes("oidc_logged_out_by_provider"), [""]);
}

#[tokio::test]
async fn logout_token_without_sid_ends_all_sessions_of_the_user() {
    let site = Site::new();
    let mut alice = [(); 2].map(|()| CookieJar::default());
    let mut bob = CookieJar::default();
    for (jar, sid) in alice.iter_mut().zip([json!("one"), json!(null)]) {
        site.sign_in(jar, json!({ "sid": sid })).await;
    }
    site.sign_in(&mut bob, json!({ "sub": "bob" })).await;
    assert_eq!(post(&site, &token(&json!({ "sid": null }))).await.status(), StatusCode::OK);
    for jar in &mut alice {
        assert_eq!(site.me(jar).await, Err(StatusCode::UNAUTHORIZED));
    }
    assert!(site.me(&mut bob).await.is_ok());
}

#[tokio::test]
async fn session_whose_id_token_had_no_sid_ends_with_any_session_of_the_user() {
    let site = Site::new();
    let mut jar = CookieJar::default();
    site.sign_in(&mut jar, json!({ "sid": null })).await;
    assert_eq!(post(&site, &token(&json!({ "sub": null }))).await.status(), StatusCode::OK);
    assert!(site.me(&mut jar).await.is_ok(), "it may belong to another user");
    assert_eq!(post(&site, &token(&json!({ "jti": "2" }))).await.status(), StatusCode::OK);
    assert_eq!(site.me(&mut jar).await, Err(StatusCode::UNAUTHORIZED));
}

#[tokio::test]
async fn bad_logout_token_is_refused_with_an_event() {
    let site = Site::new();
    let mut jar = CookieJar::default();
    site.sign_in(&mut jar, json!({})).await;
    let event = "http://schemas.openid.net/event/backchannel-logout";
    let signed = |more: Value| token(&more);
    let good = claims(&json!({}));
    let with_header = |change: fn(&mut jsonwebtoken::Header)| {
        let mut header = header("one", Some("logout+jwt"));
        change(&mut header);
        header
    };
    for (token, why) in [
        (String::new(), "malformed"),
        ("a.b".to_owned(), "malformed"),
        (format!("{}.x", sign(&good)), "malformed"),
        ("x".repeat(9000), "malformed"),
        (sign_as(&header("one", Some("at+jwt")), "one", &good), "type"),
        (sign_as(&header("one", Some("logout+jwt")), "two", &good), "signature"),
        (sign_as(&with_header(|header| header.kid = None), "two", &good), "signature"),
        (
            jsonwebtoken::encode(
                &jsonwebtoken::Header { kid: Some("one".into()), ..Default::default() },
                &good,
                &jsonwebtoken::EncodingKey::from_secret(b"a secret"),
            )
            .expect("signed"),
            "algorithm",
        ),
        (signed(json!({ "iss": "https://evil.example" })), "issuer"),
        (signed(json!({ "aud": "another" })), "audience"),
        (signed(json!({ "aud": [CLIENT, "another"] })), "audience"),
        (signed(json!({ "aud": [] })), "audience"),
        (signed(json!({ "iat": NOW + 120 })), "time"),
        (signed(json!({ "iat": NOW - 601 })), "time"),
        (signed(json!({ "exp": NOW - 60 })), "time"),
        (signed(json!({ "exp": null })), "claims"),
        (signed(json!({ "iat": null })), "claims"),
        (signed(json!({ "jti": null })), "claims"),
        (signed(json!({ "jti": "" })), "claims"),
        (signed(json!({ "events": null })), "claims"),
        (signed(json!({ "events": {} })), "event"),
        (signed(json!({ "events": { event: true } })), "event"),
        (signed(json!({ "nonce": "n" })), "nonce"),
        (signed(json!({ "sub": null, "sid": null })), "claims"),
        (signed(json!({ "sid": "" })), "claims"),
    ] {
        let response = post(&site, &token).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{why}");
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(response.headers()["content-type"], "application/json");
        assert!(text(response).await.contains("\"error\":\"invalid_request\""), "{why}");
        assert_eq!(site.outcomes("oidc_logout_token_refused"), [why]);
    }
    // `null` is a nonce, too; `merge` cannot write it.
    let mut null = good.clone();
    null["nonce"] = Value::Null;
    let response = post(&site, &sign_as(&header("one", None), "one", &null)).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(site.outcomes("oidc_logout_token_refused"), ["nonce"]);
    assert!(site.me(&mut jar).await.is_ok(), "nothing was revoked");
    assert_eq!(site.provider.count("/jwks"), 1, "strangers do not make requests to the provider");
}

#[tokio::test]
async fn id_token_is_no_logout_token() {
    let site = Site::new();
    let mut jar = CookieJar::default();
    site.sign_in(&mut jar, json!({})).await;
    let id_token = site.provider.state().id_token.clone();
    assert_eq!(post(&site, &id_token).await.status(), StatusCode::BAD_REQUEST);
    assert_eq!(site.outcomes("oidc_logout_token_refused"), ["claims"]);
}

#[tokio::test]
async fn logout_token_is_used_once() {
    let site = Site::new();
    let good = token(&json!({ "iat": NOW - 1, "sid": null }));
    assert_eq!(post(&site, &good).await.status(), StatusCode::OK);
    // A session that began later is not ended by a copy of the token.
    let mut jar = CookieJar::default();
    site.sign_in(&mut jar, json!({})).await;
    assert_eq!(post(&site, &good).await.status(), StatusCode::BAD_REQUEST);
    assert_eq!(site.outcomes("oidc_logout_token_refused"), ["replayed"]);
    assert!(site.me(&mut jar).await.is_ok());
    // When the store may have forgotten it, it is too old.
    site.clock.advance(Duration::from_secs(600));
    assert_eq!(post(&site, &good).await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn sign_in_that_a_logout_has_overtaken_fails() {
    let site = Site::new();
    let mut jar = CookieJar::default();
    let started = site.start(&mut jar, "").await;
    // The provider issued the ID token, and then its session ended.
    assert_eq!(post(&site, &token(&json!({ "iat": NOW + 1 }))).await.status(), StatusCode::OK);
    let response = site.answer(&mut jar, &started, json!({})).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(site.outcomes("oidc_failed"), ["logged_out"]);
    assert_eq!(site.me(&mut jar).await, Err(StatusCode::UNAUTHORIZED));
    assert!(site.sessions.list("user-alice").await.expect("a list").is_empty());
    // A later sign-in in another session of the provider.
    site.sign_in(&mut jar, json!({ "sid": "next" })).await;
    assert!(site.me(&mut jar).await.is_ok());
}

#[tokio::test]
async fn requests_that_are_no_logout_requests_are_refused() {
    let site = Site::new();
    let good = token(&json!({}));
    let json = ("content-type", "application/json");
    for (headers, body) in [
        (json, format!("logout_token={good}")),
        (FORM, "token=x".to_owned()),
        (FORM, format!("logout_token={good}&logout_token={good}")),
        (FORM, format!("logout_token={good}&x={}", "x".repeat(20_000))),
    ] {
        let mut jar = CookieJar::default();
        let response = site.send(&mut jar, Method::POST, "/auth/backchannel-logout", &[headers], body).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    }
    assert_eq!(site.outcomes("oidc_logout_token_refused"), ["malformed"; 4]);
}

#[tokio::test]
async fn unknown_key_of_a_logout_token_is_fetched_once_per_minute() {
    let site = Site::new();
    site.sign_in(&mut CookieJar::default(), json!({})).await;
    site.clock.advance(Duration::from_secs(61));
    for number in 0..1000 {
        let forged = sign_as(&header(&format!("k{number}"), None), "two", &claims(&json!({})));
        // The first one has the keys fetched, and they have no such key. For the others they are not fetched, so the
        // key may be a new one of the provider's: it has to send the token again, which it does after 503 only.
        let status = if number == 0 { StatusCode::BAD_REQUEST } else { StatusCode::SERVICE_UNAVAILABLE };
        assert_eq!(post(&site, &forged).await.status(), status);
    }
    assert_eq!(site.outcomes("oidc_logout_token_refused"), ["unknown_key"; 1000]);
    assert_eq!(site.provider.count("/jwks"), 2);
}

#[tokio::test]
async fn logout_token_with_a_key_that_cannot_be_asked_for_gets_503_and_stays_good() {
    let site = Site::new();
    let mut jar = CookieJar::default();
    site.sign_in(&mut jar, json!({})).await;
    site.provider.state().published = vec!["one", "two"];
    let good = sign_as(&header("two", Some("logout+jwt")), "two", &claims(&json!({})));
    assert_eq!(post(&site, &good).await.status(), StatusCode::SERVICE_UNAVAILABLE, "asked a moment ago");
    site.clock.advance(Duration::from_secs(61));
    site.provider.state().is_down = true;
    assert_eq!(post(&site, &good).await.status(), StatusCode::SERVICE_UNAVAILABLE, "no answer");
    assert_eq!(site.outcomes("oidc_failed"), ["discovery"]);
    assert!(site.me(&mut jar).await.is_ok());
    site.provider.state().is_down = false;
    site.clock.advance(Duration::from_secs(2));
    assert_eq!(post(&site, &good).await.status(), StatusCode::OK);
    assert_eq!(site.me(&mut jar).await, Err(StatusCode::UNAUTHORIZED));
}

#[tokio::test]
async fn sid_does_not_begin_again_after_its_logout() {
    let site = Site::new();
    let mut jar = CookieJar::default();
    let started = site.start(&mut jar, "").await;
    assert_eq!(post(&site, &token(&json!({ "iat": NOW - 30 }))).await.status(), StatusCode::OK);
    let response = site.answer(&mut jar, &started, json!({})).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(site.outcomes("oidc_failed"), ["logged_out"]);
}

#[tokio::test]
async fn late_logout_token_of_a_user_leaves_later_sign_ins() {
    let site = Site::new();
    let [mut earlier, mut later] = [(); 2].map(|()| CookieJar::default());
    site.sign_in(&mut earlier, json!({ "sid": "one" })).await;
    site.clock.advance(Duration::from_secs(60));
    site.sign_in(&mut later, json!({ "sid": "two" })).await;
    assert_eq!(post(&site, &token(&json!({ "iat": NOW + 30, "sid": null }))).await.status(), StatusCode::OK);
    assert_eq!(site.me(&mut earlier).await, Err(StatusCode::UNAUTHORIZED));
    assert!(site.me(&mut later).await.is_ok());
}

#[tokio::test]
async fn hundredth_session_of_a_user_is_found_and_the_oldest_makes_room() {
    let site = Site::new();
    let mut jars: Vec<_> = (0..101).map(|_| CookieJar::default()).collect();
    for (number, jar) in jars.iter_mut().enumerate() {
        site.sign_in(jar, json!({ "sid": format!("session-{number}") })).await;
    }
    assert_eq!(site.me(&mut jars[0]).await, Err(StatusCode::UNAUTHORIZED), "the oldest");
    assert!(site.me(&mut jars[1]).await.is_ok());
    assert_eq!(post(&site, &token(&json!({ "sid": null }))).await.status(), StatusCode::OK);
    for jar in &mut jars {
        assert_eq!(site.me(jar).await, Err(StatusCode::UNAUTHORIZED));
    }
}
