//! Services that only verify: which tokens they accept, where their keys come from, and what they know of revocations.

#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test is a panic")]

mod feed;
mod guards;
mod keys;
mod outage;
mod support;
mod tokens;
#[path = "../input/vectors.rs"]
#[expect(dead_code, reason = "not all keys are used here")]
mod vectors;
