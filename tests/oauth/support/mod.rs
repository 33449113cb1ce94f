//! An application that accepts cookies and bearer tokens, its clients, and a world around them.

mod client;
#[path = "../../flows/support/gate.rs"]
mod gate;
#[path = "../../flows/support/probe.rs"]
#[expect(dead_code, reason = "the browsers' tests need more of it")]
mod probe;
#[path = "../../support/records.rs"]
#[expect(dead_code, reason = "shared with the tests of stores")]
mod records;
mod world;

pub(crate) use self::{
    client::{Answer, Client},
    gate::Gate,
    probe::{Probe, Trouble},
    world::{Profile, World, form, idle, until},
};

/// The default durations in seconds: the access token's lifetime, the rotation interval, the grace
/// period, the write window.
pub(crate) const TTL: u64 = 300;
pub(crate) const ROTATION: u64 = 240;
pub(crate) const GRACE: u64 = 45;
pub(crate) const WINDOW: u64 = 60;
