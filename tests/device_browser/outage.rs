//! Refreshes that fail for a while, and a store that is unavailable.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use crate::{
    ACCESS_TTL, Profile,
    driver::Browser,
    pass,
    site::{Site, fetch},
};

/// Longer than an access token lives, so that the browser needs a refresh meanwhile.
fn outage() -> Duration {
    let seconds = std::env::var("DEVICE_OUTAGE").map_or(5, |value| value.parse().expect("seconds"));
    Duration::from_secs(seconds)
}

/// Requests and visits during the outage; then the session works again. `reloads`: the page of the visit loads again,
/// and the user does nothing.
async fn survives(site: &Site, browser: &Browser, reloads: bool, set: impl Fn(bool)) {
    browser.open(&site.at("/page")).await;
    set(true);
    let (start, mut refused) = (Instant::now(), 0);
    while start.elapsed() < outage() {
        let status = fetch(browser, "/me").await;
        assert!(status == 200 || status == 503, "{status}");
        refused += usize::from(status == 503);
        pass(Duration::from_millis(500)).await;
    }
    assert!(refused > 0, "the access token expired meanwhile");
    browser.open(&site.at("/page")).await;
    assert_ne!(browser.text().await, "page");
    set(false);
    if !reloads {
        browser.reload().await;
    }
    browser.until("document.querySelector('h1')?.innerText === 'page'").await;
    assert_eq!(fetch(browser, "/me").await, 200);
    pass(ACCESS_TTL).await;
    let refreshes = site.refreshes();
    assert_eq!(browser.run("return (await fetch('/me')).text()").await, "true");
    assert!(site.refreshes() > refreshes);
    site.never_signed_out();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_survives_refreshes_that_answer_503() {
    let site = Site::start().await;
    let browser = Profile::new().open().await;
    site.sign_in_bound(&browser).await;
    survives(&site, &browser, true, |on| site.switches.refresh_fails.store(on, Ordering::SeqCst)).await;
    assert!(site.seen().iter().any(|seen| seen.skipped.starts_with("server_error")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_survives_an_unavailable_store() {
    let site = Site::start().await;
    let browser = Profile::new().open().await;
    site.sign_in_bound(&browser).await;
    let operations = ["get", "replace", "advance"];
    survives(&site, &browser, false, |on| site.store.fail(if on { &operations } else { &[] })).await;
}
