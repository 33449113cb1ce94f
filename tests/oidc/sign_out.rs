//! Sign-out here, and then at the provider.

use axum::http::{Method, StatusCode, Uri};
use serde_json::{Value, json};
use tower_sliding_sessions::CookieJar;

use crate::site::{Reply, Site, location, parameter, text};

async fn sign_out(site: &Site, jar: &mut CookieJar, headers: &[(&str, &str)]) -> Reply {
    site.send(jar, Method::POST, "/auth/sign-out", headers, "").await
}

#[tokio::test]
async fn sign_out_ends_the_session_here_and_leads_to_the_provider_and_back() {
    let site = Site::with(|sessions| sessions, |oidc| oidc.signed_out_page("/bye"));
    let mut jar = CookieJar::default();
    site.sign_in(&mut jar, json!({})).await;
    let mut copied = jar.clone();
    let response = sign_out(&site, &mut jar, &[]).await;
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    let to: Uri = location(&response).parse().expect("a URI");
    assert_eq!((to.host(), to.path()), (Some("provider.example"), "/end"));
    // The ID token was sealed in the record, which the revocation has forgotten since.
    let hint = parameter(&to, "id_token_hint").expect("a hint");
    assert_eq!(hint, site.provider.state().id_token);
    assert_eq!(parameter(&to, "client_id").as_deref(), Some("the-client"));
    let back = parameter(&to, "post_logout_redirect_uri").expect("an address");
    assert_eq!(back, "https%3A%2F%2Fapp.example%2Fauth%2Fsigned-out");
    for jar in [&mut jar, &mut copied] {
        assert_eq!(site.me(jar).await, Err(StatusCode::UNAUTHORIZED));
    }
    let state = parameter(&to, "state").expect("a state");
    let response = site.get(&mut jar, &format!("/auth/signed-out?state={state}")).await;
    assert_eq!(location(&response), "/bye");
    assert_eq!(jar.names().count(), 0);
    // Without the cookie, too: nothing depends on it.
    assert_eq!(location(&site.get(&mut jar, &format!("/auth/signed-out?state={state}")).await), "/bye");
}

#[tokio::test]
async fn sign_out_by_a_script_answers_with_the_address() {
    let site = Site::new();
    let mut jar = CookieJar::default();
    site.sign_in(&mut jar, json!({})).await;
    let headers = [("sec-fetch-mode", "cors"), ("sec-fetch-site", "same-origin")];
    let response = sign_out(&site, &mut jar, &headers).await;
    assert_eq!(response.status(), StatusCode::OK);
    let body: Value = serde_json::from_str(&text(response).await).expect("JSON");
    assert!(body["location"].as_str().expect("a text").starts_with("https://provider.example/end?"));
}

#[tokio::test]
async fn sign_out_from_another_site_is_refused() {
    let site = Site::new();
    let mut jar = CookieJar::default();
    site.sign_in(&mut jar, json!({})).await;
    let response = sign_out(&site, &mut jar, &[("sec-fetch-site", "cross-site")]).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert!(site.me(&mut jar).await.is_ok());
    assert_eq!(site.get(&mut jar, "/auth/sign-out").await.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn sign_out_without_a_session_of_the_provider_stays_here() {
    let site = Site::new();
    let mut jar = CookieJar::default();
    assert_eq!(location(&sign_out(&site, &mut jar, &[]).await), "/");
    // Signed in by a password.
    let cookie = site.sessions.cookie_of("user-bob", "Bob".to_owned()).await.expect("signed in");
    let mut jar = CookieJar::from(cookie);
    assert!(site.me(&mut jar).await.is_ok());
    assert_eq!(location(&sign_out(&site, &mut jar, &[]).await), "/");
    assert_eq!(site.me(&mut jar).await, Err(StatusCode::UNAUTHORIZED));
}

#[tokio::test]
async fn sign_out_works_where_the_provider_has_no_such_endpoint() {
    let site = Site::new();
    site.provider.state().discovery = json!({ "end_session_endpoint": null });
    let mut jar = CookieJar::default();
    site.sign_in(&mut jar, json!({})).await;
    assert_eq!(location(&sign_out(&site, &mut jar, &[]).await), "/");
    assert_eq!(site.me(&mut jar).await, Err(StatusCode::UNAUTHORIZED));
}
