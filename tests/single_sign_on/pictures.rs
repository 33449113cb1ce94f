//! Pictures of the pages of this crate, in `target/screenshots`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

use crate::{driver::Browser, site::Site};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_about_problems_are_shown_without_scripts_and_fit_a_phone() {
    let (site, browser) = (Site::start().await, Browser::start().await);
    let folder = std::env::current_exe().expect("a path");
    let folder = folder.ancestors().nth(3).expect("Cargo's folder").join("screenshots");
    std::fs::create_dir_all(&folder).expect("a folder");
    for width in [390, 1200] {
        let metrics = json!({"width": width, "height": 700, "deviceScaleFactor": 1, "mobile": width < 600});
        browser.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
        browser.open(&site.at("/auth/sign-in/callback?state=unknown-state&code=c")).await;
        let text = browser.text().await;
        assert!(text.contains("This sign-in is over") && text.contains("oidc_unknown_attempt"), "{text}");
        let style = browser.run("return getComputedStyle(document.body).maxWidth").await;
        assert_eq!(style, "512px", "the policy of the page admits its style");
        let fits = browser.run("return document.documentElement.scrollWidth <= innerWidth").await;
        assert_eq!(fits, true);
        let picture = browser.devtools("Page.captureScreenshot", json!({})).await;
        let picture = STANDARD.decode(picture["data"].as_str().expect("a picture")).expect("base64");
        std::fs::write(folder.join(format!("oidc-problem-{width}.png")), picture).expect("written");
    }
    browser.click("a").await;
    browser.until("document.querySelector('input[name=login]')").await;
}
