//! The rules about device keys: the crate's own functions, unchanged or with one rule broken.

use std::fmt::{self, Display, Formatter};

use tower_sliding_sessions::protocol::{
    Binding, BindingDecision, RegistrationDecision, RegistrationLimits, RotationTiming, decide_binding,
    decide_registration,
};

use super::world::{Device, Key, Registered};
use crate::{
    model::{Model, ticks},
    rules::FAR,
    world::Age,
};

/// One broken rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BrokenBinding {
    /// A key is confirmed by its registration.
    ConfirmedAtOnce,
    /// A proof confirms a key one tick too early.
    ConfirmedEarly,
    /// The first proof confirms a key, for every crash window.
    ConfirmedByFirstProof,
    /// An access token of the registration confirms its key.
    ConfirmedByToken,
    /// A refresh token without a proof renews a bound session.
    ProofNotDemanded,
    /// A refresh token without a proof is judged as reuse.
    ReuseWithoutProof,
    /// An access token confirms its generation in a bound session.
    AccessConfirmsGeneration,
    /// A confirmed key can be replaced.
    ConfirmedKeyReplaced,
    /// A provisional key can be replaced at any time.
    ProvisionalKeyReplaced,
    /// The same key is registered again without a new time.
    RepeatKeepsTime,
    /// A session can be bound at any time after the sign-in.
    NoWindow,
    /// The response to a registration is sent however long it took.
    LateRegistration,
    /// A browser that proves a key which is not in the record is told to forget its key.
    UnknownKeyForgotten,
}

/// When the attacker copies the cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copies {
    Never,
    /// At any time.
    Always,
    /// At any time after the confirmation of the browser's key.
    Bound,
    /// At any time after the registration of the browser's key, which the browser confirms as soon as it can.
    Registered,
    /// At any time after the registration window, if no key is registered then.
    Unbound,
}

/// The bounds of a world with a device key.
#[derive(Clone, Copy, Debug)]
pub(super) struct DeviceModel {
    pub(super) base: Model,
    pub(super) copies: Copies,
    /// How long after the sign-in a session can be bound. None for any time.
    pub(super) window: Option<Age>,
    /// How many keys the browser has at a time, in transit or stored. None if it cannot bind sessions.
    pub(super) keys: u8,
    /// Whether the user may sign out.
    pub(super) signs_out: bool,
    pub(super) broken: Option<BrokenBinding>,
}

/// The access token's lifetime.
const ACCESS_TTL: Age = 1;

impl DeviceModel {
    pub(super) fn new(base: Model) -> Self {
        Self { base, copies: Copies::Never, window: None, keys: 2, signs_out: false, broken: None }
    }

    pub(super) fn with_attacker(self, copies: Copies) -> Self {
        Self { base: Model { attacker: true, ..self.base }, copies, ..self }
    }

    pub(super) fn breaking(self, broken: BrokenBinding) -> Self {
        Self { broken: Some(broken), ..self }
    }

    pub(super) fn breaks(&self, broken: BrokenBinding) -> bool {
        self.broken == Some(broken)
    }

    /// `W + C + 2·G`.
    fn confirmation_age(&self) -> Age {
        let timing = RotationTiming::from(self.base.rules.timing());
        Age::try_from(timing.confirmation_age(false).as_millis()).expect("a small world")
    }

    /// Whether the browser proves its key as soon as that confirms it.
    fn is_in_use(&self) -> bool {
        self.copies == Copies::Registered
    }

    /// Whether the browser has let the time pass in which it can confirm its key.
    pub(super) fn is_neglected(&self, record: Registered) -> bool {
        self.is_in_use() && !record.confirmed && record.age >= self.confirmation_age() + ACCESS_TTL
    }

    /// The age of a registration at which everything is due, even by the slowest clock.
    pub(super) fn old(&self) -> Age {
        self.confirmation_age() + ACCESS_TTL + self.base.skew + 1
    }

    pub(super) fn minds_sign_in(&self) -> bool {
        self.window.is_some()
    }

    /// The time since the sign-in after which a session cannot be bound, even by the slowest clock.
    pub(super) fn late(&self) -> Age {
        self.window.unwrap_or(0) + self.base.skew + 1
    }

    /// The registration of a key, at an instance with that clock. Writes the record.
    pub(super) fn register(&self, world: &mut Device, key: Key, clock: Age) -> RegistrationDecision {
        let binding = world.binding(self);
        let limits = RegistrationLimits {
            authenticated_at: self.base.ago(world.signed_in),
            window: self.window.filter(|_| !self.breaks(BrokenBinding::NoWindow)).map_or(FAR, ticks),
            access_ttl: ticks(ACCESS_TTL),
        };
        let family = world.rotation.record(&self.base).family;
        let now = self.base.at(clock);
        if !family.is_live(now) {
            return RegistrationDecision::Refuse;
        }
        let judged = match (binding, self.broken) {
            (Some(Binding { confirmed: true, .. }), Some(BrokenBinding::ConfirmedKeyReplaced))
            | (Some(Binding { confirmed: false, .. }), Some(BrokenBinding::ProvisionalKeyReplaced)) => None,
            (binding, _) => binding,
        };
        let decision = decide_registration(&key.thumbprint(), judged.as_ref(), &limits, &family.timing, now);
        if decision == RegistrationDecision::Register {
            let repeated = world.record.filter(|record| record.key == key);
            let age = match repeated {
                Some(record) if self.breaks(BrokenBinding::RepeatKeepsTime) => record.age,
                _ => self.base.age(now),
            };
            world.record =
                Some(Registered { key, age, confirmed: self.breaks(BrokenBinding::ConfirmedAtOnce) });
        }
        decision
    }

    /// A renewal with a proof of `key`, or without one. Writes the confirmation.
    pub(super) fn judge(&self, world: &mut Device, key: Option<Key>, clock: Age) -> BindingDecision {
        let binding = world.binding(self);
        let timing = world.rotation.record(&self.base).family.timing;
        let early = match self.broken {
            Some(BrokenBinding::ConfirmedEarly) => 1,
            Some(BrokenBinding::ConfirmedByFirstProof) => self.old(),
            _ => 0,
        };
        let now = self.base.at(clock + early);
        let proof = key.map(Key::thumbprint);
        let decision = match (self.broken, decide_binding(binding.as_ref(), proof.as_ref(), &timing, now)) {
            (Some(BrokenBinding::ProofNotDemanded), BindingDecision::ProofRequired) => {
                BindingDecision::Proceed
            }
            (_, decision) => decision,
        };
        let other = key.is_some_and(|key| world.record.is_none_or(|record| record.key != key));
        if decision == BindingDecision::Confirm {
            self.confirm(world);
        }
        if other && self.breaks(BrokenBinding::UnknownKeyForgotten) {
            BindingDecision::OtherKey
        } else {
            decision
        }
    }

    fn confirm(&self, world: &mut Device) {
        world.record = world.record.map(|record| Registered { confirmed: true, ..record });
    }

    /// The broken rule that an access token of the registration confirms the key.
    pub(super) fn confirm_by_token(&self, world: &mut Device) {
        let timing = world.rotation.record(&self.base).family.timing;
        let proof = world.token.map(Key::thumbprint);
        let decision = decide_binding(world.binding(self).as_ref(), proof.as_ref(), &timing, self.base.at(0));
        if decision == BindingDecision::Confirm {
            self.confirm(world);
        }
    }
}

impl Display for DeviceModel {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "a device key, {}", self.base)?;
        if self.signs_out {
            write!(f, ", a sign-out")?;
        }
        if let Some(window) = self.window {
            write!(f, ", bound within {window}")?;
        }
        if self.base.attacker {
            write!(f, ", copies {:?}", self.copies)?;
        }
        if self.keys == 0 {
            write!(f, ", a browser that cannot bind")?;
        }
        self.broken.map_or(Ok(()), |broken| write!(f, ", {broken:?}"))
    }
}
