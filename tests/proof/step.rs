//! The steps from one world to the next.

use tower_sliding_sessions::protocol::{Refusal, Rotation};

use crate::{
    model::Model,
    world::{Age, CURRENT, Disk, Jar, Kind, Lag, Message, Read, World, behind},
};

/// Something that may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Time passes.
    Tick,
    /// The browser sends a request.
    Send { message: Message },
    /// A request reaches an instance with that clock, and what it proves is written down so.
    Arrive { message: Message, clock: Age, note: Note },
    /// A request reaches an instance that just reads the record for another one like it.
    Board { message: Message, handler: Message },
    /// A handler is done, and its response leaves with these cookies.
    Leave { handler: Message, answer: Message },
    /// A response reaches the browser.
    Deliver { message: Message },
    /// A confirmation is written down late.
    WriteDown { message: Message },
    /// A request or a response is lost, a handler never answers, a confirmation is forgotten.
    Lose { message: Message },
    /// The browser puts its cookies on disk.
    Save,
    /// The browser crashes, and comes back with the cookies on its disk.
    Crash,
    /// The thief copies the jar.
    Copy,
    /// The thief renews.
    Strike { refresh: Lag, clock: Age },
    /// The thief uses his access token.
    StealthyUse { clock: Age },
}

/// What becomes of a confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    AtOnce,
    Late,
    Lost,
}

/// What must not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The honest browser is signed out, or the server believes that it lost a write.
    SignedOut(Rotation),
    /// A copy is served although its successor was seen in use more than a grace ago.
    CopyServed(Rotation),
    /// A token is served although the session was ended.
    Revived(Rotation),
    /// Fresh cookies leave although the session was ended.
    CookiesAfterTheEnd,
}

/// Where a step led.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) world: World,
    /// The table's answer, if it was asked.
    pub(crate) rotation: Option<Rotation>,
    pub(crate) failure: Option<Failure>,
}

impl Model {
    /// All that may happen next.
    pub(crate) fn steps(&self, world: &World, steps: &mut Vec<Step>) {
        steps.push(Step::Tick);
        let in_flight = world.messages.iter().count();
        if in_flight < self.in_flight {
            let mut send = |kind, lag| steps.push(Step::Send { message: Message { kind, lag, age: 0 } });
            send(Kind::Renewal, world.jar.refresh);
            if let Some(access) = world.jar.access {
                send(Kind::Use, access);
            }
        }
        if world.disk.is_some() {
            steps.extend([Step::Save, Step::Crash]);
        }
        let mut previous = None;
        for message in world.messages.iter().filter(|message| previous.replace(*message) != Some(*message)) {
            self.steps_of(world, message, in_flight, steps);
        }
        if self.thief {
            self.steps_of_thief(world, steps);
        }
    }

    fn steps_of(&self, world: &World, message: Message, in_flight: usize, steps: &mut Vec<Step>) {
        steps.push(Step::Lose { message });
        match message.kind {
            Kind::Renewal | Kind::Use => {
                for clock in self.clocks() {
                    let mut arrive = |note| steps.push(Step::Arrive { message, clock, note });
                    arrive(Note::AtOnce);
                    // A use that confirms nothing is as good as lost. A renewal is not.
                    if message.kind == Kind::Renewal && message.lag == 0 && world.confirmed.is_none() {
                        arrive(Note::Lost);
                    }
                    // The request itself makes room for a note, unless a handler takes its place.
                    let room = message.kind == Kind::Use || in_flight < self.in_flight;
                    if self.late_notes && room && message.lag == 0 && world.confirmed.is_none() {
                        arrive(Note::Late);
                    }
                }
                if message.kind == Kind::Renewal && self.shared_flights {
                    let boards = world.messages.iter().filter(|handler| self.may_board(message, *handler));
                    steps.extend(boards.map(|handler| Step::Board { message, handler }));
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

    /// Whether a request may share what was read for the one that `handler` is at work on.
    fn may_board(&self, renewal: Message, handler: Message) -> bool {
        let Kind::Handler { newer, read: Some(read) } = handler.kind else { return false };
        let presented = if newer { behind(handler.lag) } else { handler.lag };
        presented == renewal.lag && read.age <= self.delay
    }

    fn steps_of_thief(&self, world: &World, steps: &mut Vec<Step>) {
        if !world.thief.has_copied() {
            steps.push(Step::Copy);
        }
        for clock in self.clocks() {
            steps.extend(world.thief.held().map(|refresh| Step::Strike { refresh, clock }));
            if world.thief.access.is_some() {
                steps.push(Step::StealthyUse { clock });
            }
        }
    }

    /// Takes a step. None if time would have to stand still for it.
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
                    rotation = Some(self.arrive(&mut next, message.lag, clock, note));
                }
            }
            Step::Board { message, handler } => {
                next.messages.remove(message);
                next.messages.add(Message { age: 0, ..handler });
            }
            Step::Leave { handler, answer } => {
                next.messages.remove(handler);
                next.messages.add(answer);
            }
            Step::Deliver { message } => {
                next.messages.remove(message);
                next.jar.access = Some(message.lag);
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
            Step::Save => next.disk = Some(Disk { refresh: next.jar.refresh, age: 0 }),
            Step::Crash => next.jar = Jar { refresh: next.disk?.refresh, access: None },
            Step::Copy => next.thief.copy(next.jar),
            Step::Strike { refresh, clock } => rotation = Some(self.strike(&mut next, refresh, clock)),
            Step::StealthyUse { clock } => {
                let lag = next.thief.access?;
                self.note(&mut next, lag, clock, Note::AtOnce);
            }
        }
        let failure = match (step, rotation) {
            (Step::Leave { .. }, _) if world.revoked => Some(Failure::CookiesAfterTheEnd),
            (Step::Arrive { message: Message { lag: refresh, .. }, .. }, Some(rotation))
            | (Step::Strike { refresh, .. }, Some(rotation)) => {
                self.failure(world, next.thief.struck, refresh, rotation)
            }
            _ => None,
        };
        next.simplify(self);
        Some(Taken { world: next, rotation, failure })
    }

    /// A request with a refresh token to go by arrives at an instance, which calls its handler.
    fn arrive(&self, world: &mut World, refresh: Lag, clock: Age, note: Note) -> Rotation {
        let (rotation, served) = self.renew(world, refresh, clock, note);
        if let Some(kind) = served {
            world.messages.add(Message { kind, lag: 0, age: 0 });
        }
        rotation
    }

    /// The same by the thief, who gets his answer at once.
    fn strike(&self, world: &mut World, refresh: Lag, clock: Age) -> Rotation {
        world.thief.struck = true;
        let (rotation, served) = self.renew(world, refresh, clock, Note::AtOnce);
        if let Some(kind) = served {
            let handler = Message { kind, lag: 0, age: 0 };
            for answer in self.answers(handler, world.revoked) {
                world.thief.access = Some(answer.lag);
                if answer.kind == Kind::Both {
                    world.thief.take(answer.lag);
                }
            }
        }
        rotation
    }

    /// Asks the table. If the token is served then it is as the current generation, and the second
    /// answer is the handler that is called.
    fn renew(&self, world: &mut World, refresh: Lag, clock: Age, note: Note) -> (Rotation, Option<Kind>) {
        let mut record = world.record(self);
        let rotation = self.rules.renew(&mut record, CURRENT - u64::from(refresh), self.at(clock));
        world.remember(self, &record);
        // What a confirmation changes, now or later, the handler does not know.
        let confirmed = record.family.confirmed_at.map(|at| self.age(at));
        let read = self.token_client.then_some(Read { age: 0, confirmed, clock });
        let newer = match rotation {
            Rotation::Confirm => {
                self.note(world, refresh, clock, note);
                false
            }
            Rotation::Reissue => false,
            Rotation::Advance | Rotation::Replay => true,
            Rotation::FastForward | Rotation::Reuse | Rotation::Refuse(_) => return (rotation, None),
        };
        (rotation, Some(Kind::Handler { newer, read }))
    }

    /// A request was seen to carry a generation.
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
                world.messages.add(Message { kind: Kind::Note, lag, age });
            }
            Note::Lost => {}
        }
    }

    /// Judges the table's answer to a token that was presented in the world `before`. The thief has
    /// struck if he presented one of his, this one included.
    fn failure(&self, before: &World, struck: bool, refresh: Lag, rotation: Rotation) -> Option<Failure> {
        if before.revoked {
            let right = rotation == Rotation::Refuse(Refusal::Denylisted);
            return (!right).then_some(Failure::Revived(rotation));
        }
        match rotation {
            Rotation::Reuse | Rotation::Refuse(_) | Rotation::FastForward => {
                (!struck).then_some(Failure::SignedOut(rotation))
            }
            _ => before.seen.superseded(self, refresh).then_some(Failure::CopyServed(rotation)),
        }
    }
}
