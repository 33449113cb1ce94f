//! Rules about what the store answers, and what instances do with it.

use std::collections::HashMap;

use tower_sliding_sessions::{RunId, SessionId};

use super::{
    Facts, Rule, SHARED, Violation, WRITTEN_AGAIN,
    facts::{Call, Covers},
};
use crate::history::{Fault, Process, Time, Token, What};

pub(super) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for (session, calls) in &facts.calls {
        found.extend(two_successors(facts, calls));
        found.extend(lost_rotations(facts, calls));
        found.extend(lost_revocations(facts, *session, calls));
    }
    found.extend(mints_without_store(facts));
    found
}

fn two_successors(facts: &Facts<'_>, calls: &[Call]) -> Vec<Violation> {
    let mut rotated: HashMap<u64, &Call> = HashMap::new();
    let mut found = Vec::new();
    for call in calls.iter().filter(|call| call.call == "advance" && call.answer.applied) {
        let Some(record) = call.answer.record else { continue };
        let earlier = rotated.insert(record.generation, call);
        if let Some(other) = earlier.filter(|other| !lost_data(facts, other.invoked, call.done)) {
            found.push(Violation { rule: Rule::OneSuccessorPerGeneration, ops: vec![other.op, call.op] });
        }
    }
    found
}

/// For each call, the answers that were there before it was made.
fn with_earlier(calls: &[Call], mut visit: impl FnMut(&Call, &[Call])) {
    let mut answered = calls.to_vec();
    answered.sort_by_key(|call| call.done);
    for call in calls {
        let earlier = answered.partition_point(|other| other.done < call.invoked);
        visit(call, answered.get(..earlier).unwrap_or_default());
    }
}

fn lost_rotations(facts: &Facts<'_>, calls: &[Call]) -> Vec<Violation> {
    let generation = |call: &Call| call.answer.record.map_or(0, |record| record.generation);
    let mut found = Vec::new();
    with_earlier(calls, |call, earlier| {
        let newer = earlier.iter().rev().find(|other| {
            generation(other) > generation(call) && !lost_data(facts, other.invoked, call.done)
        });
        if let Some(newer) = newer.filter(|_| call.answer.record.is_some()) {
            found.push(Violation { rule: Rule::AcknowledgedRotationIsKept, ops: vec![newer.op, call.op] });
        }
    });
    found
}

/// What a server answered that then lost its data does not count.
fn lost_data(facts: &Facts<'_>, from: Time, to: Time) -> bool {
    facts.had_fault(None, |fault| matches!(fault, Fault::DataLost | Fault::StaleFailover), from, to)
}

/// The same, for revocations and run IDs: after a failover, instances write what they know again. Each outage delays
/// that.
fn lost_revocation(facts: &Facts<'_>, from: Time, to: Time) -> bool {
    facts.had_fault(None, |fault| fault == Fault::DataLost, from, to)
        || facts.had_fault(None, |fault| fault == Fault::StaleFailover, from, to)
            && facts.had_fault(None, Fault::is_outage, to.saturating_sub(WRITTEN_AGAIN), to)
}

fn lost_revocations(facts: &Facts<'_>, session: SessionId, calls: &[Call]) -> Vec<Violation> {
    let mut found = Vec::new();
    for call in calls {
        let is_live = call.answer.record.is_some_and(|record| !record.revoked) && call.call != "create";
        let broken = facts.acknowledged(session, call.answer.run).find_map(|(revoked, since)| {
            let rule = match revoked.what {
                Covers::OlderThan(_) => Rule::AcknowledgedRunIdIsKept,
                _ if is_live => Rule::AcknowledgedRevocationIsReadBack,
                _ => return None,
            };
            let is_broken = since < call.invoked && !lost_revocation(facts, since, call.done);
            is_broken.then_some((rule, revoked.op))
        });
        if let Some((rule, op)) = broken {
            found.push(Violation { rule, ops: vec![op, call.op] });
        }
    }
    found
}

/// A response that sets cookies needs an answer of the store to this instance, for this session, that came since the
/// request arrived, or just before, says that the session is live, and has no older run ID than the instance knew.
fn mints_without_store(facts: &Facts<'_>) -> Vec<Violation> {
    let known = known_runs(facts);
    let mut found = Vec::new();
    for (at, op) in facts.history.iter().enumerate() {
        let (minted, arrived, answered) = match &op.what {
            What::SignIn { minted: Some(minted), .. } => (minted, op.invoked, op.done),
            What::Request(request) => match (&request.minted, request.answered) {
                (Some(minted), Some((answered, _))) => (minted, request.arrived, Some(answered)),
                _ => continue,
            },
            _ => continue,
        };
        let answered = answered.unwrap_or(Time::MAX);
        let since = arrived.saturating_sub(SHARED);
        let allows = |call: &&Call| {
            call.process == op.process
                && (since..=answered).contains(&call.done)
                && call.answer.run == minted.run
                && call.answer.record.is_some_and(|it| !it.revoked && it.generation >= minted.generation)
        };
        let is_allowed =
            facts.calls.get(&minted.session).is_some_and(|calls| calls.iter().any(|it| allows(&it)));
        let newer = newer_run(&known, op.process, *minted, arrived);
        if !is_allowed || newer.is_some() {
            let ops = newer.into_iter().chain([at]).collect();
            found.push(Violation { rule: Rule::NoMintWithoutTheStore, ops });
        }
    }
    found
}

/// The run IDs that each process learned, rising, with the time and the operation.
type Known = HashMap<Process, Vec<(Time, RunId, usize)>>;

fn known_runs(facts: &Facts<'_>) -> Known {
    let mut known = Known::new();
    let stops = facts.stops().filter_map(|revoked| match revoked.what {
        Covers::OlderThan(Some(run)) => Some((revoked.process, revoked.acknowledged?, run, revoked.op)),
        _ => None,
    });
    let calls = facts.calls.values().flatten();
    let calls = calls.map(|call| (call.process, call.done, call.answer.run, call.op));
    for (process, at, run, op) in stops.chain(calls) {
        known.entry(process).or_default().push((at, run, op));
    }
    for learned in known.values_mut() {
        learned.sort_unstable();
        let mut newest = None;
        learned.retain(|(_, run, _)| {
            newest.is_none_or(|newest| newest < *run) && newest.replace(*run) != Some(*run)
        });
    }
    known
}

/// The operation by which the process knew a newer run ID before the request arrived.
fn newer_run(known: &Known, process: Process, minted: Token, arrived: Time) -> Option<usize> {
    let learned = known.get(&process)?;
    let before = learned.partition_point(|(at, ..)| *at < arrived);
    let (_, run, op) = learned.get(before.checked_sub(1)?)?;
    (*run > minted.run).then_some(*op)
}
