//! The demo's page in a browser that binds sessions.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

use crate::{Profile, demo::Demo};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn page_shows_the_binding_and_why_a_copy_of_the_cookies_is_refused() {
    let demo = Demo::start();
    let browser = Profile::new().open().await;
    let metrics = json!({"width": 1200, "height": 900, "deviceScaleFactor": 1, "mobile": false});
    browser.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
    demo.sign_in(&browser).await;
    // The page sends no request of its own.
    browser.run("window.asking = setInterval(() => run('/me', { quiet: true }), 500)").await;
    browser.until("document.querySelector('#bound:not([hidden])')").await;
    browser.run("clearInterval(asking)").await;
    // The message at the bottom may cover the buttons.
    browser.run("document.querySelector('#steal').click()").await;
    browser.until("document.querySelector('#use-copy:not([hidden])')").await;
    browser.run("document.querySelector('#use-copy').click()").await;
    browser
        .until(
            "document.querySelector('#said').innerText.includes('bound to this device, and the copy cannot')",
        )
        .await;

    let test = std::env::current_exe().expect("a path");
    let folder = test.ancestors().nth(3).expect("Cargo's folder").join("screenshots");
    std::fs::create_dir_all(&folder).expect("a folder");
    let picture = browser.devtools("Page.captureScreenshot", json!({"format": "png"})).await;
    let picture = STANDARD.decode(picture["data"].as_str().expect("a text")).expect("base64");
    std::fs::write(folder.join("demo-bound.png"), picture).expect("a file");

    // The browser goes on.
    browser.run("await run('/me')").await;
    browser.until("document.querySelector('#name').innerText === 'Signed in as alice'").await;
}
