//! A session from its sign-in to its sign-out.

use std::time::{Duration, Instant};

use tower_sliding_sessions::{EventKind, Renewed};

use crate::{
    ACCESS_TTL, Profile, pass,
    site::{Site, fetch},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bound_session_outlives_its_access_tokens_and_ends_with_the_sign_out() {
    let site = Site::start().await;
    let browser = Profile::new().open().await;
    site.sign_in_bound(&browser).await;
    let renewed_plainly = site.events(|kind| matches!(kind, EventKind::Renewed(_)));

    browser.open(&site.at("/page")).await;
    browser
        .run("window.heard = []; window.stream = new EventSource('/stream');
              for (const name of ['message', 'ended']) stream.addEventListener(name, it => heard.push(it.data));
              stream.onerror = () => heard.push('error');")
        .await;
    let first = browser.tab().await;
    let second = browser.new_tab().await;
    browser.open(&site.at("/page")).await;

    let (start, refreshes) = (Instant::now(), site.refreshes());
    while start.elapsed() < ACCESS_TTL * 7 / 2 {
        browser.switch_to(&first).await;
        assert_eq!(fetch(&browser, "/me").await, 200);
        browser.switch_to(&second).await;
        browser.open(&site.at("/page")).await;
        let together =
            "return Promise.all(['/me', '/me', '/page', '/me'].map(it => fetch(it).then(it => it.status)))";
        assert_eq!(browser.run(together).await, serde_json::json!([200, 200, 200, 200]));
        pass(Duration::from_millis(700)).await;
    }
    assert!(site.refreshes() >= refreshes + 3, "it proved its key for each access token");
    assert!(site.events(|kind| matches!(kind, EventKind::Renewed(_))) > renewed_plainly);
    assert!(site.events(|kind| *kind == EventKind::Renewed(Renewed::Rotated)) > 0);
    assert_eq!(site.events(|kind| matches!(kind, EventKind::DeviceConfirmed)), 1);
    site.never_signed_out();

    browser.switch_to(&first).await;
    assert_eq!(browser.run("return heard").await, serde_json::json!(["open"]));
    // A request without a session, which the layer's statistics do not need.
    assert_eq!(browser.run("return (await fetch('/logout', {method: 'POST'})).status").await, 200);
    browser.until("heard.includes('ended')").await;
    browser.run("stream.close()").await;
    assert_eq!(fetch(&browser, "/me").await, 401);
    // The browser has forgotten the session: it asks for no refresh.
    let requests = site.seen().len();
    pass(ACCESS_TTL).await;
    assert_eq!(fetch(&browser, "/me").await, 401);
    let later: Vec<_> = site.seen().split_off(requests);
    assert!(later.iter().all(|seen| seen.line == "GET /me"), "{later:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn excluded_path_needs_no_refresh() {
    let site = Site::start().await;
    let browser = Profile::new().open().await;
    site.sign_in_bound(&browser).await;
    pass(ACCESS_TTL + Duration::from_secs(1)).await;
    let requests = site.seen().len();
    browser.open(&site.at("/static/page")).await;
    let later: Vec<_> = site.seen().split_off(requests);
    assert!(later.iter().all(|seen| seen.line == "GET /static/page"), "{later:#?}");
}
