//! A small world with a device key: the world of the rotation, the key in the record and in the browser, and the
//! messages about it.

use tower_sliding_sessions::protocol::{Binding, Thumbprint};

use super::model::DeviceModel;
use crate::world::{Age, Lag, World, behind};

/// A device key. The browser makes a new one for each registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Key {
    Own(u8),
    Attacker,
}

impl Key {
    pub(super) const fn thumbprint(self) -> Thumbprint {
        match self {
            Self::Own(number) => Thumbprint([number; 32]),
            Self::Attacker => Thumbprint([u8::MAX; 32]),
        }
    }
}

/// The most messages about keys in flight.
pub(super) const ROOM: usize = 3;

/// A message about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Letter {
    pub(super) kind: LetterKind,
    pub(super) key: Key,
    /// The generation of the refresh token that came with the request.
    pub(super) lag: Lag,
    /// Ticks in transit, or since the request arrived.
    pub(super) age: Age,
    /// The age of the access token in the response, by the fastest clock; zero where that makes no difference.
    pub(super) issued: Age,
    /// Whether the browser has crashed or given up since it sent this request: no response reaches it.
    pub(super) orphan: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum LetterKind {
    /// A request that registers a key.
    Registration,
    /// Its handler, after the key was written.
    Registering,
    /// Its response: instructions in the body, an access token in the head.
    Registered,
    /// A request with a proof.
    Refresh,
    /// A response that tells the browser to forget its binding.
    Forget,
}

impl Letter {
    pub(super) const fn new(kind: LetterKind, key: Key, lag: Lag) -> Self {
        Self { kind, key, lag, age: 0, issued: 0, orphan: false }
    }
}

/// The key in the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Registered {
    pub(super) key: Key,
    /// Ticks since its registration, by the fastest clock; zero once it is confirmed.
    pub(super) age: Age,
    pub(super) confirmed: bool,
}

/// The key on the browser's disk, with which it restarts after a crash. It is not saved together with the cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SavedKey {
    pub(super) key: Option<Key>,
    /// Ticks since the browser held this.
    pub(super) age: Age,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Device {
    pub(super) rotation: World,
    pub(super) record: Option<Registered>,
    /// The key of the browser's binding.
    pub(super) browser: Option<Key>,
    pub(super) disk: Option<SavedKey>,
    /// The key that the browser's access token names, if a broken rule uses that.
    pub(super) token: Option<Key>,
    pub(super) letters: [Option<Letter>; ROOM],
    /// Ticks since the sign-in, by the fastest clock; zero where that makes no difference.
    pub(super) signed_in: Age,
    /// Whether the user has signed out.
    pub(super) signed_out: bool,
}

impl Device {
    pub(super) fn begin(model: &DeviceModel) -> Self {
        Self {
            rotation: World::begin(&model.base),
            record: None,
            browser: None,
            disk: (model.base.crash > 0).then_some(SavedKey { key: None, age: 0 }),
            token: None,
            letters: [None; ROOM],
            signed_in: 0,
            signed_out: false,
        }
    }

    pub(super) fn letters(&self) -> impl Iterator<Item = Letter> {
        self.letters.iter().copied().flatten()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.rotation.messages.iter().count() + self.letters().count()
    }

    pub(super) fn add(&mut self, letter: Letter) {
        let free = self.letters.iter_mut().find(|slot| slot.is_none()).expect("the model counts the letters");
        *free = Some(letter);
    }

    pub(super) fn remove(&mut self, letter: Letter) {
        let slot = self.letters.iter_mut().find(|slot| **slot == Some(letter)).expect("it is there");
        *slot = None;
    }

    pub(super) fn change(&mut self, change: impl Fn(Letter) -> Option<Letter>) {
        for slot in &mut self.letters {
            *slot = slot.and_then(&change);
        }
    }

    /// The record's key, as the crate's type.
    pub(super) fn binding(&self, model: &DeviceModel) -> Option<Binding> {
        self.record.map(|Registered { key, age, confirmed }| Binding {
            key: key.thumbprint(),
            registered_at: model.base.ago(age),
            confirmed,
        })
    }

    pub(super) fn confirmed(&self) -> Option<Key> {
        self.record.filter(|record| record.confirmed).map(|record| record.key)
    }

    /// A key that the browser has not made yet, or that makes no difference any more.
    pub(super) fn new_key(&self, keys: u8) -> Option<Key> {
        let used = |key| {
            self.record.is_some_and(|record| record.key == key)
                || self.browser == Some(key)
                || self.token == Some(key)
                || self.disk.is_some_and(|disk| disk.key == Some(key))
                || self.letters().any(|letter| letter.key == key)
        };
        (0..keys).map(Key::Own).find(|key| !used(*key))
    }

    /// After a rotation, the letters are of an older generation.
    pub(super) fn fall_behind(&mut self) {
        self.change(|letter| Some(Letter { lag: behind(letter.lag), ..letter }));
    }

    /// Drops what makes no difference.
    pub(super) fn simplify(&mut self) {
        if let Some(record) = self.record.as_mut().filter(|record| record.confirmed) {
            record.age = 0;
            self.signed_in = 0;
        }
        if let Some(disk) = self.disk.as_mut().filter(|disk| disk.key == self.browser) {
            disk.age = 0;
        }
        self.letters.sort_unstable();
    }

    /// One tick later. None if a message would be in transit, or a key unsaved, for longer than possible.
    pub(super) fn tick(mut self, model: &DeviceModel) -> Option<Self> {
        let base = &model.base;
        let overdue = |letter: Letter| letter.kind != LetterKind::Registering && letter.age == base.delay;
        let lost = |disk: SavedKey| disk.key != self.browser && disk.age + 1 >= base.crash;
        if self.letters().any(overdue) || self.disk.is_some_and(lost) {
            return None;
        }
        self.rotation = self.rotation.tick(base)?;
        self.disk = self.disk.map(|disk| SavedKey { age: disk.age + 1, ..disk });
        let old = model.old();
        self.record = self.record.map(|record| Registered { age: (record.age + 1).min(old), ..record });
        if self.record.is_some_and(|record| model.is_neglected(record)) {
            return None;
        }
        self.signed_in = if model.minds_sign_in() { (self.signed_in + 1).min(model.late()) } else { 0 };
        self.change(|letter| {
            let most = if letter.kind == LetterKind::Registering { base.too_late() } else { base.delay };
            let issued = (letter.issued + 1).min(base.settled());
            Some(Letter { age: (letter.age + 1).min(most), issued, ..letter })
        });
        self.simplify();
        Some(self)
    }
}
