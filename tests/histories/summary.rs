//! How much a history has, so that an empty one does not pass unnoticed.

use std::{collections::BTreeMap, fmt};

use crate::{
    checker::{Assumptions, late_sessions},
    history::{Fault, From, Op, Request, What},
};

#[derive(Default)]
pub(crate) struct Summary {
    operations: usize,
    sign_ins: usize,
    served: usize,
    unavailable: usize,
    unauthorized: usize,
    minted: usize,
    tries_with_revoked: usize,
    copies: usize,
    revocations: usize,
    unknown: usize,
    store_calls: usize,
    rotations: usize,
    /// Sessions that the rule about legitimate clients leaves out, because a message was late.
    late: usize,
    faults: BTreeMap<Fault, usize>,
}

impl Summary {
    pub(crate) fn of(history: &[Op], assumptions: &Assumptions) -> Self {
        let mut summary = Self { late: late_sessions(history, assumptions), ..Self::default() };
        for op in history {
            summary.operations += 1;
            summary.unknown += usize::from(op.done.is_none());
            match &op.what {
                What::SignIn { minted, .. } => summary.sign_ins += usize::from(minted.is_some()),
                What::Request(request) => summary.add(request),
                What::SignOut(revoked) => summary.revocations += usize::from(revoked.acknowledged),
                What::RevokeAll { acknowledged, .. } => summary.revocations += usize::from(*acknowledged),
                What::Stop(run) => summary.revocations += usize::from(run.is_some()),
                What::Store { call, answer, .. } => {
                    summary.store_calls += 1;
                    let rotated = *call == "advance" && answer.is_some_and(|answer| answer.applied);
                    summary.rotations += usize::from(rotated);
                }
                What::Fault(fault) => *summary.faults.entry(*fault).or_default() += 1,
                What::Reuse { .. } | What::Recovered(_) => {}
            }
        }
        summary
    }

    fn add(&mut self, request: &Request) {
        self.tries_with_revoked += usize::from(request.from == From::Revoked);
        self.copies += usize::from(request.from == From::Copy);
        self.minted += usize::from(request.minted.is_some());
        match request.answered {
            Some((_, 200)) => self.served += 1,
            Some((_, 401)) => self.unauthorized += 1,
            Some(_) => self.unavailable += 1,
            None => {}
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operations, sign_ins, served, unavailable, unauthorized, minted, unknown, .. } = self;
        let Self { tries_with_revoked, copies, revocations, store_calls, rotations, late, faults, .. } = self;
        write!(
            f,
            "{operations} operations ({unknown} without an answer): {sign_ins} sign-ins, {served} requests served, \
             {unavailable} unavailable, {unauthorized} refused, {minted} with new cookies, {tries_with_revoked} \
             with revoked sessions, {copies} copies, {revocations} revocations, {store_calls} store calls, \
             {rotations} rotations; {late} sessions with late messages; {} faults: {faults:?}",
            faults.values().sum::<usize>()
        )
    }
}
