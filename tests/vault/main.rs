//! A provider's own tokens: sealed in the store, renewed by one request.
#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test is a panic")]

mod failing;
mod interrupted;
mod kept;
mod keys;
mod provider;
mod renewal;
mod secrecy;
mod site;
