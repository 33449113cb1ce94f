//! A provider's own tokens: sealed in the store, renewed by one request.
#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test is a panic")]

#[path = "../support/failing_store.rs"]
#[expect(dead_code, reason = "other targets need the rest")]
mod failing_store;
mod interrupted;
mod kept;
mod keys;
mod provider;
mod renewal;
mod secrecy;
mod site;
