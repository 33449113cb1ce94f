//! One state of a small world, relative to *now* and to the record's generation.
//!
//! The protocol depends only on differences, and neither on the absolute time nor on the number of
//! rotations. So a world keeps ages in place of points in time, and lags in place of generations. Both
//! stop counting where more makes no difference. That leaves finitely many worlds, although their
//! sessions live and rotate for ever.

use tower_sliding_sessions::{Timestamp, protocol::Family};

use crate::{
    attacker::{Attacker, Seen},
    model::Model,
    rules::Record,
};

/// Ticks since an event.
pub(crate) type Age = u8;

/// The number of generations behind the record's.
pub(crate) type Lag = u8;

/// Two or more generations behind: the table does not distinguish between them.
pub(crate) const STALE: Lag = 2;

/// The most messages in flight.
pub(crate) const ROOM: usize = 6;

/// The crate's time at every step.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_000_000);

/// The record's generation before every step, for the crate.
pub(crate) const CURRENT: u64 = 1_000;

/// An access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Access {
    pub(crate) lag: Lag,
    /// Ticks since it was issued, by the fastest clock; zero where that makes no difference.
    pub(crate) age: Age,
}

/// The cookies of the legitimate browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Jar {
    pub(crate) refresh: Lag,
    /// None also stands for a token that cannot confirm anything: that makes no difference.
    pub(crate) access: Option<Access>,
}

/// The cookies on the browser's disk, with which it restarts after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Disk {
    pub(crate) jar: Jar,
    /// Ticks since the jar held this.
    pub(crate) age: Age,
}

/// A message in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    /// The generation that it carries, or as which a handler's request is served.
    pub(crate) lag: Lag,
    /// Ticks in transit, or at work. A note's age is by the fastest clock.
    pub(crate) age: Age,
    /// The age of its access token, by the fastest clock; zero where that makes no difference.
    pub(crate) issued: Age,
    /// Whether it is a request with a body, which may be late.
    pub(crate) body: bool,
    /// Whether the browser has crashed since it sent this request: no response reaches it.
    pub(crate) orphan: bool,
}

impl Message {
    pub(crate) const fn new(kind: Kind, lag: Lag) -> Self {
        Self { kind, lag, age: 0, issued: 0, body: false, orphan: false }
    }

    /// Whether the network has it, and delivers it in time or not at all.
    pub(crate) fn is_on_its_way(self) -> bool {
        matches!(self.kind, Kind::Renewal | Kind::Use | Kind::Both | Kind::Access)
    }
}

/// The kinds of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// A request whose access token will be missing or expired, so that its refresh token decides. Which
    /// of the two a request is, is a free choice at the time of sending.
    Renewal,
    /// A request whose access token will be valid.
    Use,
    /// A handler of a renewed request, which was served as a newer generation than the presented one, or
    /// as the same. For a token client it holds the record.
    Handler { newer: bool, read: Option<Read> },
    /// A response with a refresh token and its access token.
    Both,
    /// A response with an access token only.
    Access,
    /// A confirmation that an instance has not written yet.
    Note,
}

/// A record as it was read for a token client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Read {
    /// Ticks since the read.
    pub(crate) age: Age,
    /// How long the generation had been confirmed at the read, plus those ticks, by the fastest clock.
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

/// Messages are unordered, since they may overtake each other. They are kept sorted.
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

/// The whole state: a record at the server, a browser, the messages in flight, and possibly an attacker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    /// How long the current generation has been confirmed, by the fastest clock.
    pub(crate) confirmed: Option<Age>,
    /// When it was rotated, by the fastest clock; zero if the rules do not use that.
    pub(crate) rotated: Age,
    /// Ticks since it was last sent to its predecessor's holder, by the fastest clock; zero where that
    /// makes no difference.
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
        // Generation 0 behaves like any other from here on, so the record starts at `CURRENT`.
        let family = Family { generation: CURRENT, ..record.family };
        world.remember(model, &Record { family, ..record });
        world.simplify(model);
        world
    }

    /// The record as the crate's type, relative to [`NOW`] and [`CURRENT`].
    pub(crate) fn record(&self, model: &Model) -> Record {
        let mut record = Record::begin(NOW, model.rules.timing());
        record.family.generation = CURRENT;
        record.family.confirmed_at = self.confirmed.map(|age| model.ago(age));
        record.family.handed_out_at = model.ago(self.offered);
        record.family.revoked = self.revoked;
        record.rotated_at = model.ago(self.rotated);
        record
    }

    /// Copies the state of the record back. After a rotation, everything else falls behind.
    pub(crate) fn remember(&mut self, model: &Model, record: &Record) {
        self.confirmed = record.family.confirmed_at.map(|at| model.age(at).min(model.old()));
        self.rotated = if model.rules.mind_rotations() { model.age(record.rotated_at) } else { 0 };
        self.offered = model.age(record.family.handed_out_at).min(model.offered());
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

    /// Drops state that cannot make a difference, so that worlds that differ only in it are the same
    /// world.
    ///
    /// A token that can confirm nothing now never will: generations only grow, and a confirmation is
    /// final. The delivery of an access token that can confirm nothing only removes another one, and the
    /// use of that one was a free choice. Cookies on disk that equal the jar can be saved again at any
    /// time.
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

    /// One tick later. None if a message would be in transit, or a jar unsaved, for longer than possible.
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
