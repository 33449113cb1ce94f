//! Rules about revoked sessions.

use super::{Assumptions, Facts, LONGEST_FAILOVER, Rule, Violation, WRITTEN_AGAIN};
use crate::history::{Fault, From};

pub(super) fn check(facts: &Facts<'_>, assumptions: &Assumptions) -> Vec<Violation> {
    let mut found = served(facts, assumptions);
    found.extend(superseded(facts));
    found
}

fn served(facts: &Facts<'_>, assumptions: &Assumptions) -> Vec<Violation> {
    let mut found = Vec::new();
    for (at, op, request) in facts.requests() {
        if request.answered.is_none_or(|(_, status)| status != 200) {
            continue;
        }
        for (revoked, since) in facts.acknowledged(request.carried.session, request.carried.run) {
            let (from, to) = (since.saturating_sub(assumptions.recovery), request.arrived);
            let is_outage = || facts.had_fault(Some(op.process), Fault::is_outage, from, to);
            let may_be_lost = || facts.had_fault(None, |it| it == Fault::StaleFailover, from, since);
            let bound = if revoked.process == op.process {
                // The instance that acknowledged it knows it.
                std::time::Duration::ZERO
            } else if may_be_lost() {
                LONGEST_FAILOVER + WRITTEN_AGAIN + assumptions.bound_of_outage(op.process)
            } else if is_outage() {
                assumptions.lag.max(assumptions.bound_of_outage(op.process))
            } else {
                assumptions.lag
            };
            if request.arrived > since + bound {
                let sign_in = facts.sign_ins.get(&request.carried.session).map(|it| it.op);
                let ops = sign_in.into_iter().chain([revoked.op, at]).collect();
                found.push(Violation { rule: Rule::RevokedSessionIsNotServed, ops });
                break;
            }
        }
    }
    found
}

/// A rotation requires that the generation before was confirmed longer than a grace period ago, so after two
/// rotations the first token is refused.
fn superseded(facts: &Facts<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for (at, _, request) in facts.requests().filter(|(.., request)| request.from == From::Copy) {
        if request.answered.is_none_or(|(_, status)| status != 200) {
            continue;
        }
        let calls = facts.calls.get(&request.carried.session).into_iter().flatten();
        let later = calls.clone().find(|call| {
            let generation = call.answer.record.map(|record| record.generation);
            call.done < request.arrived && generation.is_some_and(|it| it >= request.carried.generation + 2)
        });
        if let Some(later) = later {
            found.push(Violation { rule: Rule::SupersededTokenIsRefused, ops: vec![later.op, at] });
        }
    }
    found
}
