//! Copied cookies, used by another client that does not have the browser's key.

use std::time::{Duration, Instant};

use tower_sliding_sessions::EventKind;

use crate::{
    ACCESS_TTL, Profile,
    client::Client,
    driver::Browser,
    pass,
    site::{REFRESH, Site, fetch},
};

/// The browser's cookies, as a `Cookie` header.
async fn copy(browser: &Browser) -> String {
    let cookies = browser.cookies().await;
    let pairs = cookies.iter().map(|cookie| {
        let [name, value] = ["name", "value"].map(|part| cookie[part].as_str().expect("a text"));
        format!("{name}={value}")
    });
    pairs.collect::<Vec<_>>().join("; ")
}

/// What the copy gets at each place that could renew the session.
async fn used(site: &Site, cookies: &str) -> Vec<(String, u16)> {
    let client = Client::to(site.address());
    let jar = crate::client::Jar::default();
    let refresh = cookies.split("; ").find_map(|pair| pair.strip_prefix("__Host-refresh=")).expect("a token");
    let form = format!("grant_type=refresh_token&refresh_token={refresh}");
    let mut answers = Vec::new();
    for (line, headers, body) in [
        ("GET /me", vec![("cookie", cookies)], ""),
        ("GET /page", vec![("cookie", cookies), ("sec-fetch-mode", "navigate")], ""),
        ("GET /me", vec![("cookie", cookies), ("secure-session-skipped", "unreachable")], ""),
        (REFRESH, vec![("cookie", cookies)], ""),
        ("POST /token", vec![("content-type", "application/x-www-form-urlencoded")], form.as_str()),
    ] {
        let (method, path) = line.split_once(' ').expect("two words");
        let answer = client.send(method, path, &jar, body, &headers).await;
        assert!(answer.set_cookies.iter().all(|line| line.contains("Max-Age=0")), "{line}: {answer:?}");
        answers.push((line.to_owned(), answer.status.as_u16()));
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copied_cookies_are_refused_once_their_access_token_has_expired() {
    let site = Site::start().await;
    let browser = Profile::new().open().await;
    site.sign_in(&browser).await;
    // Before the binding is confirmed, just after, and after a rotation.
    let mut copies = vec![copy(&browser).await];
    site.sign_in_bound(&browser).await;
    copies.push(copy(&browser).await);
    let start = Instant::now();
    while start.elapsed() < ACCESS_TTL * 2 {
        assert_eq!(fetch(&browser, "/me").await, 200);
        pass(Duration::from_millis(500)).await;
    }
    copies.push(copy(&browser).await);
    pass(ACCESS_TTL + Duration::from_secs(1)).await;

    let missing = |kind: &EventKind| matches!(kind, EventKind::DeviceProofMissing);
    for cookies in copies.iter().chain(&copies) {
        for (line, status) in used(&site, cookies).await {
            assert!((400..=503).contains(&status), "{line} answers {status}");
        }
        // The owner notices nothing.
        assert_eq!(browser.run("return (await fetch('/me')).text()").await, "true");
    }
    assert!(site.events(missing) > 0, "a warning says so");
    assert_eq!(site.events(|kind| *kind == EventKind::ReuseDetected), 0);
    pass(ACCESS_TTL).await;
    assert_eq!(browser.run("return (await fetch('/me')).text()").await, "true");
}
