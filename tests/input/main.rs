//! Input from an attacker: forged tokens, malformed cookies, invalid keys. Each request gets the response
//! of a request without cookies, makes no store call, and does not affect legitimate clients.
//!
//! `cargo test --test input -- --nocapture` prints the seeds of the random tests. `INPUT_SEED` sets
//! another.

#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test is a panic")]

#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
mod asymmetric;
mod chance;
mod claims;
mod cookies;
mod debug;
mod elsewhere;
mod encoding;
#[cfg(feature = "rust_crypto")]
mod encrypted;
mod forge;
mod fuzz;
mod headers;
mod keys;
mod leaks;
#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
mod pem;
#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
mod public_keys;
#[cfg(feature = "tracing")]
mod scribe;
mod store;
#[cfg(all(feature = "verify", any(feature = "aws_lc_rs", feature = "rust_crypto")))]
mod twin;
#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
mod vectors;
mod world;
