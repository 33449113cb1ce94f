//! The cookies in a real browser: Chromium, driven over WebDriver.
//!
//! Needs `chromium` and `chromedriver`, which `tests/servers/chromium` installs. Most tests drive their
//! own application with a manual clock; some drive processes of the demo with the system clock.
//! `http://localhost` and `http://127.0.0.1` are two sites. Two ports of one host are one site with two
//! origins.

#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test is a panic")]

mod app;
mod arrival;
mod cross_site;
mod demo;
#[path = "../support/device_bound.rs"]
mod device_bound;
mod driver;
mod ended;
mod fronts;
mod login;
mod parallel;
mod planted;
mod renewal;
mod same_site;
mod screenshots;
mod sign_out;
mod site;
mod sizes;
mod worker;

#[path = "../support/client.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod client;

/// Declares tests that run with their own browser, on two threads: the browser's and the site's.
macro_rules! in_a_browser {
    ($($(#[$meta:meta])* async fn $name:ident($browser:ident) $body:block)*) => {
        $($(#[$meta])*
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let $browser = $crate::driver::Browser::start().await;
            $body
        })*
    };
}
use in_a_browser;
