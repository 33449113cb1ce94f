//! Device-bound sessions in a real browser: Chromium 150, which makes its keys in software.
//!
//! Needs `tests/servers/chromium_150`, which unpacks that browser beside an installed one. All clocks are the system's,
//! and all lifetimes are seconds. The pages have no script that renews: only `fetch`, an `EventSource` and visits.
//! `DEVICE_OUTAGE` is the length of the outages in seconds.

#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test is a panic")]

mod copied;
#[path = "../browser/demo.rs"]
mod demo;
mod demo_page;
#[path = "../browser/driver.rs"]
#[expect(dead_code, reason = "shared with the tests in an ordinary browser")]
mod driver;
mod life;
mod lost;
mod outage;
mod restart;
mod site;

#[path = "../support/client.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod client;
#[path = "../support/failing_store.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod failing_store;

use std::{sync::Arc, time::Duration};

use self::driver::{Browser, Programs};

/// The lifetime of an access token.
const ACCESS_TTL: Duration = Duration::from_secs(3);

/// A profile for one browser after another.
struct Profile(Arc<tempfile::TempDir>);

impl Profile {
    fn new() -> Self {
        Self(Arc::new(tempfile::tempdir().expect("a folder")))
    }

    async fn open(&self) -> Browser {
        let [driver, browser] = ["TEST_CHROMEDRIVER_150", "TEST_CHROMIUM_150"].map(|name| {
            std::env::var_os(name)
                .unwrap_or_else(|| panic!("{name} is not set: run this by tests/servers/chromium_150"))
        });
        // Linux has no other keys than those in software.
        let flags = [
            "--enable-features=DeviceBoundSessions,EnableBoundSessionCredentialsSoftwareKeysForManualTesting",
        ];
        Browser::launch(&Programs { driver, browser: Some(browser) }, &self.0, &flags).await
    }
}

async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}
