//! Attacks on the sign-in, and a provider that misbehaves.

use std::time::Duration;

use axum::http::{StatusCode, header};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tower_sliding_sessions::CookieJar;

use crate::{
    fake::{CLIENT, header, merge, sign, sign_as},
    site::{NOW, Site, Started, attempt_cookie, location, text},
};

/// Checks that a sign-in was refused, and why.
async fn refused(site: &Site, jar: &mut CookieJar, started: &Started, id_token: String, why: &str) {
    let response = site.answer_with(jar, started, id_token).await;
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY, "{why}");
    assert!(text(response).await.contains("<small>oidc_invalid_response</small>"), "{why}");
    assert_eq!(site.outcomes("oidc_failed"), [why]);
    assert_eq!(jar.names().count(), 0, "{why}");
}

#[tokio::test]
async fn id_token_with_a_wrong_claim_is_refused_with_an_event() {
    let site = Site::new();
    for (claims, why) in [
        (json!({ "nonce": "another" }), "nonce"),
        (json!({ "nonce": null }), "nonce"),
        (json!({ "iss": "https://evil.example" }), "id_token"),
        (json!({ "iss": "https://provider.example/" }), "id_token"),
        (json!({ "aud": "another-client" }), "id_token"),
        (json!({ "aud": [] }), "id_token"),
        (json!({ "aud": [CLIENT, "another-client"], "azp": CLIENT }), "id_token"),
        (json!({ "azp": "another-client" }), "id_token"),
        (json!({ "exp": NOW }), "id_token"),
        (json!({ "iat": NOW + 120 }), "id_token"),
        (json!({ "at_hash": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" }), "id_token"),
        (json!({ "sub": "" }), "id_token"),
        (json!({ "sid": 7 }), "id_token"),
        (json!({ "sid": "" }), "id_token"),
        (json!({ "auth_time": NOW + 120 }), "auth_time"),
        (json!({ "session_expiry": "soon" }), "auth_time"),
    ] {
        let mut jar = CookieJar::default();
        let started = site.start(&mut jar, "").await;
        let mut all = started.claims(site.sessions.now());
        merge(&mut all, &claims);
        refused(&site, &mut jar, &started, sign(&all), why).await;
    }
}

#[tokio::test]
async fn id_token_that_the_provider_did_not_sign_is_refused_with_an_event() {
    let site = Site::new();
    let unsigned = |claims: &Value| {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.", part(&json!({ "alg": "none" })), part(claims))
    };
    type Forge<'f> = Box<dyn Fn(&Value) -> String + 'f>;
    let forgeries: [(Forge<'_>, &str); 5] = [
        (Box::new(|claims| sign_as(&header("one", None), "two", claims)), "id_token"),
        // The client secret is known to this application only, but it is no key of the provider's.
        (
            Box::new(|claims| {
                let header = Header { kid: Some("one".into()), ..Header::new(Algorithm::HS256) };
                jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(b"a secret")).expect("signed")
            }),
            "id_token",
        ),
        (Box::new(|claims| sign_as(&header("one", Some("logout+jwt")), "one", claims)), "id_token"),
        (Box::new(unsigned), "id_token"),
        (Box::new(|_| "no token".to_owned()), "token_response"),
    ];
    for (forge, why) in forgeries {
        let mut jar = CookieJar::default();
        let started = site.start(&mut jar, "").await;
        refused(&site, &mut jar, &started, forge(&started.claims(site.sessions.now())), why).await;
    }
}

#[tokio::test]
async fn state_is_used_once_and_by_the_browser_that_began() {
    let site = Site::new();
    let mut jar = CookieJar::default();
    let started = site.start(&mut jar, "").await;
    let (mut before, mut victim) = (jar.clone(), CookieJar::default());
    let token = sign(&started.claims(site.sessions.now()));
    // An attacker sends the callback of an own sign-in to a victim.
    assert_eq!(
        site.answer_with(&mut victim, &started, token.clone()).await.status(),
        StatusCode::BAD_REQUEST
    );
    assert_eq!(site.answer_with(&mut jar, &started, token.clone()).await.status(), StatusCode::SEE_OTHER);
    let replayed = site.answer_with(&mut jar, &started, token.clone()).await;
    assert_eq!(replayed.status(), StatusCode::BAD_REQUEST);
    let page = text(replayed).await;
    assert!(page.contains("This sign-in is over") && page.contains("/auth/sign-in?next="), "{page}");
    assert_eq!(site.outcomes("oidc_failed"), ["attempt", "attempt"]);
    assert!(site.me(&mut jar).await.is_ok(), "the session stays");
    // It ends after 10 minutes.
    site.clock.advance(Duration::from_secs(601));
    assert_eq!(site.answer_with(&mut before, &started, token).await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn cookie_of_an_attempt_is_bound_to_its_name_and_to_this_client() {
    let site = Site::new();
    let mut jar = CookieJar::default();
    let (one, two) = (site.start(&mut jar, "").await, site.start(&mut jar, "").await);
    let cookies = jar.header().expect("two");
    let cookies = cookies.to_str().expect("ASCII");
    let (name, _) = attempt_cookie(cookies, &one.state);
    let (_, value) = attempt_cookie(cookies, &two.state);
    let planted = format!("{name}={value}");
    let response = site
        .send(
            &mut CookieJar::default(),
            axum::http::Method::GET,
            &one.callback(),
            &[("cookie", &planted)],
            "",
        )
        .await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    // Another client with the same keys.
    let other = Site::with(|sessions| sessions.realm("other"), |oidc| oidc);
    assert_eq!(other.get(&mut jar.clone(), &one.callback()).await.status(), StatusCode::BAD_REQUEST);
    // A sign-out's `state` is not a sign-in's, and the first characters of a `state` are not all of it.
    let short = one.callback().replace(&one.state, &one.state[..8]);
    assert_eq!(site.get(&mut jar.clone(), &short).await.status(), StatusCode::BAD_REQUEST);
    assert_eq!(
        location(&site.get(&mut jar.clone(), &format!("/auth/signed-out?state={}", one.state)).await),
        "/"
    );
}

#[tokio::test]
async fn answer_of_another_provider_is_refused() {
    let site = Site::new();
    for iss in ["&iss=https%3A%2F%2Fevil.example", ""] {
        let mut jar = CookieJar::default();
        let started = site.start(&mut jar, "").await;
        let path = format!("/auth/sign-in/callback?code=c&state={}{iss}", started.state);
        assert_eq!(site.get(&mut jar, &path).await.status(), StatusCode::BAD_GATEWAY);
        assert_eq!(site.outcomes("oidc_failed"), ["issuer"]);
        assert_eq!(site.provider.count("/token"), 0, "the code was sent to the wrong provider");
    }
}

#[tokio::test]
async fn return_path_never_leads_to_another_site() {
    let site = Site::new();
    for next in
        ["https://evil.example", "//evil.example", "/\\evil.example", "/%09/evil.example", "javascript:x"]
    {
        let mut jar = CookieJar::default();
        let started = site.start(&mut jar, &format!("?next={}", next.replace('/', "%2F"))).await;
        assert_eq!(location(&site.answer(&mut jar, &started, json!({})).await), "/", "{next}");
    }
}

#[tokio::test]
async fn return_path_that_makes_the_sealed_cookie_too_long_is_replaced() {
    let site = Site::new();
    for (path, is_kept) in [
        ("a".repeat(350), true),
        ("a".repeat(500), false),
        ("a".repeat(2000), false),
        // As JSON, each of these has two bytes.
        ("%22".repeat(300), false),
        ("%22".repeat(150), true),
    ] {
        let mut jar = CookieJar::default();
        let response = site.get(&mut jar, &format!("/auth/sign-in?next=%2F{path}")).await;
        let cookie = response.headers()["set-cookie"].to_str().expect("ASCII");
        let pair = cookie.split(';').next().expect("one");
        assert!((300..=900).contains(&pair.len()), "{}", pair.len());
        let started = Started::of(location(&response));
        let answer = site.answer(&mut jar, &started, json!({})).await;
        let wanted = if is_kept { format!("/{}", path.replace("%22", "\"")) } else { "/".to_owned() };
        assert_eq!(location(&answer), wanted);
    }
}

#[tokio::test]
async fn hundred_attempts_leave_five_cookies_and_the_last_one_succeeds() {
    let site = Site::new();
    let mut jar = CookieJar::default();
    let mut last = None;
    for number in 0..100_u64 {
        site.clock.advance(Duration::from_millis(1));
        last = Some(site.start(&mut jar, "").await);
        assert!(jar.names().count() <= 5, "after {number}");
    }
    let started = last.expect("a hundred");
    assert_eq!(site.answer(&mut jar, &started, json!({})).await.status(), StatusCode::SEE_OTHER);
    // Cookies of other keys, and no attempts at all, are removed, too: a few at a time.
    let mut jar = CookieJar::default();
    site.start(&mut jar, "").await;
    let prefix = jar.names().next().expect("a cookie").to_owned();
    let prefix = &prefix[..prefix.len() - 8];
    let planted: Vec<_> = (0..100).map(|number| format!("{prefix}{number:08}=x")).collect();
    let mut jar = CookieJar::from(planted.join("; ").parse::<header::HeaderValue>().expect("a header"));
    // Twelve are looked at, and the new attempts among them stay. Where they stand in the header is chance.
    for left in [89, 79, 70] {
        site.start(&mut jar, "").await;
        assert!(jar.names().count() <= left, "{} cookies", jar.names().count());
    }
    let started = site.start(&mut jar, "").await;
    assert_eq!(site.answer(&mut jar, &started, json!({})).await.status(), StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn applications_on_one_host_keep_their_cookies_apart() {
    let (site, other) = (Site::new(), Site::with(|sessions| sessions.realm("other"), |oidc| oidc));
    let mut jar = CookieJar::default();
    let started = site.start(&mut jar, "").await;
    for _ in 0..10 {
        other.clock.advance(Duration::from_millis(1));
        other.start(&mut jar, "").await;
    }
    assert_eq!(site.answer(&mut jar, &started, json!({})).await.status(), StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn providers_error_is_a_page_without_its_text() {
    let site = Site::new();
    for (error, status, code) in [
        ("access_denied", StatusCode::FORBIDDEN, "oidc_access_denied"),
        ("temporarily_unavailable", StatusCode::SERVICE_UNAVAILABLE, "oidc_provider_unavailable"),
        ("<script>alert(1)</script>", StatusCode::BAD_GATEWAY, "oidc_invalid_response"),
    ] {
        let mut jar = CookieJar::default();
        let started = site.start(&mut jar, "?next=%2Fa%22%3E%3Cb").await;
        let path =
            started.callback().replace("code=c", &format!("error={error}&error_description=<b>no</b>"));
        let path = path.replace('<', "%3C").replace('>', "%3E");
        let response = site.get(&mut jar, &path).await;
        assert_eq!(response.status(), status);
        let policy = response.headers()["content-security-policy"].to_str().expect("ASCII").to_owned();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        let page = text(response).await;
        assert!(page.contains(code) && !page.contains("alert") && !page.contains("<b>no"), "{page}");
        assert!(page.contains("href=\"/auth/sign-in?next=%2Fa%22%3E%3Cb\""), "{page}");
        assert_eq!(site.outcomes("oidc_failed"), ["provider"]);
        assert_eq!(jar.names().count(), 0);
    }
}

#[tokio::test]
async fn token_endpoint_that_refuses_the_code_is_a_page_without_its_text() {
    let site = Site::new();
    site.provider.state().token_error = Some("invalid_grant");
    let mut jar = CookieJar::default();
    let started = site.start(&mut jar, "").await;
    let response = site.answer(&mut jar, &started, json!({})).await;
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    assert!(!text(response).await.contains("evil"));
    assert_eq!(site.outcomes("oidc_failed"), ["code"]);
}

#[tokio::test]
async fn malformed_callbacks_are_refused() {
    let site = Site::new();
    let mut jar = CookieJar::default();
    let started = site.start(&mut jar, "").await;
    let good = started.callback();
    for bad in [
        "/auth/sign-in/callback".to_owned(),
        "/auth/sign-in/callback?code=c".to_owned(),
        format!("{good}&state={}", started.state),
        format!("{good}&code=d"),
        format!("{good}&x={}", "a".repeat(9000)),
        good.replace(&started.state, "%C3%A4%C3%B6%C3%BC%C3%9F%C3%A4"),
        good.replace(&started.state, "a"),
        good.replace(&started.state, "=;,%20%0D%0ASet"),
    ] {
        assert_eq!(site.get(&mut jar.clone(), &bad).await.status(), StatusCode::BAD_REQUEST, "{bad}");
    }
    let without_code = good.replace("code=c&", "");
    assert_eq!(site.get(&mut jar.clone(), &without_code).await.status(), StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn provider_that_is_down_is_a_page_with_503() {
    let site = Site::new();
    let mut jar = CookieJar::default();
    site.provider.state().is_down = true;
    let response = site.get(&mut jar, "/auth/sign-in?next=/a").await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key("retry-after"));
    assert!(text(response).await.contains("oidc_provider_unavailable"));
    assert_eq!(site.outcomes("oidc_failed"), ["discovery"]);
    // Not asked at each request.
    site.get(&mut jar, "/auth/sign-in").await;
    assert_eq!(site.provider.count("/.well-known/openid-configuration"), 1);
    site.provider.state().is_down = false;
    site.clock.advance(Duration::from_secs(3));
    let started = site.start(&mut jar, "").await;
    site.provider.state().is_down = true;
    let response = site.answer(&mut jar, &started, json!({})).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(site.outcomes("oidc_failed"), ["unavailable", "request"]);
    // A proxy in front of it.
    site.provider.state().is_down = false;
    let started = site.start(&mut jar, "").await;
    site.provider.state().proxy = Some(502);
    let response = site.answer(&mut jar, &started, json!({})).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn access_token_that_is_no_text_for_a_header_is_refused() {
    let site = Site::with(|sessions| sessions, |oidc| oidc.userinfo(true));
    site.provider.state().access_token = "two\nlines";
    let mut jar = CookieJar::default();
    let started = site.start(&mut jar, "").await;
    assert_eq!(site.answer(&mut jar, &started, json!({})).await.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(site.outcomes("oidc_failed"), ["userinfo"]);
}
