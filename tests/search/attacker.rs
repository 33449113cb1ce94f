//! An attacker with a copy of the browser's cookies, and when a copy must be refused.
//!
//! The attacker is as strong as possible: it knows everything, it waits as long as it likes, its requests
//! and responses take no time, and it keeps every token.

use crate::{
    model::Model,
    world::{Access, Age, Jar, Lag, STALE, behind},
};

/// What an attacker holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Attacker {
    /// Whether it holds a refresh token that is this many generations behind.
    pub(crate) refresh: [bool; STALE as usize + 1],
    /// The oldest access token of the newest generation that it holds.
    pub(crate) access: Option<Access>,
    /// Whether it has presented a token to the server.
    pub(crate) struck: bool,
}

impl Attacker {
    pub(crate) fn has_copied(&self) -> bool {
        self.refresh.contains(&true)
    }

    pub(crate) fn copy(&mut self, jar: Jar) {
        self.take(jar.refresh);
        self.access = jar.access;
    }

    pub(crate) fn take(&mut self, refresh: Lag) {
        self.refresh[usize::from(refresh)] = true;
    }

    pub(crate) fn take_access(&mut self, access: Access) {
        let better = |held: Access| (held.lag, Age::MAX - held.age) <= (access.lag, Age::MAX - access.age);
        self.access = self.access.filter(|held| better(*held)).or(Some(access));
    }

    pub(crate) fn held(&self) -> impl Iterator<Item = Lag> + use<> {
        let refresh = self.refresh;
        (0..=STALE).filter(move |lag| refresh[usize::from(*lag)])
    }

    pub(crate) fn fall_behind(&mut self) {
        let [current, previous, stale] = self.refresh;
        self.refresh = [false, current, previous || stale];
        self.access = self.access.map(|access| Access { lag: behind(access.lag), ..access });
    }
}

/// How long ago the current generation and the one before it were confirmed.
///
/// The search keeps this next to the record, and the rules never see it. It says when a copy must no
/// longer be served: more than `G` after the confirmation of its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Seen([Option<Age>; 2]);

impl Seen {
    /// Generation 0 counts as confirmed from the start. Without an attacker there is nothing to check.
    pub(crate) fn begin(model: &Model) -> Self {
        Self(if model.attacker { [Some(0), Some(0)] } else { [None; 2] })
    }

    pub(crate) fn note(&mut self, model: &Model, generation: Lag, age: Age) {
        let Self([current, _]) = self;
        if model.attacker && generation == 0 && current.is_none() {
            *current = Some(age);
        }
    }

    /// Whether a refresh token's successor was confirmed more than a grace period ago, by every clock.
    pub(crate) fn superseded(&self, model: &Model, refresh: Lag) -> bool {
        self.successor(refresh).is_some_and(|age| age > model.grace() + model.skew)
    }

    /// Whether that is too long ago for any late request with a body, or the token is two generations
    /// behind.
    pub(crate) fn too_late(&self, model: &Model, refresh: Lag) -> bool {
        refresh > 1 || self.successor(refresh).is_some_and(|age| age > model.longest_refused() + model.skew)
    }

    fn successor(&self, refresh: Lag) -> Option<Age> {
        let Self([current, previous]) = *self;
        match refresh {
            0 => None,
            1 => current,
            _ => previous,
        }
    }

    pub(crate) fn fall_behind(&mut self) {
        let Self([current, previous]) = self;
        (*current, *previous) = (None, *current);
    }

    pub(crate) fn tick(&mut self, model: &Model) {
        for age in self.0.iter_mut().flatten() {
            *age = (*age + 1).min(model.longest_refused() + model.skew + 1);
        }
    }
}
