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
    revoked: Vec<Revoked>,
    /// The places in `revoked`.
    of_sessions: HashMap<SessionId, Vec<usize>>,
    of_users: HashMap<usize, Vec<usize>>,
    stops: Vec<usize>,
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
            of_sessions: HashMap::new(),
            of_users: HashMap::new(),
            stops: Vec::new(),
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
        match what {
            Covers::Session(session) => self.of_sessions.entry(session).or_default(),
            Covers::User(user) => self.of_users.entry(user).or_default(),
            Covers::OlderThan(_) => &mut self.stops,
        }
        .push(self.revoked.len());
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

    /// The revocations of the session, of its user, and the emergency stops.
    fn concerning(&self, session: SessionId) -> impl Iterator<Item = &Revoked> {
        let user = self.sign_ins.get(&session).and_then(|it| self.of_users.get(&it.user));
        let places = [self.of_sessions.get(&session), user, Some(&self.stops)];
        places.into_iter().flatten().flatten().filter_map(|place| self.revoked.get(*place))
    }

    /// The emergency stops.
    pub(super) fn stops(&self) -> impl Iterator<Item = &Revoked> {
        self.stops.iter().filter_map(|place| self.revoked.get(*place))
    }

    /// The acknowledged revocations of a session of this run ID. Its sign-in was over when they were asked for.
    pub(super) fn acknowledged(
        &self,
        session: SessionId,
        run_id: RunId,
    ) -> impl Iterator<Item = (&Revoked, Time)> {
        let sign_in = self.sign_ins.get(&session).copied();
        self.concerning(session).filter_map(move |revoked| {
            let covered = match revoked.what {
                Covers::Session(_) => true,
                Covers::User(_) => sign_in.is_some_and(|it| it.done < revoked.invoked),
                Covers::OlderThan(run) => run.is_some_and(|run| run_id < run),
            };
            Some((revoked, revoked.acknowledged.filter(|_| covered)?))
        })
    }

    /// Whether a revocation may have revoked the session by `time`.
    pub(super) fn may_be_revoked(&self, token: Token, time: Time) -> bool {
        let sign_in = self.sign_ins.get(&token.session).copied();
        self.concerning(token.session).filter(|revoked| revoked.invoked <= time).any(|revoked| {
            matches!(revoked.what, Covers::Session(_)) || sign_in.is_none_or(|it| it.invoked <= revoked.until)
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
