//! Device-bound sessions: a client of the protocol that behaves as browsers do, with real keys, and clients that do not.
//!
//! The clock is manual, and nothing sleeps.

#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test is a panic")]

mod browser;
mod key;
mod registration;
mod world;
