//! What several rules need to know of a history.

use std::collections::HashMap;

use tower_sliding_sessions::{RunId, SessionId};

use super::LATE_EFFECT;
use crate::{
    history::{Answer, Fault, Op, Process, Request, Revocation, Time, Token, What},
    instance::INSTANCES,
};

/// Where a session began.
#[derive(Clone, Copy, Debug)]
pub(super) struct SignIn {
    pub(super) op: usize,
    pub(super) user: usize,
    pub(super) invoked: Time,
    pub(super) done: Time,
}

/// A revocation. An unacknowledged one may take effect until `until`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Revoked {
    pub(super) op: usize,
    pub(super) process: Process,
    pub(super) what: Covers,
    pub(super) invoked: Time,
    pub(super) acknowledged: Option<Time>,
    pub(super) until: Time,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Covers {
    Session(SessionId),
    User(usize),
    /// All sessions of an older run ID. It is known once it was acknowledged.
    OlderThan(Option<RunId>),
}

/// A call of the store that was answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) op: usize,
    pub(super) process: Process,
    pub(super) call: &'static str,
    pub(super) invoked: Time,
    pub(super) done: Time,
    pub(super) answer: Answer,
}

pub(super) struct Facts<'h> {
    pub(super) history: &'h [Op],
    pub(super) sign_ins: HashMap<SessionId, SignIn>,
    pub(super) revoked: Vec<Revoked>,
    /// Ordered by their invocation.
    pub(super) calls: HashMap<SessionId, Vec<Call>>,
    /// When copies were used.
    pub(super) copied: HashMap<SessionId, Time>,
    faults: Vec<(Fault, Option<usize>, Time, Time)>,
}

impl<'h> Facts<'h> {
    pub(super) fn of(history: &'h [Op]) -> Self {
        let mut facts = Self {
            history,
            sign_ins: HashMap::new(),
            revoked: Vec::new(),
            calls: HashMap::new(),
            copied: HashMap::new(),
            faults: Vec::new(),
        };
        for (op, recorded) in history.iter().enumerate() {
            facts.note(op, recorded);
        }
        for calls in facts.calls.values_mut() {
            calls.sort_by_key(|call| call.invoked);
        }
        facts
    }

    fn note(&mut self, op: usize, recorded: &Op) {
        let Op { process, invoked, done, .. } = *recorded;
        match recorded.what {
            What::SignIn { user, minted: Some(Token { session, .. }) } => {
                let done = done.unwrap_or(Time::MAX);
                self.sign_ins.insert(session, SignIn { op, user, invoked, done });
            }
            What::SignOut(Revocation { session, acknowledged }) => {
                self.note_revoked(op, recorded, Covers::Session(session), acknowledged);
            }
            What::RevokeAll { user, acknowledged } => {
                self.note_revoked(op, recorded, Covers::User(user), acknowledged);
            }
            What::Stop(run) => self.note_revoked(op, recorded, Covers::OlderThan(run), run.is_some()),
            What::Store { session, call, answer: Some(answer) } => {
                let done = done.unwrap_or(Time::MAX);
                let call = Call { op, process, call, invoked, done, answer };
                self.calls.entry(session).or_default().push(call);
            }
            What::Request(Request { from: crate::history::From::Copy, carried, .. }) => {
                self.copied.entry(carried.session).or_insert(invoked);
            }
            What::Fault(fault) => {
                let place = (process != usize::MAX).then_some(process % INSTANCES);
                self.faults.push((fault, place, invoked, done.unwrap_or(Time::MAX)));
            }
            _ => {}
        }
    }

    fn note_revoked(&mut self, op: usize, recorded: &Op, what: Covers, acknowledged: bool) {
        let Op { process, invoked, done, .. } = *recorded;
        let acknowledged = done.filter(|_| acknowledged);
        let until = acknowledged.unwrap_or(invoked + LATE_EFFECT);
        self.revoked.push(Revoked { op, process, what, invoked, acknowledged, until });
    }

    /// The requests, with their places.
    pub(super) fn requests(&self) -> impl Iterator<Item = (usize, &'h Op, &'h Request)> {
        self.history.iter().enumerate().filter_map(|(at, op)| match &op.what {
            What::Request(request) => Some((at, op, request)),
            _ => None,
        })
    }

    /// The acknowledged revocations of a session. Its sign-in was over when they were asked for.
    pub(super) fn acknowledged(&self, token: Token) -> impl Iterator<Item = (&Revoked, Time)> {
        let sign_in = self.sign_ins.get(&token.session).copied();
        self.revoked.iter().filter_map(move |revoked| {
            let covered = match revoked.what {
                Covers::Session(session) => session == token.session,
                Covers::User(user) => sign_in.is_some_and(|it| it.user == user && it.done < revoked.invoked),
                Covers::OlderThan(run) => run.is_some_and(|run| token.run < run),
            };
            Some((revoked, revoked.acknowledged.filter(|_| covered)?))
        })
    }

    /// Whether a revocation may have revoked the session by `time`.
    pub(super) fn may_be_revoked(&self, token: Token, time: Time) -> bool {
        let sign_in = self.sign_ins.get(&token.session).copied();
        self.revoked.iter().filter(|revoked| revoked.invoked <= time).any(|revoked| {
            let began_before = sign_in.is_none_or(|it| it.invoked <= revoked.until);
            match revoked.what {
                Covers::Session(session) => session == token.session,
                Covers::User(user) => sign_in.is_none_or(|it| it.user == user) && began_before,
                Covers::OlderThan(_) => began_before,
            }
        })
    }

    /// Whether such a fault concerned the process between these times.
    pub(super) fn had_fault(
        &self,
        process: Option<Process>,
        is_meant: impl Fn(Fault) -> bool,
        from: Time,
        to: Time,
    ) -> bool {
        self.faults.iter().any(|(fault, place, began, ended)| {
            is_meant(*fault)
                && place.is_none_or(|place| process.is_none_or(|process| process % INSTANCES == place))
                && *began <= to
                && from <= *ended
        })
    }
}
