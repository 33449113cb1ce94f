//! The key ring: its steps, JWK Sets, key files, and the routes that show the public keys.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed step must stop the test"
)]

#[expect(dead_code, unused_imports, reason = "the flows use the rest")]
#[path = "../flows/support/mod.rs"]
mod support;

mod samples;

mod custom;
mod files;
mod order;
mod rotations;
mod routes;
mod sets;
mod steps;
