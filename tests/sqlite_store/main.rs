//! The SQLite store: the conformance suite, and what only a file can do. Needs only Cargo: the files are
//! in a temporary folder and are deleted.

#![expect(clippy::expect_used, clippy::panic, reason = "a failed test is a panic")]

mod figures;
mod file;
mod greedy;
mod many;
mod process;
mod scale;
mod settings;
mod trouble;

#[path = "../support/records.rs"]
mod records;

mod suite {
    tower_sliding_sessions::store_conformance!(super::file::fresh);
}
