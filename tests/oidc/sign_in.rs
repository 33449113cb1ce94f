//! Sign-in through the provider.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::json;
use tower_sliding_sessions::{CookieJar, Keyring, oidc::Problem};

use crate::site::{NOW, Site, Started, attempt_cookie, location, parameter, text};

#[tokio::test]
async fn sign_in_leads_to_the_provider_and_back_to_the_page_that_was_asked_for() {
    let site = Site::with(|sessions| sessions, |oidc| oidc.scopes(["email"]).parameter("acr_values", "loa2"));
    let mut jar = CookieJar::default();
    let started = site.start(&mut jar, "?next=%2Freports%3Fyear%3D2031").await;
    assert_eq!(started.uri.path(), "/authorize");
    assert_eq!(parameter(&started.uri, "scope").as_deref(), Some("openid+email"));
    assert_eq!(parameter(&started.uri, "response_type").as_deref(), Some("code"));
    assert_eq!(parameter(&started.uri, "acr_values").as_deref(), Some("loa2"));
    let redirect = parameter(&started.uri, "redirect_uri").expect("one");
    assert_eq!(redirect, "https%3A%2F%2Fapp.example%2Fauth%2Fsign-in%2Fcallback");
    let response = site.answer(&mut jar, &started, json!({})).await;
    assert_eq!((response.status(), location(&response)), (StatusCode::SEE_OTHER, "/reports?year=2031"));
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.headers()["referrer-policy"], "no-referrer");
    let me = site.me(&mut jar).await.expect("signed in");
    assert_eq!(
        me,
        json!({ "sub": "user-alice", "name": "Alice", "recent": true, "at": NOW - 5, "amr": ["pwd", "otp"] })
    );
    // Only the session's cookies are left.
    assert_eq!(jar.names().collect::<Vec<_>>(), ["__Host-access", "__Host-refresh"]);
    assert_eq!(site.outcomes("oidc_failed"), [""; 0]);
}

#[tokio::test]
async fn cookie_of_an_attempt_is_sealed_and_belongs_to_this_host() {
    let site = Site::new();
    let response = site.get(&mut CookieJar::default(), "/auth/sign-in").await;
    let cookie = response.headers()["set-cookie"].to_str().expect("ASCII");
    let state = parameter(&location(&response).parse().expect("a URI"), "state").expect("a state");
    let (name, _) = attempt_cookie(cookie, &state);
    assert_eq!(name.len(), "__Host-oidc-abcd-12345678".len(), "{cookie}");
    assert!(cookie.ends_with("; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=600"), "{cookie}");
    assert!(!cookie.contains(&state) && cookie.len() < 700, "{cookie}");
}

#[tokio::test]
async fn two_tabs_sign_in_at_once_and_both_succeed() {
    let site = Site::new();
    let mut jar = CookieJar::default();
    let one = site.start(&mut jar, "?next=/one").await;
    let two = site.start(&mut jar, "?next=/two").await;
    for (started, next) in [(&two, "/two"), (&one, "/one")] {
        let response = site.answer(&mut jar, started, json!({})).await;
        assert_eq!(location(&response), next);
        assert!(site.me(&mut jar).await.is_ok());
    }
    assert_eq!(jar.names().count(), 2);
}

#[tokio::test]
async fn sign_in_revokes_the_session_that_it_replaces() {
    let site = Site::new();
    let mut jar = CookieJar::default();
    site.sign_in(&mut jar, json!({})).await;
    let mut copied = jar.clone();
    site.sign_in(&mut jar, json!({ "sub": "bob" })).await;
    assert_eq!(site.me(&mut jar).await.expect("signed in")["sub"], "user-bob");
    assert_eq!(site.me(&mut copied).await, Err(StatusCode::UNAUTHORIZED));
}

#[tokio::test]
async fn authentication_long_ago_at_the_provider_is_not_a_recent_one() {
    let site = Site::new();
    for (auth_time, at) in [(json!(NOW - 3600), json!(NOW - 3600)), (json!(null), json!(null))] {
        let mut jar = CookieJar::default();
        site.sign_in(&mut jar, json!({ "auth_time": auth_time, "amr": null })).await;
        let me = site.me(&mut jar).await.expect("signed in");
        assert_eq!((&me["recent"], &me["at"]), (&json!(false), &at), "{auth_time}");
    }
}

#[tokio::test]
async fn reauthentication_at_the_provider_must_be_recent() {
    let site = Site::new();
    let mut jar = CookieJar::default();
    for (claims, status) in [
        (json!({ "auth_time": NOW }), StatusCode::SEE_OTHER),
        (json!({ "auth_time": NOW - 120 }), StatusCode::BAD_GATEWAY),
        (json!({ "auth_time": null }), StatusCode::BAD_GATEWAY),
    ] {
        let started = site.start(&mut jar, "?reauthenticate").await;
        assert_eq!(parameter(&started.uri, "prompt").as_deref(), Some("login"));
        assert_eq!(parameter(&started.uri, "max_age").as_deref(), Some("0"));
        assert_eq!(site.answer(&mut jar, &started, claims.clone()).await.status(), status, "{claims}");
    }
    assert_eq!(site.outcomes("oidc_failed"), ["auth_time", "auth_time"]);
}

#[tokio::test]
async fn session_ends_when_the_providers_ends() {
    let hour = Duration::from_secs(3600);
    let by_expiry = json!({ "session_expiry": NOW + 600 });
    for (max_age, claims) in [(None, by_expiry), (Some(hour), json!({ "auth_time": NOW - 3000 }))] {
        let site = Site::with(
            |sessions| sessions,
            |oidc| if let Some(age) = max_age { oidc.max_age(age) } else { oidc },
        );
        let mut jar = CookieJar::default();
        site.sign_in(&mut jar, claims).await;
        site.clock.advance(Duration::from_secs(595));
        assert!(site.me(&mut jar).await.is_ok());
        site.clock.advance(Duration::from_secs(10));
        assert_eq!(site.me(&mut jar).await, Err(StatusCode::UNAUTHORIZED));
    }
    let site = Site::new();
    let mut jar = CookieJar::default();
    let started = site.start(&mut jar, "").await;
    let response = site.answer(&mut jar, &started, json!({ "session_expiry": NOW })).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    let started = site.start(&mut jar, "").await;
    let response = site.answer(&mut jar, &started, json!({ "session_expiry": NOW + 599 })).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN, "too short for a session");
}

#[tokio::test]
async fn authentication_that_leaves_no_time_for_a_session_is_asked_for_again_once() {
    let site = Site::with(|sessions| sessions, |oidc| oidc.max_age(Duration::from_secs(3600)));
    for age in [3001, 3700] {
        let mut jar = CookieJar::default();
        let too_old = json!({ "auth_time": NOW - age });
        for (claims, status) in
            [(json!({ "auth_time": NOW }), StatusCode::SEE_OTHER), (too_old.clone(), StatusCode::BAD_GATEWAY)]
        {
            let started = site.start(&mut jar, "?next=%2Freports").await;
            let response = site.answer(&mut jar, &started, too_old.clone()).await;
            assert_eq!(response.status(), StatusCode::SEE_OTHER);
            let again = Started::of(location(&response));
            assert_eq!(parameter(&again.uri, "prompt").as_deref(), Some("login"));
            assert_eq!(jar.names().count(), 1, "one attempt");
            let response = site.answer(&mut jar, &again, claims).await;
            assert_eq!(response.status(), status);
            if status == StatusCode::SEE_OTHER {
                assert_eq!(location(&response), "/reports");
                assert!(site.me(&mut jar).await.is_ok());
                jar = CookieJar::default();
            }
        }
    }
}

#[tokio::test]
async fn userinfo_is_asked_for_if_wanted() {
    let site = Site::with(|sessions| sessions, |oidc| oidc.userinfo(true));
    let mut jar = CookieJar::default();
    site.provider.state().userinfo = Some(json!({ "sub": "alice", "name": "Alice of userinfo" }));
    site.sign_in(&mut jar, json!({})).await;
    assert_eq!(site.me(&mut jar).await.expect("signed in")["name"], "Alice of userinfo");
    // The answer is about another user, and the access token is refused.
    for (userinfo, status) in
        [(Some(json!({ "sub": "bob" })), StatusCode::BAD_GATEWAY), (None, StatusCode::FORBIDDEN)]
    {
        site.provider.state().userinfo = userinfo;
        let started = site.start(&mut jar, "").await;
        assert_eq!(site.answer(&mut jar, &started, json!({})).await.status(), status);
    }
    assert_eq!(site.outcomes("oidc_failed"), ["userinfo", "userinfo"]);
}

#[tokio::test]
async fn application_refuses_a_user_with_its_own_answer() {
    let site = Site::new();
    let mut jar = CookieJar::default();
    let started = site.start(&mut jar, "").await;
    let response = site.answer(&mut jar, &started, json!({ "sub": "locked" })).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert!(text(response).await.contains("You may not sign in here"));
    assert_eq!(site.outcomes("oidc_failed"), ["application"]);
    assert_eq!(jar.names().count(), 0);
}

#[tokio::test]
async fn panic_of_the_application_is_a_page_and_an_event() {
    let site = Site::new();
    let mut jar = CookieJar::default();
    let started = site.start(&mut jar, "").await;
    let response = site.answer(&mut jar, &started, json!({ "sub": "panics" })).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(site.outcomes("session_hook_panicked"), ["oidc"]);
    assert_eq!(jar.names().count(), 0);
}

#[tokio::test]
async fn strict_cookies_reach_the_page_after_the_sign_in() {
    let site = Site::with(|sessions| sessions.cookies(|cookies| cookies.same_site_strict()), |oidc| oidc);
    let mut jar = CookieJar::default();
    let started = site.start(&mut jar, "?next=%2Fa%3Fb%3D%22%3E%3Cscript%3E").await;
    let response = site.answer(&mut jar, &started, json!({})).await;
    // A redirect of the provider's navigation would not carry them. A navigation of this page does.
    assert_eq!(response.status(), StatusCode::OK);
    let page = text(response).await;
    assert!(
        page.contains("<meta http-equiv=refresh content=\"0;url=/a?b=&quot;&gt;&lt;script&gt;\">"),
        "{page}"
    );
}

#[tokio::test]
async fn attempt_outlives_a_change_of_keys() {
    let site = Site::new();
    let mut jar = CookieJar::default();
    let started = site.start(&mut jar, "").await;
    let old = Keyring::hs256(b"3q2+7wQmV1xK9rT0pLsYzBnH5cJ8uGfE").expect("a key");
    let new = Keyring::hs256(b"9bXc1Vd7Zm0Qw4Er6Ty8Ui2Op5As3DfG").expect("a key");
    site.sessions.set_keys(new.publish(old).expect("two keys"));
    assert_eq!(site.answer(&mut jar, &started, json!({})).await.status(), StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn userinfo_for_the_reload_hook_tells_a_refused_token_from_an_outage() {
    let site = Site::new();
    site.provider.state().userinfo = Some(json!({ "sub": "alice", "roles": ["reader"] }));
    let ask = || site.oidc.userinfo("an-access-token", "alice");
    assert_eq!(ask().await.expect("known")["roles"], json!(["reader"]));
    assert_eq!(site.oidc.userinfo("an-access-token", "bob").await, Err(Problem::InvalidResponse));
    site.provider.state().userinfo = None;
    assert_eq!(ask().await, Err(Problem::AccessDenied));
    site.provider.state().is_down = true;
    assert_eq!(ask().await, Err(Problem::ProviderUnavailable));
}

#[tokio::test]
async fn refresh_token_is_exchanged_or_refused() {
    let site = Site::new();
    let tokens = site.oidc.refresh("good").await.expect("new tokens");
    assert_eq!((&*tokens.access_token, tokens.refresh_token.as_deref()), ("next", Some("better")));
    assert!(!format!("{tokens:?}").contains("better"));
    assert_eq!(site.oidc.refresh("old").await, Err(Problem::AccessDenied));
    site.provider.state().is_down = true;
    assert_eq!(site.oidc.refresh("good").await, Err(Problem::ProviderUnavailable));
}
