//! The crate at its public API: browsers, a network that delays and loses, an application inside the
//! layer, a store that fails on demand, and a manual clock.
//!
//! Nothing sleeps, and nothing depends on task order: where two operations race, a gate holds one of them
//! until the test opens it.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed step must stop the test"
)]

mod support;

mod caches;
mod clock_ahead;
mod clock_steps;
mod clocks;
mod confirmation;
mod conflicts;
mod contract;
mod cookies;
mod crash;
mod cross_site;
mod custom_keys;
mod edges;
#[cfg(all(feature = "oauth", any(feature = "aws_lc_rs", feature = "rust_crypto")))]
mod encrypted;
mod feed;
mod follower;
mod form_post;
mod held;
mod keys;
mod layer;
mod limits;
mod lost;
mod nested;
mod oracle;
mod outage;
mod parallel;
mod races;
mod readable;
mod realms;
mod recent;
mod responses;
mod reuse;
mod revocation;
mod run_ids;
mod runtime;
mod settle;
mod sign_in;
mod sign_out;
