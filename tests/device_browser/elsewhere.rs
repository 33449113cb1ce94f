//! Other sites that lead to this one, or send requests to it.

use std::time::Duration;

use crate::{
    ACCESS_TTL, Profile, pass,
    site::{Site, fetch},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_and_requests_from_another_site_cost_no_binding() {
    let site = Site::start().await;
    let browser = Profile::new().open().await;
    site.sign_in_bound(&browser).await;
    let elsewhere = format!("http://127.0.0.1:{}/static/page", site.address().port());
    let page = site.at("/page");

    // A link, with an access cookie that has run out.
    browser.open(&elsewhere).await;
    pass(ACCESS_TTL + Duration::from_secs(1)).await;
    browser.run(&format!("setTimeout(() => location.href = '{page}')")).await;
    browser
        .until(&format!("location.href === '{page}' && document.querySelector('h1')?.innerText === 'page'"))
        .await;

    // Requests of another site have no cookies, and are refused.
    browser.open(&elsewhere).await;
    pass(ACCESS_TTL + Duration::from_secs(1)).await;
    let me = site.at("/me");
    for options in [
        "{mode: 'no-cors', credentials: 'include'}",
        "{mode: 'no-cors', method: 'POST', credentials: 'include'}",
    ] {
        browser.run(&format!("await fetch('{me}', {options}).catch(() => 0)")).await;
    }

    // The browser still has its key.
    browser.open(&page).await;
    assert_eq!(browser.text().await, "page", "{:#?}", site.seen());
    let refreshes = site.refreshes();
    pass(ACCESS_TTL).await;
    assert_eq!(browser.run("return (await fetch('/me')).text()").await, "true");
    assert!(site.refreshes() > refreshes, "{:#?}", site.seen());
    assert_eq!(fetch(&browser, "/page").await, 200);
}
