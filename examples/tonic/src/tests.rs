#[path = "../../../tests/support/browser.rs"]
#[expect(dead_code, reason = "shared with the tests of other examples")]
mod browser;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{self, header::SET_COOKIE},
};
use tonic::{Code, Request, Status};
use tonic_web::GrpcWebClientLayer;
use tower::{ServiceBuilder, ServiceExt as _};
use tower_sliding_sessions::{CookieJar, Keyring, ManualClock, Sessions, Timestamp};

use self::browser::{Browser, text};
use super::{accounts::accounts_client::AccountsClient, messages::Empty};

const FORM: &str = "application/x-www-form-urlencoded";

fn app() -> (Router, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
    let builder = Sessions::builder(Keyring::random().expect("a key")).clock(clock.clone());
    (super::app(builder).expect("an application"), clock)
}

/// A native client: the same service without a connection between.
async fn call(app: &Router, token: &str) -> Result<String, Status> {
    let mut request = Request::new(Empty {});
    if !token.is_empty() {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().expect("a header"));
    }
    let reply = AccountsClient::new(app.clone()).who_am_i(request).await?;
    Ok(reply.into_inner().name)
}

async fn tokens(app: &Router, form: &str) -> (String, String) {
    let answer = Browser::new(app).post("/oauth/token", FORM, form).await;
    let answer: serde_json::Value = serde_json::from_str(&text(answer).await).expect("JSON");
    let token = |name: &str| answer[name].as_str().expect("a token").to_owned();
    (token("access_token"), token("refresh_token"))
}

#[tokio::test]
async fn a_bearer_token_signs_calls_in_until_it_expires_and_renewal_brings_the_next() {
    let (app, clock) = app();
    assert_eq!(call(&app, "").await.expect_err("anonymous").code(), Code::Unauthenticated);
    let (access, refresh) = tokens(&app, "grant_type=password&username=ann&password=swordfish").await;
    assert_eq!(call(&app, &access).await.expect("signed in"), "ann");
    clock.advance(Duration::from_secs(20 * 60));
    assert_eq!(call(&app, &access).await.expect_err("expired").code(), Code::Unauthenticated);
    let (access, _) = tokens(&app, &format!("grant_type=refresh_token&refresh_token={refresh}")).await;
    assert_eq!(call(&app, &access).await.expect("renewed"), "ann");
    let mut request = Request::new(Empty {});
    request.metadata_mut().insert("authorization", format!("Bearer {access}").parse().expect("a header"));
    AccountsClient::new(app.clone()).sign_out(request).await.expect("signed out");
    assert_eq!(call(&app, &access).await.expect_err("revoked").code(), Code::Unauthenticated);
}

/// A browser that calls by gRPC-Web. Answers with how many cookies the response set, too.
async fn web_call(
    browser: &Browser,
    sign_out: bool,
    site: &'static str,
) -> (CookieJar, usize, Result<String, Status>) {
    let (app, jar) = (browser.app.clone(), Arc::new(Mutex::new((browser.jar.clone(), 0))));
    let kept = jar.clone();
    let transport = ServiceBuilder::new().layer(GrpcWebClientLayer::new()).service_fn(
        move |request: http::Request<_>| {
            let (app, jar) = (app.clone(), jar.clone());
            async move {
                let mut request = request.map(Body::new);
                request.headers_mut().insert("sec-fetch-site", http::HeaderValue::from_static(site));
                let request = jar.lock().unwrap_or_else(PoisonError::into_inner).0.add_to(request);
                let response = app.oneshot(request).await.expect("an answer");
                let mut jar = jar.lock().unwrap_or_else(PoisonError::into_inner);
                jar.0.keep(&response);
                jar.1 = response.headers().get_all(SET_COOKIE).iter().count();
                Ok::<_, std::convert::Infallible>(response)
            }
        },
    );
    let mut client = AccountsClient::new(transport);
    let outcome = match sign_out {
        true => client.sign_out(Empty {}).await.map(|_| String::new()),
        false => client.who_am_i(Empty {}).await.map(|reply| reply.into_inner().name),
    };
    let jar = kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
    (jar.0, jar.1, outcome)
}

#[tokio::test]
async fn cookies_sign_calls_in_and_are_renewed_in_the_same_call() {
    let (app, clock) = app();
    let mut browser = Browser::new(&app);
    assert_eq!(
        web_call(&browser, false, "same-origin").await.2.expect_err("anonymous").code(),
        Code::Unauthenticated
    );
    assert_eq!(browser.post("/login", FORM, "name=ann&password=wrong").await.status(), 401);
    assert_eq!(browser.post("/login", FORM, "name=ann&password=swordfish").await.status(), 200);
    let (_, set, name) = web_call(&browser, false, "same-origin").await;
    assert_eq!((set, name.expect("signed in")), (0, "ann".to_owned()));
    clock.advance(Duration::from_secs(20 * 60));
    let (jar, set, name) = web_call(&browser, false, "same-origin").await;
    assert_eq!((set, name.expect("renewed")), (2, "ann".to_owned()));
    browser.jar = jar;
    let other_site = web_call(&browser, true, "cross-site").await.2;
    assert_eq!(other_site.expect_err("refused").code(), Code::PermissionDenied);
    let copied = browser.clone();
    let (jar, _, outcome) = web_call(&browser, true, "same-origin").await;
    outcome.expect("signed out");
    assert_eq!(jar.names().count(), 0);
    assert_eq!(
        web_call(&copied, false, "same-origin").await.2.expect_err("revoked").code(),
        Code::Unauthenticated
    );
}
