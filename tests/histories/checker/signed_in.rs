//! The rule about legitimate clients.

use std::collections::HashMap;

use tower_sliding_sessions::SessionId;

use super::{Assumptions, Facts, Rule, Violation};
use crate::history::{Fault, From, Op, Request, Time, Token, What};

/// A client gets 401 only if a revocation may have revoked its session, a copy of its token was used, or an assumption
/// of the policy was broken: a message was on its way for too long, a clock was an hour off, the store lost data.
pub(super) fn check(facts: &Facts<'_>, assumptions: &Assumptions) -> Vec<Violation> {
    let late = late_messages(facts, assumptions);
    let mut found = Vec::new();
    let mut reported: HashMap<SessionId, usize> = HashMap::new();
    for (at, _, request) in facts.requests() {
        let Some((answered, 401)) = request.answered else { continue };
        let carried = request.carried;
        if request.from == From::Client
            && is_legitimate(facts, &late, carried, answered)
            && reported.insert(carried.session, at).is_none()
        {
            let sign_in = facts.sign_ins.get(&carried.session).map(|it| it.op);
            let ops = sign_in.into_iter().chain([at]).collect();
            found.push(Violation { rule: Rule::LegitimateClientStaysSignedIn, ops });
        }
    }
    found.extend(false_alarms(facts, &late));
    found
}

fn false_alarms(facts: &Facts<'_>, late: &HashMap<SessionId, Time>) -> Vec<Violation> {
    let mut found = Vec::new();
    for (at, op) in facts.history.iter().enumerate() {
        let What::Reuse { tag } = &op.what else { continue };
        let of_tag = facts.sign_ins.iter().find(|(session, _)| session.tag() == *tag);
        let Some((session, sign_in)) = of_tag else { continue };
        let spoiled = spoiled(facts, late, *session, sign_in.invoked, op.invoked);
        if !spoiled {
            found.push(Violation { rule: Rule::LegitimateClientStaysSignedIn, ops: vec![sign_in.op, at] });
        }
    }
    found
}

fn is_legitimate(facts: &Facts<'_>, late: &HashMap<SessionId, Time>, carried: Token, answered: Time) -> bool {
    let began = facts.sign_ins.get(&carried.session).map_or(Time::ZERO, |it| it.invoked);
    !facts.may_be_revoked(carried, answered) && !spoiled(facts, late, carried.session, began, answered)
}

/// Whether the policy's assumptions did not hold for a session.
fn spoiled(
    facts: &Facts<'_>,
    late: &HashMap<SessionId, Time>,
    session: SessionId,
    from: Time,
    to: Time,
) -> bool {
    let before = |times: &HashMap<SessionId, Time>| times.get(&session).is_some_and(|at| *at <= to);
    let breaks = |fault| matches!(fault, Fault::ClockLeap | Fault::DataLost | Fault::StaleFailover);
    before(&facts.copied) || before(late) || facts.had_fault(None, breaks, from, to)
}

/// Since when an assumption about messages does not hold, by session.
pub(crate) fn late_messages(facts: &Facts<'_>, assumptions: &Assumptions) -> HashMap<SessionId, Time> {
    let mut late = HashMap::new();
    for (_, op, request) in facts.requests().filter(|(.., request)| request.from == From::Client) {
        if is_late(op, request, assumptions.on_the_way) {
            late.entry(request.carried.session).or_insert(op.invoked);
        }
    }
    late
}

fn is_late(op: &Op, request: &Request, at_most: Time) -> bool {
    let there = request.arrived - op.invoked > at_most;
    let back = |done: Time| request.answered.is_some_and(|(answered, _)| done - answered > at_most);
    there || op.done.is_some_and(back)
}
