//! Device-bound sessions: a client of the protocol that behaves as browsers do, with real keys, and clients that do
//! not.
//!
//! The clock is manual, and nothing sleeps.

#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test is a panic")]

mod answers;
mod browser;
mod copied;
mod edges;
#[path = "../support/failing_store.rs"]
#[expect(dead_code, reason = "shared with the tests of other features")]
mod failing_store;
mod key;
mod passive;
mod proofs;
mod registration;
mod settings;
mod tokens;
#[expect(dead_code, reason = "shared with the tests over servers")]
mod world;
