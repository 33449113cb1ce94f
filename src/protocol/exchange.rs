//! Which tokens a client without cookies is answered with.

use super::{Departure, Family, Policy, Settlement, settle};
use crate::time::Timestamp;

/// The tokens of a response to a client that keeps them itself, and takes whatever comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// None: it is too late for any, or the session ended meanwhile. The client asks again.
    Nothing,
    /// An access token. The client goes on with the refresh token that it presented (RFC 6749,
    /// section 6, lets a response leave it out), since another one may be on its way to it.
    AccessOnly,
    /// Both.
    Both,
}

/// Decides about the tokens when an exchange is answered, for a session that was at `family` when
/// it was read at `read_at`.
///
/// It is [`settle`] with one liberty: clients expect a refresh token with every answer, so one that
/// is no newer than the presented one is repeated **while no rotation can take place before the
/// answer has arrived**. Later than that it might take the place of its own successor.
#[must_use]
pub fn exchange(
    policy: &Policy,
    departure: &Departure,
    family: &Family,
    read_at: Timestamp,
    now: Timestamp,
) -> Exchange {
    let timing = policy.timing();
    // A generation that nobody had seen in use is confirmed no sooner than it was read.
    let rotation_due = family.confirmed_at.unwrap_or(read_at) + timing.rotation_interval;
    match settle(policy, departure, now) {
        Settlement::WriteBoth => Exchange::Both,
        Settlement::WriteAccess if now + timing.grace < rotation_due => Exchange::Both,
        Settlement::WriteAccess => Exchange::AccessOnly,
        Settlement::LeaveAlone | Settlement::WriteRefresh => Exchange::Nothing,
    }
}
