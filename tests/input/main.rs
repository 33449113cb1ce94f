//! What strangers send: forged tokens, odd cookies, bad keys. Whatever it is, the answer is the one
//! that a request without cookies gets, at no cost to the store, and legitimate clients notice nothing.
//!
//! `cargo test --test input -- --nocapture` tells the seeds of the random tests; `INPUT_SEED`
//! chooses another.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "in a test, that is how things fail"
)]

#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
mod asymmetric;
mod chance;
mod claims;
mod cookies;
mod debug;
mod elsewhere;
mod encoding;
mod forge;
mod fuzz;
mod headers;
mod keys;
mod leaks;
#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
mod pem;
#[cfg(feature = "tracing")]
mod scribe;
mod store;
#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
mod vectors;
mod world;
