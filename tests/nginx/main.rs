//! Behind nginx: buffered uploads, cached pages, rewritten hosts, and nginx's own responses while the
//! application is unavailable.
//!
//! Needs `nginx`, which `tests/servers/nginx` installs. The application runs in the test, with a manual
//! clock and the default durations. nginx uses the system clock.

#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test is a panic")]

mod app;
mod caching;
mod headers;
mod outages;
#[path = "../support/port.rs"]
mod port;
mod proxy;
mod retries;
mod site;
mod uploads;

#[path = "../support/client.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod client;
