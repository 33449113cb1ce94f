//! Restarts of the browser and of the server.

use crate::{ACCESS_TTL, Profile, pass, site::Site};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_stays_bound_when_browser_and_server_restart() {
    let mut site = Site::on_disk().await;
    let profile = Profile::new();
    let browser = profile.open().await;
    site.sign_in_bound(&browser).await;
    // It writes its profile.
    browser.command("DELETE", "", serde_json::json!({})).await;
    drop(browser);
    pass(ACCESS_TTL).await;

    let browser = profile.open().await;
    let refreshes = site.refreshes();
    browser.open(&site.at("/page")).await;
    assert_eq!(browser.text().await, "page");
    assert!(site.refreshes() > refreshes, "it still has its key");

    site.restart().await;
    pass(ACCESS_TTL).await;
    let refreshes = site.refreshes();
    assert_eq!(browser.run("return (await fetch('/me')).text()").await, "true");
    assert!(site.refreshes() > refreshes);
    site.never_signed_out();
}
