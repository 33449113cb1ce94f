//! The steps from one world to the next.

use tower_sliding_sessions::protocol::{PresentedToken, RefreshDecision, Refusal};

use crate::{
    model::Model,
    world::{Access, Age, CURRENT, Disk, Kind, Lag, Message, Read, World, behind},
};

/// A possible next event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Time passes.
    Tick,
    /// The browser sends a request.
    Send { message: Message },
    /// A request reaches an instance with that clock. The confirmation is written as given.
    Arrive { message: Message, clock: Age, note: Note },
    /// A request reaches an instance that is reading the record for a similar one.
    Join { message: Message, handler: Message },
    /// A handler returns, and its response leaves with these cookies.
    Leave { handler: Message, answer: Message },
    /// A response reaches the browser.
    Deliver { message: Message },
    /// A confirmation is written late.
    WriteDown { message: Message },
    /// A request or a response is lost, a handler never returns, a confirmation is dropped.
    Lose { message: Message },
    /// The browser writes its cookies to disk.
    Save,
    /// The browser crashes, and restarts with the cookies on its disk.
    Crash,
    /// The attacker copies the jar.
    Copy,
    /// The attacker renews.
    Strike { refresh: Lag, clock: Age },
    /// The attacker uses its access token.
    StealthyUse { clock: Age },
}

/// When a confirmation is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    AtOnce,
    Late,
    Lost,
}

/// A failure of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The legitimate browser is signed out, or the server reports that it lost a write.
    SignedOut(RefreshDecision),
    /// A copy is served although its successor was confirmed more than a grace period ago.
    CopyServed(RefreshDecision),
    /// A copy is refused without an alarm although it is too old for a late request.
    Unnoticed(RefreshDecision),
    /// A token is served although the session has ended.
    Revived(RefreshDecision),
    /// New cookies leave although the session has ended.
    CookiesAfterTheEnd,
}

/// The result of a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) world: World,
    /// The table's outcome, if it was consulted.
    pub(crate) rotation: Option<RefreshDecision>,
    pub(crate) failure: Option<Failure>,
}

impl Model {
    /// All possible next steps.
    pub(crate) fn steps(&self, world: &World, steps: &mut Vec<Step>) {
        steps.push(Step::Tick);
        let in_flight = world.messages.iter().count();
        if in_flight < self.in_flight {
            let bodies = [false, true].into_iter().take(if self.late_body.is_some() { 2 } else { 1 });
            for body in bodies {
                let renewal = Message { body, ..Message::new(Kind::Renewal, world.jar.refresh) };
                steps.push(Step::Send { message: renewal });
                let access = world.jar.access.map(|access| Message {
                    body,
                    issued: access.age,
                    ..Message::new(Kind::Use, access.lag)
                });
                steps.extend(access.map(|message| Step::Send { message }));
            }
        }
        if world.disk.is_some_and(|disk| disk.jar != world.jar) {
            steps.extend([Step::Save, Step::Crash]);
        }
        let mut previous = None;
        for message in world.messages.iter().filter(|message| previous.replace(*message) != Some(*message)) {
            self.steps_of(world, message, in_flight, steps);
        }
        if self.attacker {
            self.steps_of_attacker(world, steps);
        }
    }

    fn steps_of(&self, world: &World, message: Message, in_flight: usize, steps: &mut Vec<Step>) {
        steps.push(Step::Lose { message });
        match message.kind {
            Kind::Renewal | Kind::Use => {
                let record = world.record(self);
                for clock in self.clocks() {
                    let confirms = match message.kind {
                        Kind::Use => self.confirms(&record, message, clock),
                        _ => message.lag == 0 && world.confirmed.is_none(),
                    };
                    let mut arrive = |note| steps.push(Step::Arrive { message, clock, note });
                    // A use that confirms nothing is equivalent to a lost one. A renewal is not.
                    if confirms || message.kind == Kind::Renewal {
                        arrive(Note::AtOnce);
                    }
                    if confirms && message.kind == Kind::Renewal {
                        arrive(Note::Lost);
                    }
                    // The end of the request makes room for a note, unless a handler takes its place.
                    let room = message.kind == Kind::Use || in_flight < self.in_flight;
                    if self.late_notes && room && confirms {
                        arrive(Note::Late);
                    }
                }
                if message.kind == Kind::Renewal && self.shared_reads && !message.orphan {
                    let joined = world.messages.iter().filter(|handler| self.may_share(message, *handler));
                    steps.extend(joined.map(|handler| Step::Join { message, handler }));
                }
            }
            Kind::Handler { .. } => {
                let answers = self.answers(message, world.revoked);
                steps.extend(answers.map(|answer| Step::Leave { handler: message, answer }));
            }
            Kind::Both | Kind::Access => steps.push(Step::Deliver { message }),
            Kind::Note => steps.push(Step::WriteDown { message }),
        }
    }

    /// Whether a request may share the read for the one that `handler` serves.
    fn may_share(&self, renewal: Message, handler: Message) -> bool {
        let Kind::Handler { newer, read: Some(read) } = handler.kind else { return false };
        let presented = if newer { behind(handler.lag) } else { handler.lag };
        presented == renewal.lag && read.age <= self.delay
    }

    fn steps_of_attacker(&self, world: &World, steps: &mut Vec<Step>) {
        if !world.attacker.has_copied() {
            steps.push(Step::Copy);
        }
        for clock in self.clocks() {
            steps.extend(world.attacker.held().map(|refresh| Step::Strike { refresh, clock }));
            if world.attacker.access.is_some() {
                steps.push(Step::StealthyUse { clock });
            }
        }
    }

    /// Takes a step. None if the step is not possible at this time.
    pub(crate) fn take(&self, world: &World, step: Step) -> Option<Taken> {
        let mut next = *world;
        let mut rotation = None;
        match step {
            Step::Tick => next = next.tick(self)?,
            Step::Send { message } => next.messages.add(message),
            Step::Arrive { message, clock, note } => {
                next.messages.remove(message);
                if message.kind == Kind::Use {
                    self.note(&mut next, message.lag, clock, note);
                } else {
                    rotation = Some(self.arrive(&mut next, message, clock, note));
                }
            }
            Step::Join { message, handler } => {
                next.messages.remove(message);
                let Kind::Handler { read: Some(read), .. } = handler.kind else { return None };
                // A read must not be used in a response for longer. Only crashes need that.
                let age = if self.minds_ages() { read.age.min(self.too_late()) } else { 0 };
                next.messages.add(Message { age, ..handler });
            }
            Step::Leave { handler, answer } => {
                next.messages.remove(handler);
                next.messages.add(answer);
            }
            Step::Deliver { message } => {
                next.messages.remove(message);
                next.jar.access = Some(Access { lag: message.lag, age: message.issued });
                if message.kind == Kind::Both {
                    next.jar.refresh = message.lag;
                }
            }
            Step::WriteDown { message } => {
                next.messages.remove(message);
                let mut record = next.record(self);
                self.rules.note(&mut record, CURRENT - u64::from(message.lag), self.ago(message.age));
                next.remember(self, &record);
                next.seen.note(self, message.lag, message.age);
            }
            Step::Lose { message } => next.messages.remove(message),
            Step::Save => next.disk = Some(Disk { jar: next.jar, age: 0 }),
            Step::Crash => {
                next.jar = next.disk?.jar;
                // A crash closes connections. Sent requests may still arrive.
                next.messages.change(|message| match message.kind {
                    Kind::Renewal | Kind::Use => Some(Message { orphan: true, ..message }),
                    Kind::Note => Some(message),
                    Kind::Handler { .. } | Kind::Both | Kind::Access => None,
                });
            }
            Step::Copy => next.attacker.copy(next.jar),
            Step::Strike { refresh, clock } => rotation = Some(self.strike(&mut next, refresh, clock)),
            Step::StealthyUse { clock } => {
                let Access { lag, age } = next.attacker.access?;
                let body = self.attacker_with_bodies;
                let message = Message { issued: age, body, ..Message::new(Kind::Use, lag) };
                // With it the attacker can confirm what a crashed browser no longer knows.
                next.attacker.struck |= self.crash > 0;
                if self.confirms(&next.record(self), message, clock) {
                    self.note(&mut next, lag, clock, Note::AtOnce);
                }
            }
        }
        let failure = match (step, rotation) {
            (Step::Leave { .. }, _) if world.revoked => Some(Failure::CookiesAfterTheEnd),
            (Step::Arrive { message: Message { lag, body, .. }, .. }, Some(rotation)) => {
                let late = body && rotation == RefreshDecision::Refuse(Refusal::LateBody);
                self.failure(world, next.attacker.struck || late, lag, rotation)
            }
            (Step::Strike { refresh, .. }, Some(rotation @ RefreshDecision::Refuse(Refusal::LateBody))) => {
                world.seen.too_late(self, refresh).then_some(Failure::Unnoticed(rotation))
            }
            (Step::Strike { refresh, .. }, Some(rotation)) => self.failure(world, true, refresh, rotation),
            _ => None,
        };
        next.simplify(self);
        Some(Taken { world: next, rotation, failure })
    }

    /// A request whose refresh token decides arrives at an instance, which calls its handler.
    fn arrive(&self, world: &mut World, request: Message, clock: Age, note: Note) -> RefreshDecision {
        let (rotation, handler) = self.renew(world, request, clock, note);
        if let Some(handler) = handler.filter(|_| !request.orphan) {
            world.messages.add(handler);
        }
        rotation
    }

    /// The same by the attacker, who gets the response at once.
    fn strike(&self, world: &mut World, refresh: Lag, clock: Age) -> RefreshDecision {
        world.attacker.struck = true;
        let body = self.attacker_with_bodies;
        let request = Message { body, ..Message::new(Kind::Renewal, refresh) };
        let (rotation, handler) = self.renew(world, request, clock, Note::AtOnce);
        if let Some(handler) = handler {
            for answer in self.answers(handler, world.revoked) {
                world.attacker.take_access(Access { lag: answer.lag, age: answer.issued });
                if answer.kind == Kind::Both {
                    world.attacker.take(answer.lag);
                }
            }
        }
        rotation
    }

    /// Consults the table. A served token is served as the current generation, and the second result is
    /// the handler that is called.
    fn renew(
        &self,
        world: &mut World,
        request: Message,
        clock: Age,
        note: Note,
    ) -> (RefreshDecision, Option<Message>) {
        let mut record = world.record(self);
        let presented =
            PresentedToken { generation: CURRENT - u64::from(request.lag), with_body: request.body };
        let rotation = self.rules.renew(&mut record, presented, self.at(clock));
        world.remember(self, &record);
        // The handler does not know of a confirmation, now or later.
        let confirmed = record.family.confirmed_at.map(|at| self.age(at));
        let read = self.token_client.then_some(Read { age: 0, confirmed, clock });
        let newer = match rotation {
            RefreshDecision::Confirm => {
                self.note(world, request.lag, clock, note);
                false
            }
            RefreshDecision::Reissue => false,
            RefreshDecision::Rotate | RefreshDecision::ServePredecessor => true,
            RefreshDecision::FastForward | RefreshDecision::Reuse | RefreshDecision::Refuse(_) => {
                return (rotation, None);
            }
        };
        let issued = self.age(self.at(clock));
        (rotation, Some(Message { issued, ..Message::new(Kind::Handler { newer, read }, 0) }))
    }

    /// A request has carried a generation.
    fn note(&self, world: &mut World, lag: Lag, clock: Age, note: Note) {
        match note {
            Note::AtOnce => {
                let mut record = world.record(self);
                self.rules.note(&mut record, CURRENT - u64::from(lag), self.at(clock));
                world.remember(self, &record);
                world.seen.note(self, lag, 0);
            }
            Note::Late => {
                let age = self.age(self.at(clock));
                world.messages.add(Message { age, ..Message::new(Kind::Note, lag) });
            }
            Note::Lost => {}
        }
    }

    /// Checks the table's outcome for a token that was presented in the world `before`. The attacker has
    /// struck if it presented a token, including this one.
    fn failure(
        &self,
        before: &World,
        struck: bool,
        refresh: Lag,
        rotation: RefreshDecision,
    ) -> Option<Failure> {
        if before.revoked {
            let right = rotation == RefreshDecision::Refuse(Refusal::Revoked);
            return (!right).then_some(Failure::Revived(rotation));
        }
        match rotation {
            RefreshDecision::Reuse | RefreshDecision::Refuse(_) | RefreshDecision::FastForward => {
                (!struck).then_some(Failure::SignedOut(rotation))
            }
            _ => before.seen.superseded(self, refresh).then_some(Failure::CopyServed(rotation)),
        }
    }
}
