//! Checks a history against what the crate promises. A pure function: the history in, the violations out.

mod facts;
mod revoked;
mod signed_in;
mod stored;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt, time::Duration};

use tower_sliding_sessions::protocol::Timing;

use self::facts::Facts;
use crate::{
    history::{Op, Process, What},
    instance::INSTANCES,
};

/// The settings of the instances, and what the world keeps to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Assumptions {
    pub(crate) timing: Timing,
    pub(crate) store_deadline: Duration,
    pub(crate) feed_lag_bound: Duration,
    pub(crate) ride_through: Duration,
    /// How long a revocation takes to an instance that no fault keeps from the store.
    pub(crate) lag: Duration,
    /// How long after a fault an instance follows the feed again.
    pub(crate) recovery: Duration,
    /// `D`: how long a request or a response is on its way.
    pub(crate) on_the_way: Duration,
    /// `S`: how far the clocks of two instances are apart.
    pub(crate) clocks_apart: Duration,
}

/// How long an answer of the feed is on its way, at most: the faults make none slower. An instance counts the feed as
/// read when the answer arrives.
const FEED_ANSWER: Duration = Duration::from_millis(600);
/// Times in access tokens are whole seconds.
const ROUNDING: Duration = Duration::from_secs(1);
/// A request may join a renewal whose last answer has just come.
const SHARED: Duration = Duration::from_millis(500);
/// After a failover that lost writes, instances write the revocations that they know again: within two seconds after
/// they have read the feed.
pub(crate) const WRITTEN_AGAIN: Duration = Duration::from_secs(8);
/// A call that got no answer takes effect within this time, or never: no fault lasts longer.
pub(crate) const LATE_EFFECT: Duration = Duration::from_secs(12);

impl Assumptions {
    /// One instance of three rides outages through instead.
    pub(crate) const fn asks_when_lagging(&self, process: Process) -> bool {
        process % INSTANCES != INSTANCES - 1
    }

    /// How long an instance may serve a session after its revocation was acknowledged, when a fault keeps it from the
    /// store. It asks the store once its feed lags, or it accepts an access token until that expires.
    fn bound_of_outage(&self, process: Process) -> Duration {
        let Self { timing, feed_lag_bound, ride_through, clocks_apart, store_deadline, .. } = *self;
        if self.asks_when_lagging(process) {
            // A request that began to ask just before.
            feed_lag_bound + FEED_ANSWER + store_deadline
        } else {
            timing.access_ttl + ROUNDING + clocks_apart + ride_through
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    /// No instance serves a session later than the bound after its revocation was acknowledged.
    RevokedSessionIsNotServed,
    /// The store answers with a revocation that it acknowledged.
    AcknowledgedRevocationIsReadBack,
    /// The store never answers with an older run ID than one that it acknowledged.
    AcknowledgedRunIdIsKept,
    /// The store never answers with an older generation than it acknowledged.
    AcknowledgedRotationIsKept,
    /// Of the rotations from one generation, one applies.
    OneSuccessorPerGeneration,
    /// A legitimate client is signed out by a revocation or a timeout only.
    LegitimateClientStaysSignedIn,
    /// A refresh token that is two generations old is refused.
    SupersededTokenIsRefused,
    /// A response sets cookies only after an answer of the store that allows it.
    NoMintWithoutTheStore,
    /// After the last fault, every instance serves new sessions.
    InstancesRecover,
}

/// A broken rule, and the operations concerned, by their place in the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) rule: Rule,
    pub(crate) ops: Vec<usize>,
}

/// All violations, those of the fewest operations first.
pub(crate) fn check(history: &[Op], assumptions: &Assumptions) -> Vec<Violation> {
    let facts = Facts::of(history);
    let mut found = revoked::check(&facts, assumptions);
    found.extend(stored::check(&facts));
    found.extend(signed_in::check(&facts, assumptions));
    let unrecovered = history.iter().enumerate().filter(|(_, op)| matches!(op.what, What::Recovered(false)));
    found.extend(unrecovered.map(|(at, _)| Violation { rule: Rule::InstancesRecover, ops: vec![at] }));
    for violation in &mut found {
        violation.ops.sort_unstable();
        violation.ops.dedup();
    }
    found.sort_by_key(|violation| (violation.ops.len(), violation.ops.clone()));
    found
}

/// The number of sessions with a message that was on its way for too long.
pub(crate) fn late_sessions(history: &[Op], assumptions: &Assumptions) -> usize {
    signed_in::late_messages(&Facts::of(history), assumptions).len()
}

/// The violations with their operations, for the message of a failed test.
pub(crate) struct Report<'h> {
    pub(crate) history: &'h [Op],
    pub(crate) violations: &'h [Violation],
    pub(crate) how_to_repeat: &'h str,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 5;
        writeln!(f, "{} violations; repeat with {}", self.violations.len(), self.how_to_repeat)?;
        let mut counts = BTreeMap::<_, usize>::new();
        self.violations.iter().for_each(|violation| *counts.entry(violation.rule).or_default() += 1);
        writeln!(f, "{counts:?}")?;
        for Violation { rule, ops } in self.violations.iter().take(SHOWN) {
            writeln!(f, "{rule:?}:")?;
            for op in ops.iter().filter_map(|op| self.history.get(*op)) {
                writeln!(f, "    {op}")?;
            }
        }
        Ok(())
    }
}
