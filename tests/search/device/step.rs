//! The steps from one world with a device key to the next.

use tower_sliding_sessions::protocol::{
    BindingDecision, PresentedToken, RefreshDecision, RegistrationDecision,
};

use super::{
    model::{BrokenBinding, Copies, DeviceModel},
    world::{Device, Key, Letter, LetterKind, ROOM, SavedKey},
};
use crate::{
    step::{Failure, Note, Step, Taken},
    world::{Access, Age, CURRENT, Kind, Lag, Message},
};

/// A possible next event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DeviceStep {
    /// An event of the rotation. A refresh token comes without a proof.
    Rotation(Step),
    /// The browser makes a key, and sends its registration.
    Register {
        key: Key,
    },
    /// The browser gives up waiting for a registration, and sends it again.
    Resend {
        letter: Letter,
    },
    /// The browser sends its refresh token with a proof.
    Refresh {
        key: Key,
    },
    /// A request reaches an instance with that clock. The confirmation of its generation is written as given.
    Arrive {
        letter: Letter,
        clock: Age,
        note: Note,
    },
    /// The response to a registration leaves.
    Leave {
        letter: Letter,
    },
    /// A response reaches the browser: its head, and its body or not.
    Deliver {
        letter: Letter,
        body: bool,
    },
    Lose {
        letter: Letter,
    },
    /// The browser writes its key to disk.
    SaveKey,
    /// The user signs out.
    SignOut,
    /// The attacker registers its own key.
    AttackerRegisters {
        clock: Age,
    },
    /// The attacker sends a proof of its own key.
    AttackerProves {
        clock: Age,
    },
    /// The browser sends the access token of its registration, which only a broken rule minds.
    UseToken,
}

/// A failure of a session with a device key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DeviceFailure {
    /// One of the rotation.
    Rotation(Failure),
    /// The browser does not have the key that every renewal needs.
    Stranded,
    /// The session needs the attacker's key.
    TakenOver,
    /// The session was renewed without a proof, after the confirmation of the browser's key.
    CopyRenewed,
    /// A key was registered after the end of the session.
    BoundAfterTheEnd,
}

/// The result of a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct DeviceTaken {
    pub(super) world: Device,
    pub(super) rotation: Option<RefreshDecision>,
    pub(super) failure: Option<DeviceFailure>,
}

impl DeviceModel {
    /// All possible next steps.
    pub(super) fn steps(&self, world: &Device, steps: &mut Vec<DeviceStep>) {
        let mut rotation = Vec::new();
        let room = world.in_flight() < self.base.in_flight;
        self.base.steps(&world.rotation, &mut rotation);
        rotation.retain(|step| match step {
            Step::Send { .. } => room,
            Step::Copy => self.may_copy(world),
            Step::Crash => false,
            _ => true,
        });
        steps.extend(rotation.into_iter().map(DeviceStep::Rotation));
        let cookies_differ = world.rotation.disk.is_some_and(|disk| disk.jar != world.rotation.jar);
        let keys_differ = world.disk.is_some_and(|disk| disk.key != world.browser);
        if keys_differ {
            steps.push(DeviceStep::SaveKey);
        }
        if keys_differ || cookies_differ {
            steps.push(DeviceStep::Rotation(Step::Crash));
        }
        let letters = world.letters().count();
        if room && letters < ROOM {
            steps.extend(world.new_key(self.keys).map(|key| DeviceStep::Register { key }));
            steps.extend(world.browser.map(|key| DeviceStep::Refresh { key }));
        }
        for letter in world.letters() {
            self.steps_of_letter(world, letter, room && letters < ROOM, steps);
        }
        if self.signs_out && !world.signed_out {
            steps.push(DeviceStep::SignOut);
        }
        if world.rotation.attacker.has_copied() {
            for clock in self.base.clocks() {
                steps.push(DeviceStep::AttackerRegisters { clock });
                if world.record.is_some_and(|record| record.key == Key::Attacker) {
                    steps.push(DeviceStep::AttackerProves { clock });
                }
            }
        }
        if world.token.is_some() {
            steps.push(DeviceStep::UseToken);
        }
    }

    fn steps_of_letter(&self, world: &Device, letter: Letter, room: bool, steps: &mut Vec<DeviceStep>) {
        steps.push(DeviceStep::Lose { letter });
        let mut arrive = |note| {
            steps.extend(self.base.clocks().map(|clock| DeviceStep::Arrive { letter, clock, note }));
        };
        match letter.kind {
            LetterKind::Registration => arrive(Note::AtOnce),
            LetterKind::Refresh => {
                arrive(Note::AtOnce);
                if letter.lag == 0 && world.rotation.confirmed.is_none() {
                    arrive(Note::Lost);
                }
            }
            LetterKind::Registering => {
                let in_time =
                    letter.age < self.base.too_late() || self.breaks(BrokenBinding::LateRegistration);
                if in_time && !world.rotation.revoked {
                    steps.push(DeviceStep::Leave { letter });
                }
            }
            LetterKind::Registered => {
                steps.extend([true, false].map(|body| DeviceStep::Deliver { letter, body }));
            }
            LetterKind::Forget => steps.push(DeviceStep::Deliver { letter, body: true }),
        }
        let registration = matches!(
            letter.kind,
            LetterKind::Registration | LetterKind::Registering | LetterKind::Registered
        );
        if registration && !letter.orphan && (room || letter.kind != LetterKind::Registration) {
            steps.push(DeviceStep::Resend { letter });
        }
    }

    fn may_copy(&self, world: &Device) -> bool {
        match self.copies {
            Copies::Never => false,
            Copies::Always => true,
            Copies::Bound => matches!(world.confirmed(), Some(Key::Own(_))),
            Copies::Registered => {
                world.browser.is_some() && world.record.map(|record| record.key) == world.browser
            }
            Copies::Unbound => world.signed_in == self.late() && world.record.is_none(),
        }
    }

    /// Takes a step. None if the step is not possible at this time.
    pub(super) fn take(&self, world: &Device, step: DeviceStep) -> Option<DeviceTaken> {
        let mut next = *world;
        let mut taken = None;
        match step {
            DeviceStep::Rotation(step) => taken = self.rotation_step(&mut next, step)?,
            DeviceStep::Register { key } => {
                next.add(Letter::new(LetterKind::Registration, key, next.rotation.jar.refresh));
            }
            DeviceStep::Resend { letter } => {
                next.remove(letter);
                if letter.kind == LetterKind::Registration {
                    next.add(Letter { orphan: true, ..letter });
                }
                next.add(Letter::new(LetterKind::Registration, letter.key, next.rotation.jar.refresh));
            }
            DeviceStep::Refresh { key } => {
                next.add(Letter::new(LetterKind::Refresh, key, next.rotation.jar.refresh));
            }
            DeviceStep::Arrive { letter, clock, note } => {
                next.remove(letter);
                if letter.kind == LetterKind::Registration {
                    let decision = self.register(&mut next, letter.key, clock);
                    if decision == RegistrationDecision::Register && !letter.orphan {
                        let issued = self.base.age(self.base.at(clock)).min(self.base.settled());
                        next.add(Letter {
                            issued,
                            ..Letter::new(LetterKind::Registering, letter.key, letter.lag)
                        });
                    }
                    if world.rotation.revoked && decision == RegistrationDecision::Register {
                        return Some(DeviceTaken {
                            world: next,
                            rotation: None,
                            failure: Some(DeviceFailure::BoundAfterTheEnd),
                        });
                    }
                } else {
                    taken = self.refresh(&mut next, letter, clock, note)?;
                }
            }
            DeviceStep::Leave { letter } => {
                next.remove(letter);
                next.add(Letter { kind: LetterKind::Registered, age: 0, ..letter });
            }
            DeviceStep::Deliver { letter, body } => {
                next.remove(letter);
                if letter.kind == LetterKind::Forget {
                    next.browser = None;
                } else {
                    next.rotation.jar.access = Some(Access { lag: letter.lag, age: letter.issued });
                    next.rotation.simplify(&self.base);
                    next.browser = if body { Some(letter.key) } else { next.browser };
                    next.token = self.breaks(BrokenBinding::ConfirmedByToken).then_some(letter.key);
                }
            }
            DeviceStep::Lose { letter } => next.remove(letter),
            DeviceStep::SaveKey => next.disk = Some(SavedKey { key: next.browser, age: 0 }),
            DeviceStep::SignOut => {
                next.signed_out = true;
                next.rotation.revoked = true;
                next.rotation.simplify(&self.base);
            }
            DeviceStep::AttackerRegisters { clock } => {
                if self.register(&mut next, Key::Attacker, clock) != RegistrationDecision::Register {
                    return None;
                }
            }
            DeviceStep::AttackerProves { clock } => {
                self.judge(&mut next, Some(Key::Attacker), clock);
            }
            DeviceStep::UseToken => self.confirm_by_token(&mut next),
        }
        next.simplify();
        let failure = self.failure(world, &next, step, taken.as_ref());
        Some(DeviceTaken { world: next, rotation: taken.and_then(|taken| taken.rotation), failure })
    }

    /// A step of the rotation. None if it is not possible; the inner None if the rotation is not asked.
    fn rotation_step(&self, next: &mut Device, step: Step) -> Option<Option<Taken>> {
        let refused = |next: &mut Device, clock| {
            // The attacker has a proof of its own key.
            let proof = next.confirmed().filter(|key| *key == Key::Attacker);
            let proof = proof.filter(|_| matches!(step, Step::Strike { .. }));
            self.judge(next, proof, clock) == BindingDecision::ProofRequired
        };
        match step {
            Step::Tick => {
                *next = next.tick(self)?;
                return Some(None);
            }
            Step::Arrive { message, clock, .. } if message.kind == Kind::Renewal && refused(next, clock) => {
                next.rotation.messages.remove(message);
                self.refuse(next, message.lag, clock);
                return Some(None);
            }
            Step::Strike { refresh, clock } if refused(next, clock) => {
                self.refuse(next, refresh, clock);
                return Some(None);
            }
            Step::Arrive { message, .. } if message.kind == Kind::Use && self.confirms_nothing(next) => {
                next.rotation.messages.remove(message);
                next.rotation.simplify(&self.base);
                return Some(None);
            }
            Step::StealthyUse { .. } if self.confirms_nothing(next) => return None,
            Step::Crash => {
                next.browser = next.disk?.key;
                next.token = None;
                next.change(|letter| match letter.kind {
                    LetterKind::Registration | LetterKind::Refresh => Some(Letter { orphan: true, ..letter }),
                    LetterKind::Registering | LetterKind::Registered | LetterKind::Forget => None,
                });
            }
            Step::Deliver { .. } => next.token = None,
            _ => {}
        }
        self.rotate(next, step).map(Some)
    }

    /// An access token confirms no generation of a bound session.
    fn confirms_nothing(&self, world: &Device) -> bool {
        world.confirmed().is_some() && !self.breaks(BrokenBinding::AccessConfirmsGeneration)
    }

    /// A refresh token without a proof is refused. It may rotate the session, since the store does that before it is
    /// judged; no response has the new token.
    fn refuse(&self, next: &mut Device, lag: Lag, clock: Age) {
        let mut record = next.rotation.record(&self.base);
        let presented = PresentedToken { generation: CURRENT - u64::from(lag), with_body: false };
        match self.base.rules.renew(&mut record, presented, self.base.at(clock)) {
            RefreshDecision::Rotate => {
                next.rotation.remember(&self.base, &record);
                next.fall_behind();
            }
            RefreshDecision::Reuse if self.breaks(BrokenBinding::ReuseWithoutProof) => {
                next.rotation.revoked = true;
            }
            _ => {}
        }
        next.rotation.simplify(&self.base);
    }

    fn rotate(&self, next: &mut Device, step: Step) -> Option<Taken> {
        let taken = self.base.take(&next.rotation, step)?;
        next.rotation = taken.world;
        if taken.rotation == Some(RefreshDecision::Rotate) {
            next.fall_behind();
        }
        Some(taken)
    }

    /// A refresh with a proof arrives.
    fn refresh(&self, next: &mut Device, letter: Letter, clock: Age, note: Note) -> Option<Option<Taken>> {
        match self.judge(next, Some(letter.key), clock) {
            BindingDecision::Confirm | BindingDecision::Proceed => {}
            BindingDecision::ProofRequired => return Some(None),
            BindingDecision::OtherKey => {
                if self.breaks(BrokenBinding::UnknownKeyForgotten) && !letter.orphan {
                    next.add(Letter::new(LetterKind::Forget, letter.key, letter.lag));
                }
                return Some(None);
            }
        }
        let message = Message { orphan: letter.orphan, ..Message::new(Kind::Renewal, letter.lag) };
        next.rotation.messages.add(message);
        self.rotate(next, Step::Arrive { message, clock, note }).map(Some)
    }

    fn failure(
        &self,
        before: &Device,
        next: &Device,
        step: DeviceStep,
        taken: Option<&Taken>,
    ) -> Option<DeviceFailure> {
        if before.rotation.revoked {
            return taken.and_then(|taken| taken.failure).map(DeviceFailure::Rotation);
        }
        let rotation = taken.and_then(|taken| taken.rotation);
        let served = rotation.is_some_and(|rotation| !refuses(rotation));
        let strikes = matches!(step, DeviceStep::Rotation(Step::Strike { .. }));
        let unproven = strikes
            || matches!(step, DeviceStep::Rotation(Step::Arrive { message, .. }) if message.kind == Kind::Renewal);
        // An attacker who copied the cookies later is no excuse.
        let bound_before = matches!(self.copies, Copies::Bound) && before.rotation.attacker.has_copied();
        match (before.confirmed(), next.confirmed()) {
            (Some(Key::Own(_)), _) if served && unproven => Some(DeviceFailure::CopyRenewed),
            (_, Some(Key::Attacker)) => Some(DeviceFailure::TakenOver),
            (_, Some(key)) if next.browser != Some(key) => Some(DeviceFailure::Stranded),
            _ if bound_before && next.rotation.revoked && !next.signed_out => {
                Some(DeviceFailure::Rotation(Failure::SignedOut(RefreshDecision::Reuse)))
            }
            _ => taken.and_then(|taken| taken.failure).map(DeviceFailure::Rotation),
        }
    }
}

fn refuses(rotation: RefreshDecision) -> bool {
    matches!(rotation, RefreshDecision::Reuse | RefreshDecision::Refuse(_) | RefreshDecision::FastForward)
}
