//! What every flow needs: an application, browsers, a network between them, and a world with a manual
//! clock and a store that fails on demand.

mod answer;
mod app;
mod browser;
mod gate;
mod people;
mod probe;
#[path = "../../support/records.rs"]
#[expect(dead_code, reason = "shared with the tests of stores")]
mod records;
mod world;

pub(crate) use self::{
    answer::{Answer, claims_of},
    app::Profile,
    browser::{Browser, Sent},
    gate::Gate,
    probe::{Probe, Trouble},
    records::read,
    world::{Instance, World, idle, keys, until},
};

/// The names of the cookies, unless a test sets others.
pub(crate) const ACCESS: &str = "__Host-access";
pub(crate) const REFRESH: &str = "__Host-refresh";

/// The default durations in seconds: the access token's lifetime, which is the rotation interval too; the
/// grace period; the write window; the idle timeout; the absolute timeout.
pub(crate) const TTL: u64 = 300;
pub(crate) const GRACE: u64 = 45;
pub(crate) const WINDOW: u64 = 60;
pub(crate) const IDLE: u64 = 2 * 3600;
pub(crate) const ABSOLUTE: u64 = 24 * 3600;
