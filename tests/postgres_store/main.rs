//! The PostgreSQL store: the conformance suite, and what only a server can do. Needs a server:
//! `tests/run` starts one, and `tests/servers/postgres` runs a command with one.

#![expect(clippy::expect_used, clippy::panic, reason = "a failed test is a panic")]

mod administrator;
mod figures;
mod greedy;
mod hosts;
mod many;
mod scale;
mod server;
mod settings;
mod upgrade;

#[path = "../support/records.rs"]
mod records;

mod suite {
    tower_sliding_sessions::store_conformance!(super::server::fresh);
}
