//! Pictures of the demo's page, in `target/screenshots`, for people to look at. With
//! `KEEP_PICTURES=1` the one in the README is taken anew.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

use crate::{
    demo::{Demo, WELCOME},
    driver::Browser,
    in_a_browser,
};

/// What the README shows of the page.
const README: &str = "readme";

fn folder() -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    let folder = test.ancestors().nth(3).expect("Cargo's folder").join("screenshots");
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// The whole page, as wide as this, in light or dark.
async fn photograph(browser: &Browser, name: &str, width: u32, scheme: &str) {
    let feature = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
    browser.devtools("Emulation.setEmulatedMedia", feature).await;
    browser.devtools("Emulation.setScrollbarsHidden", json!({"hidden": true})).await;
    let metrics = json!({"width": width, "height": if name == README { 860 } else { 800 }, "deviceScaleFactor": 1, "mobile": width < 600});
    browser.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
    let overflow = browser.run("return document.documentElement.scrollWidth - innerWidth").await;
    assert!(overflow.as_i64().expect("a number") <= 0, "{name} is {overflow} pixels too wide at {width}");
    // A dialog lies above what is in view, and the rest would look wrong.
    let whole = name != README && browser.run("return !document.querySelector('dialog[open]')").await == true;
    let options = json!({"format": "png", "captureBeyondViewport": whole});
    let picture = browser.devtools("Page.captureScreenshot", options).await;
    let bytes = STANDARD.decode(picture["data"].as_str().expect("a picture")).expect("base64");
    std::fs::write(folder().join(format!("{name}-{width}-{scheme}.png")), &bytes).expect("a file");
    if name == README && std::env::var_os("KEEP_PICTURES").is_some() {
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/demo");
        std::fs::write(kept.join(format!("page-{scheme}.png")), bytes).expect("a file");
    }
}

async fn photograph_all(browser: &Browser, name: &str) {
    for width in [1280, 390] {
        for scheme in ["light", "dark"] {
            photograph(browser, name, width, scheme).await;
        }
    }
}

in_a_browser! {
    async fn the_picture_in_the_readme_shows_a_burst_a_lost_answer_and_nobody_signed_out(browser) {
        let demo = Demo::start();
        demo.sign_in(&browser).await;
        browser.click("input[name=zoom][value='30'] + span").await;
        tokio::time::sleep(Duration::from_millis(5_500)).await;
        browser.click("[data-times='50']").await;
        browser.until("document.querySelector('#timeline .dot.rotated')").await;
        browser.until("!document.querySelector('.dot.waiting')").await;
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        browser.click("[data-get='/me']:not([data-times])").await;
        tokio::time::sleep(Duration::from_secs(4)).await;
        browser.click("#lose").await;
        browser.until("document.querySelector('#timeline .dot.lost')").await;
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        browser.click("[data-get='/me']:not([data-times])").await;
        browser.until("document.querySelector('#timeline > li:first-child .dot.replayed')").await;
        assert!(browser.run("return !document.querySelector('#timeline .dot.refused')").await == true);
        browser.run("scrollTo(0, 0)").await;
        for scheme in ["light", "dark"] {
            photograph(&browser, README, 1280, scheme).await;
        }
    }

    async fn the_page_of_the_demo_fits_wide_and_narrow_screens(browser) {
        let demo = Demo::start();
        browser.open(&demo.at("/")).await;
        browser.until("document.querySelector('#signin:not([hidden])')").await;
        photograph_all(&browser, "signed-out").await;
        browser.click("input[value=admin] + span").await;
        browser.click("#login button").await;
        browser.until(WELCOME).await;
        for _ in 0..3 {
            browser.click("[data-get='/me']:not([data-times])").await;
        }
        browser.click("[data-times='50']").await;
        browser.until("document.querySelector('#timeline .dots').childElementCount === 50").await;
        browser.until("!document.querySelector('.dot.waiting')").await;
        browser.click("[data-get='/status/500']").await;
        browser.until("!document.querySelector('.dot.waiting')").await;
        photograph_all(&browser, "signed-in").await;
        browser.click("#stop").await;
        browser.until("document.querySelector('#confirm').open").await;
        photograph_all(&browser, "dialog").await;
    }
}
