//! What the crate does at its public edge: browsers, a wire that delays and loses, an application
//! within the layer, a store that fails on cue, and a clock that only moves when it is told to.
//!
//! Nothing sleeps, and nothing depends on what runs first: where two things race, a gate holds one
//! of them until the other is where the test wants it.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "whatever goes wrong in a test had better stop it"
)]

mod support;

mod caches;
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
mod responses;
mod reuse;
mod revocation;
mod run_ids;
mod runtime;
mod settle;
mod sign_in;
mod sign_out;
