//! Sessions and their users: changed claims, origins, re-authentication, devices and lifetimes. All at
//! the public API, with a manual clock, and gates where two operations race.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed step must stop the test"
)]

#[expect(dead_code, unused_imports, reason = "the flows use the rest")]
#[path = "../flows/support/mod.rs"]
mod support;

#[cfg(feature = "tracing")]
#[path = "../input/scribe.rs"]
mod scribe;

mod directory;
mod many;
mod near;

mod cap;
mod deploys;
mod devices;
mod ended;
mod events;
mod hooks;
mod in_between;
mod late_news;
mod leaks;
mod lifetimes;
mod origin;
mod passive;
mod passive_trouble;
#[cfg(feature = "tracing")]
mod records;
mod redirects;
mod reload;
mod reload_trouble;
mod reuse;
mod routes;
mod sign_ins;
mod stale;
mod step_up;
mod step_up_elsewhere;
mod unreadable;
mod update;
mod update_trouble;
