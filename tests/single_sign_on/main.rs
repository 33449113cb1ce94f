//! Single sign-on with a real provider (`oidc-provider`), in Chromium.
//!
//! Run it by `tests/servers/oidc_provider tests/servers/chromium`. The application is on `localhost` and the provider
//! on `127.0.0.1`, so they are two sites. Two ports of `localhost` share their cookies: they are two instances of the
//! application.

#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test is a panic")]

#[path = "../support/client.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod client;
#[path = "../support/device_bound.rs"]
mod device_bound;
#[path = "../browser/driver.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod driver;
#[path = "../../examples/single_sign_on.rs"]
#[expect(dead_code, reason = "its `main` is not run here")]
mod example;
mod pictures;
mod site;
mod step_up;

use std::time::Duration;

use self::{
    driver::Browser,
    site::{Site, send},
};

const FORM: &str = "application/x-www-form-urlencoded";

/// The provider's page that asks for a name and a password.
const ASKS: &str = "document.querySelector('input[name=login]')";

/// Opens a page that needs a session, and signs in at the provider.
async fn sign_in(browser: &Browser, page: &str, name: &str) {
    browser.open(page).await;
    answer(browser, name).await;
    browser.until(&format!("document.title.startsWith({name:?})")).await;
}

/// Fills in the provider's forms.
async fn answer(browser: &Browser, name: &str) {
    browser.until(ASKS).await;
    let fill = format!(
        "document.querySelector('[name=login]').value = {name:?};
         document.querySelector('[name=password]').value = 'any';"
    );
    browser.run(&fill).await;
    browser.click("button[type=submit]").await;
    consent(browser).await;
}

/// The provider asks once for each client and session.
async fn consent(browser: &Browser) {
    browser
        .until("document.querySelector('[name=prompt][value=consent]') || location.hostname == 'localhost'")
        .await;
    if browser.run("return location.hostname").await != "localhost" {
        browser.click("button[type=submit]").await;
    }
}

async fn status(browser: &Browser, path: &str) -> u64 {
    let script = format!("return (await fetch({path:?}, {{ redirect: 'manual' }})).status");
    browser.run(&script).await.as_u64().expect("a status")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sign_out_here_ends_the_providers_session() {
    let (site, browser) = (Site::start().await, Browser::start().await);
    sign_in(&browser, &site.at("/account?x=1"), "alice").await;
    assert_eq!(browser.url().await, site.at("/account?x=1"));
    assert!(browser.text().await.contains("alice alice@example.com"));
    // The other instance knows the session.
    browser.open(&site.other("/account")).await;
    assert!(browser.text().await.contains("alice"));
    browser.open(&site.at("/account")).await;
    browser.click("#out").await;
    browser.until("document.title == 'Sign out at the provider?'").await;
    browser.click("#yes").await;
    browser.until("document.title == 'home'").await;
    assert_eq!(browser.url().await, site.at("/"));
    assert!(browser.cookies().await.iter().all(|cookie| !cookie["name"].to_string().contains("__Host-")));
    browser.click("#in").await;
    // The provider asks who it is, and does not sign the same user in again.
    browser.until(ASKS).await;
    assert!(browser.url().await.starts_with(&site.issuer));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sign_out_at_the_provider_ends_the_session_on_another_instance_within_a_second() {
    let (site, browser) = (Site::start().await, Browser::start().await);
    sign_in(&browser, &site.at("/account"), "alice").await;
    browser
        .run(
            "window.seen = []; const stream = new EventSource('/stream');
             stream.onmessage = () => window.seen.push('open');
             stream.addEventListener('ended', () => { window.seen.push('ended'); stream.close(); });",
        )
        .await;
    browser.until("window.seen.includes('open')").await;
    let here = browser.tab().await;
    browser.new_tab().await;
    browser.open(&format!("{}/session/end", site.issuer)).await;
    browser.click("#yes").await;
    // The provider has called the second instance before it answers.
    browser.until("document.title == 'Signed out at the provider'").await;
    browser.switch_to(&here).await;
    browser.until("window.seen.includes('ended')").await;
    let took = site.took();
    assert!(took < Duration::from_secs(1), "{took:?}");
    // A redirect to the sign-in.
    assert_eq!(status(&browser, "/account").await, 401);
    browser.reload().await;
    browser.until(ASKS).await;
    assert_eq!(site.requests("POST /auth/backchannel-logout").len(), 1);
    assert!(site.has_event("oidc_logged_out_by_provider/"));
    println!("sign-out at the provider ended the stream on another instance after {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tabs_that_sign_in_at_once_both_succeed() {
    let (site, browser) = (Site::start().await, Browser::start().await);
    browser.open(&site.at("/account?tab=1")).await;
    browser.until(ASKS).await;
    let first = browser.tab().await;
    browser.new_tab().await;
    browser.open(&site.at("/account?tab=2")).await;
    answer(&browser, "alice").await;
    browser.until("document.title.startsWith('alice')").await;
    assert_eq!(browser.url().await, site.at("/account?tab=2"));
    browser.switch_to(&first).await;
    answer(&browser, "alice").await;
    browser.until("document.title.startsWith('alice')").await;
    assert_eq!(browser.url().await, site.at("/account?tab=1"));
    assert_eq!(site.requests("GET /auth/sign-in/callback").len(), 2);
    assert_eq!(status(&browser, "/account").await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_browsers_of_one_user_sign_out_one_by_one() {
    let site = Site::start().await;
    let browsers = [Browser::start().await, Browser::start().await];
    for browser in &browsers {
        sign_in(browser, &site.at("/account"), "alice").await;
    }
    let [one, two] = &browsers;
    one.open(&format!("{}/session/end", site.issuer)).await;
    one.click("#yes").await;
    one.until("document.title == 'Signed out at the provider'").await;
    assert_eq!(status(two, "/account").await, 200);
    one.open(&site.at("/account")).await;
    one.until(ASKS).await;
    two.reload().await;
    assert!(two.text().await.contains("alice"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replayed_state_and_replayed_and_forged_logout_tokens_are_refused_with_an_event() {
    let (site, browser) = (Site::start().await, Browser::start().await);
    sign_in(&browser, &site.at("/account"), "alice").await;
    let callback = site.requests("GET /auth/sign-in/callback").pop().expect("a callback");
    browser.open(&site.at(callback.trim_start_matches("GET "))).await;
    assert!(browser.text().await.contains("oidc_unknown_attempt"));
    assert!(site.has_event("oidc_failed/attempt"));
    browser.open(&site.at("/account")).await;
    assert!(browser.text().await.contains("alice"), "the session stays");
    // Its `state` with a new code, in another browser.
    let other = Browser::start().await;
    other.open(&site.at(callback.trim_start_matches("GET "))).await;
    assert!(other.text().await.contains("oidc_unknown_attempt"));
    browser.open(&format!("{}/session/end", site.issuer)).await;
    browser.click("#yes").await;
    browser.until("document.title == 'Signed out at the provider'").await;
    let request = site.requests("POST /auth/backchannel-logout").pop().expect("a logout request");
    let body = request.trim_start_matches("POST /auth/backchannel-logout ").to_owned();
    // Sign in again. A copy of the token does not end the new session.
    sign_in(&browser, &site.at("/account"), "alice").await;
    for (body, event) in [
        (body.clone(), "oidc_logout_token_refused/replayed"),
        (forged(&body), "oidc_logout_token_refused/signature"),
    ] {
        let (status, answer) = send("POST", &site.other("/auth/backchannel-logout"), FORM, body).await;
        assert_eq!((status, &answer["error"]), (400, &"invalid_request".into()));
        assert!(site.has_event(event), "{event}");
    }
    assert_eq!(status(&browser, "/account").await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strict_cookies_reach_the_page_after_the_sign_in() {
    let site = Site::with(|cookies| cookies.same_site_strict()).await;
    let browser = Browser::start().await;
    sign_in(&browser, &site.at("/account?a=1&b=2"), "alice").await;
    assert_eq!(browser.url().await, site.at("/account?a=1&b=2"));
    assert_eq!(site.requests("GET /auth/sign-in?").len(), 1, "one sign-in was enough");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn user_who_is_locked_at_the_provider_is_refused_at_the_next_renewal() {
    let (site, browser) = (Site::start().await, Browser::start().await);
    sign_in(&browser, &site.at("/account"), "dave").await;
    site.sessions.mark_stale("dave").await.expect("marked");
    assert_eq!(status(&browser, "/account").await, 200, "the provider was asked");
    let (locked, _) = send("POST", &format!("{}/test/lock/dave", site.issuer), FORM, String::new()).await;
    assert_eq!(locked, 204);
    site.sessions.mark_stale("dave").await.expect("marked");
    assert_eq!(status(&browser, "/account").await, 401);
    assert!(site.has_event("session_revoked_by_application/"));
}

/// The same with another signature.
fn forged(body: &str) -> String {
    let (signed, signature) = body.rsplit_once('.').expect("a token");
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{signed}.{first}{}", &signature[1..])
}
