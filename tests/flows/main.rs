//! What the crate does at its public edge: browsers, a wire that delays and loses, an application
//! within the layer, a store that fails on cue, and a clock that only moves when it is told to.
//!
//! Nothing sleeps, and nothing depends on what runs first: where two things race, a gate holds one
//! of them until the other is where the test wants it.

#[cfg(test)]
mod support;

mod caches;
mod clocks;
mod confirmation;
mod contract;
mod cookies;
mod cross_site;
mod keys;
mod layer;
mod limits;
mod lost;
mod oracle;
mod outage;
mod parallel;
mod races;
mod realms;
mod responses;
mod revocation;
mod settle;
mod sign_in;
mod theft;
