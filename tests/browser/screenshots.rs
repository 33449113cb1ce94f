//! Pictures of the demo's page, in `target/screenshots`. `KEEP_PICTURES=1` takes the one in the README
//! anew, and stores a fingerprint of the page next to it. A test fails when the page has another
//! fingerprint, so the picture stays up to date.

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

/// The name of the README's picture.
const README: &str = "readme";

/// The command that takes the picture anew.
const COMMAND: &str = "cargo build --all-features --example demo && \
    KEEP_PICTURES=1 tests/servers/chromium cargo test --all-features --test browser screenshots";

fn beside_the_page(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/demo").join(name)
}

fn page() -> String {
    std::fs::read_to_string(beside_the_page("page.html")).expect("the page")
}

/// FNV-1a with 64 bits, in hex.
fn fingerprint(page: &str) -> String {
    let step = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", page.bytes().fold(0xcbf2_9ce4_8422_2325, step))
}

/// Checks that the demo was built with the current page.
async fn is_served(browser: &Browser) {
    let served = browser.run("return await (await fetch('/')).text()").await;
    let (served, page) = (served.as_str().expect("a text"), page());
    let (start, end) = page.split_once("__TIMING__").expect("where the lifetimes go");
    assert!(served.starts_with(start) && served.ends_with(end), "the demo has an old page: {COMMAND}");
}

fn folder() -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    let folder = test.ancestors().nth(3).expect("Cargo's folder").join("screenshots");
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

async fn resize(browser: &Browser, width: u32, height: u64) {
    let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
    browser.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
}

/// The whole page at this width, in light or dark.
async fn photograph(browser: &Browser, name: &str, width: u32, scheme: &str) {
    // Without motion, no animation is caught half way.
    let features = json!({"features": [
        {"name": "prefers-color-scheme", "value": scheme},
        {"name": "prefers-reduced-motion", "value": "reduce"},
    ]});
    browser.devtools("Emulation.setEmulatedMedia", features).await;
    browser.devtools("Emulation.setScrollbarsHidden", json!({"hidden": true})).await;
    resize(browser, width, 800).await;
    let overflow = browser.run("return document.documentElement.scrollWidth - innerWidth").await;
    assert!(overflow.as_i64().expect("a number") <= 0, "{name} is {overflow} pixels too wide at {width}");
    // The whole page. The README's picture ends below the legend and the message. A dialog covers only
    // the visible part, and the rest would look wrong.
    let height = match name {
        README => "$('legend').getBoundingClientRect().bottom + $('said').offsetHeight + 16",
        _ => "$('confirm').open ? innerHeight : document.documentElement.scrollHeight",
    };
    let height = browser.run(&format!("return Math.ceil({height})")).await.as_u64().expect("a height");
    resize(browser, width, height).await;
    browser.until("document.getAnimations().length === 0").await;
    browser.run("tick(); roll()").await;
    // Elements that scroll or move are drawn separately, and a frame after a resize may lack them.
    browser.devtools("Page.captureScreenshot", json!({"format": "png"})).await;
    let frames = "await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))";
    browser.run(frames).await;
    let picture = browser.devtools("Page.captureScreenshot", json!({"format": "png"})).await;
    let bytes = STANDARD.decode(picture["data"].as_str().expect("a picture")).expect("base64");
    std::fs::write(folder().join(format!("{name}-{width}-{scheme}.png")), &bytes).expect("a file");
    if name == README && std::env::var_os("KEEP_PICTURES").is_some() {
        std::fs::write(beside_the_page(&format!("page-{scheme}.png")), bytes).expect("a file");
        std::fs::write(beside_the_page("page.fingerprint"), fingerprint(&page()) + "\n").expect("a file");
    }
}

async fn photograph_all(browser: &Browser, name: &str) {
    for width in [1280, 360] {
        for scheme in ["light", "dark"] {
            photograph(browser, name, width, scheme).await;
        }
    }
}

#[test]
fn picture_in_the_readme_is_up_to_date() {
    if std::env::var_os("KEEP_PICTURES").is_some() {
        return; // The picture is being taken.
    }
    let kept = std::fs::read_to_string(beside_the_page("page.fingerprint")).unwrap_or_default();
    let as_it_is = fingerprint(&page());
    assert_eq!(
        kept.trim(),
        as_it_is,
        "examples/demo/page.html has changed; take its picture anew: {COMMAND}"
    );
}

in_a_browser! {
    async fn picture_in_the_readme_shows_a_burst_a_lost_response_and_no_sign_out(browser) {
        let demo = Demo::start();
        resize(&browser, 1280, 2_000).await;
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
        assert!(browser.run("return $('said').textContent.endsWith('The session goes on.')").await == true);
        is_served(&browser).await;
        browser.run("scrollTo(0, 0)").await;
        for scheme in ["light", "dark"] {
            photograph(&browser, README, 1280, scheme).await;
        }
    }

    async fn page_of_the_demo_fits_wide_and_narrow_screens(browser) {
        let demo = Demo::start();
        browser.open(&demo.at("/")).await;
        browser.until("document.querySelector('#signin:not([hidden])')").await;
        photograph_all(&browser, "signed-out").await;
        resize(&browser, 1280, 2_000).await;
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
        resize(&browser, 1280, 2_000).await;
        browser.click("#stop").await;
        browser.until("document.querySelector('#confirm').open").await;
        photograph_all(&browser, "dialog").await;
    }
}
