//! One state of a small world, told relative to *now* and to the record's generation.
//!
//! Nothing in the protocol depends on what time it is or on how many rotations there were, only on
//! differences. So a world keeps ages instead of points in time and lags instead of generations,
//! and both stop counting where more makes no difference. That leaves finitely many worlds,
//! although sessions in them live and rotate for ever.

use tower_sliding_sessions::{Timestamp, protocol::Family};

use crate::{
    attacker::{Attacker, Seen},
    model::Model,
    rules::Record,
};

/// Ticks since something happened.
pub(crate) type Age = u8;

/// How many generations behind the record's.
pub(crate) type Lag = u8;

/// Two generations behind or more: the table makes no difference between them.
pub(crate) const STALE: Lag = 2;

/// The most messages at a time that a world has room for.
pub(crate) const ROOM: usize = 6;

/// The point in time that every step is taken at, as far as the crate can tell.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_000_000);

/// The generation that the record is at before every step, as far as the crate can tell.
pub(crate) const CURRENT: u64 = 1_000;

/// An access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Access {
    pub(crate) lag: Lag,
    /// Since it was issued, by the fastest clock; zero where that makes no difference.
    pub(crate) age: Age,
}

/// The cookies of the legitimate browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Jar {
    pub(crate) refresh: Lag,
    /// None also stands for a token that could not confirm anything: it makes no difference.
    pub(crate) access: Option<Access>,
}

/// What the browser has put on disk, and comes back with if it crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Disk {
    pub(crate) jar: Jar,
    /// Since it was what the jar held.
    pub(crate) age: Age,
}

/// Something under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    /// The generation that it carries, or that a handler's request is served as.
    pub(crate) lag: Lag,
    /// Since when: ticks on its way, or at work. A note's age is by the fastest clock.
    pub(crate) age: Age,
    /// How long ago its access token was issued, by the fastest clock; zero where that makes no
    /// difference.
    pub(crate) issued: Age,
    /// Whether it is a request with a body, which may be late.
    pub(crate) body: bool,
    /// Whether it is a request of a browser that has crashed since: it has no answer.
    pub(crate) orphan: bool,
}

impl Message {
    pub(crate) const fn new(kind: Kind, lag: Lag) -> Self {
        Self { kind, lag, age: 0, issued: 0, body: false, orphan: false }
    }

    /// Whether it is with the network, which delivers in time or not at all.
    pub(crate) fn is_on_its_way(self) -> bool {
        matches!(self.kind, Kind::Renewal | Kind::Use | Kind::Both | Kind::Access)
    }
}

/// The kinds of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// A request whose access token will be found missing or expired, so its refresh token
    /// decides. Which of the two a request will be is a free choice, made when it is sent.
    Renewal,
    /// A request whose access token will be found valid.
    Use,
    /// A handler at work on a renewed request, which was served as a generation newer than the
    /// one it presented, or the same. For a token client it has the record at hand.
    Handler { newer: bool, read: Option<Read> },
    /// A response with a refresh token and its access token.
    Both,
    /// A response with an access token only.
    Access,
    /// A confirmation that an instance is yet to write down.
    Note,
}

/// A record as it was read for a token client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Read {
    /// Ticks since then.
    pub(crate) age: Age,
    /// How long the generation had been confirmed then, plus those ticks, by the fastest clock.
    pub(crate) confirmed: Option<Age>,
    /// The clock of the instance that read it.
    pub(crate) clock: Age,
}

impl Read {
    fn tick(self, model: &Model) -> Self {
        let old = |age: Age| (age + 1).min(model.old());
        Self { age: old(self.age), confirmed: self.confirmed.map(old), ..self }
    }
}

/// Messages in no particular order: they overtake each other at will, so they are kept sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Messages([Option<Message>; ROOM]);

impl Messages {
    pub(crate) const NONE: Self = Self([None; ROOM]);

    pub(crate) fn iter(&self) -> impl Iterator<Item = Message> {
        self.0.iter().copied().flatten()
    }

    pub(crate) fn add(&mut self, message: Message) {
        let free = self.0.iter_mut().find(|slot| slot.is_none()).expect("the model counts what is in flight");
        *free = Some(message);
    }

    pub(crate) fn remove(&mut self, message: Message) {
        let slot = self.0.iter_mut().find(|slot| **slot == Some(message)).expect("it is there");
        *slot = None;
    }

    pub(crate) fn change(&mut self, change: impl Fn(Message) -> Option<Message>) {
        for slot in &mut self.0 {
            *slot = slot.and_then(&change);
        }
    }

    pub(crate) fn sort(&mut self) {
        self.0.sort_unstable();
    }
}

/// One generation further behind.
pub(crate) fn behind(lag: Lag) -> Lag {
    (lag + 1).min(STALE)
}

/// All that there is: a record at the server, a browser, what is under way between them, and
/// perhaps an attacker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    /// How long the current generation has been confirmed, by the fastest clock.
    pub(crate) confirmed: Option<Age>,
    /// When it was rotated, by the fastest clock; zero if the rules do not mind.
    pub(crate) rotated: Age,
    /// Since it was last handed out for its predecessor, by the fastest clock; zero where that makes
    /// no difference.
    pub(crate) offered: Age,
    pub(crate) revoked: bool,
    pub(crate) jar: Jar,
    pub(crate) disk: Option<Disk>,
    pub(crate) messages: Messages,
    pub(crate) attacker: Attacker,
    pub(crate) seen: Seen,
}

impl World {
    /// The browser has just signed in.
    pub(crate) fn begin(model: &Model) -> Self {
        let record = Record::begin(NOW, model.rules.timing());
        let jar = Jar { refresh: 0, access: Some(Access { lag: 0, age: 0 }) };
        let mut world = Self {
            confirmed: None,
            rotated: 0,
            offered: 0,
            revoked: false,
            jar,
            disk: (model.crash > 0).then_some(Disk { jar, age: 0 }),
            messages: Messages::NONE,
            attacker: Attacker::default(),
            seen: Seen::begin(model),
        };
        // Generation 0 is as good as any other from here on, so the record starts at `CURRENT`.
        let family = Family { generation: CURRENT, ..record.family };
        world.remember(model, &Record { family, ..record });
        world.simplify(model);
        world
    }

    /// The record in the crate's own terms, around [`NOW`] and [`CURRENT`].
    pub(crate) fn record(&self, model: &Model) -> Record {
        let mut record = Record::begin(NOW, model.rules.timing());
        record.family.generation = CURRENT;
        record.family.confirmed_at = self.confirmed.map(|age| model.ago(age));
        record.family.offered_at = model.ago(self.offered);
        record.family.revoked = self.revoked;
        record.rotated_at = model.ago(self.rotated);
        record
    }

    /// Takes over what became of the record. If it was rotated, everything else falls behind.
    pub(crate) fn remember(&mut self, model: &Model, record: &Record) {
        self.confirmed = record.family.confirmed_at.map(|at| model.age(at).min(model.old()));
        self.rotated = if model.rules.mind_rotations() { model.age(record.rotated_at) } else { 0 };
        self.offered = model.age(record.family.offered_at).min(model.offered());
        self.revoked = record.family.revoked;
        if record.family.generation == CURRENT {
            return;
        }
        assert_eq!(record.family.generation, CURRENT + 1, "one rotation at a time");
        self.jar = self.jar.behind();
        self.disk = self.disk.map(|disk| Disk { jar: disk.jar.behind(), ..disk });
        self.messages.change(|message| Some(Message { lag: behind(message.lag), ..message }));
        self.attacker.fall_behind();
        self.seen.fall_behind();
    }

    /// Forgets what can make no difference any more, so that worlds that only differ in that are
    /// one.
    ///
    /// What can confirm nothing now never will: generations only grow, and a confirmation is
    /// final. To deliver an access token that can confirm nothing only takes another one away,
    /// and to use that was a free choice anyway. What is on disk as it is in the jar may be saved
    /// again at any time.
    pub(crate) fn simplify(&mut self, model: &Model) {
        if self.confirmed.is_some() || !model.minds_ages() {
            self.offered = 0;
        }
        if !model.remembers_all {
            self.forget(model);
        }
        let jar = self.jar;
        if let Some(disk) = self.disk.as_mut().filter(|disk| disk.jar == jar) {
            disk.age = 0;
        }
        self.messages.sort();
    }

    fn forget(&mut self, model: &Model) {
        let record = self.record(model);
        let counts = |generation: Lag| model.may_confirm(&record, generation);
        let told = |access: Access| {
            let age = if model.minds_ages() { access.age } else { 0 };
            counts(access.lag).then_some(Access { age, ..access })
        };
        self.jar.access = self.jar.access.and_then(told);
        if let Some(disk) = &mut self.disk {
            disk.jar.access = disk.jar.access.and_then(told);
        }
        self.attacker.access = self.attacker.access.and_then(told);
        let revoked = self.revoked;
        self.messages.change(|message| {
            let matters = match message.kind {
                Kind::Renewal | Kind::Both => true,
                Kind::Use => counts(message.lag) && model.may_count(message),
                Kind::Access | Kind::Note => counts(message.lag),
                Kind::Handler { .. } => {
                    let mut answers = model.answers(message, revoked);
                    answers.any(|answer| answer.kind == Kind::Both || counts(answer.lag))
                }
            };
            let minds_age = model.minds_ages() && counts(message.lag);
            let issued = if minds_age { message.issued } else { 0 };
            matters.then_some(Message { issued, ..message })
        });
    }

    /// One tick later. None if something would be on its way, or unsaved, for longer than can be.
    pub(crate) fn tick(mut self, model: &Model) -> Option<Self> {
        let overdue = |message: Message| match message.kind {
            Kind::Note => message.age >= model.latest_note.saturating_add(model.skew),
            _ => message.is_on_its_way() && message.age == model.longest_way(message),
        };
        let lost = |disk: Disk| disk.jar != self.jar && disk.age + 1 >= model.crash;
        if self.disk.is_some_and(lost) || self.messages.iter().any(overdue) {
            return None;
        }
        let old = |age: Age| (age + 1).min(model.old());
        let settled = |age: Age| (age + 1).min(model.settled());
        let older =
            |jar: Jar| Jar { access: jar.access.map(|it| Access { age: settled(it.age), ..it }), ..jar };
        self.jar = older(self.jar);
        self.disk = self.disk.map(|disk| Disk { jar: older(disk.jar), age: disk.age + 1 });
        self.confirmed = self.confirmed.map(old);
        self.offered = (self.offered + 1).min(model.offered());
        if model.rules.mind_rotations() {
            self.rotated = old(self.rotated);
        }
        self.seen.tick(model);
        self.attacker.access = self.attacker.access.map(|it| Access { age: settled(it.age), ..it });
        self.messages.change(|message| {
            let most = match message.kind {
                Kind::Handler { .. } => model.too_late(),
                Kind::Note => model.old(),
                _ => model.longest_way(message),
            };
            let kind = match message.kind {
                Kind::Handler { newer, read } => {
                    Kind::Handler { newer, read: read.map(|read| read.tick(model)) }
                }
                kind => kind,
            };
            let (age, issued) = ((message.age + 1).min(most), settled(message.issued));
            Some(Message { kind, age, issued, ..message })
        });
        self.simplify(model);
        Some(self)
    }
}

impl Jar {
    fn behind(self) -> Self {
        let access = self.access.map(|access| Access { lag: behind(access.lag), ..access });
        Self { refresh: behind(self.refresh), access }
    }
}
