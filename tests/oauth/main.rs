//! Clients that keep their tokens themselves: bearer tokens on the layer, and the endpoints of the module
//! `oauth`. Nothing sleeps: the clock is manual, and the store waits at gates.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed step must stop the test"
)]

#[cfg(all(feature = "signals", any(feature = "aws_lc_rs", feature = "rust_crypto")))]
mod signals;
mod support;

mod bearer;
mod blind;
mod challenge;
mod elsewhere;
mod exchange;
mod expiry;
mod form;
mod grant;
mod introspect;
mod new_key;
mod outage;
mod revoke;
#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
mod service_token;
#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
#[path = "../input/vectors.rs"]
#[expect(dead_code, reason = "shared with the tests of input")]
mod vectors;
