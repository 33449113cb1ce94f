//! Behind nginx: uploads it holds back, pages it keeps, hosts it renames, and what it says while the
//! application is away.
//!
//! Needs `nginx`, which `tests/servers/nginx` installs. The application runs in the test, by a clock
//! that stands still, with the default durations; nginx runs by its own.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "in a test, that is how things fail"
)]

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
