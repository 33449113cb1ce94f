//! Puts a key ring in force, and reports what changed.

use super::Engine;
use crate::{
    event::EventKind,
    token::{KeyChange, KeyStep, Keyring, Promotion},
};

impl<C> Engine<C> {
    /// Replaces the keys, and reports it.
    pub(crate) fn set_keys(&self, ring: Keyring) {
        let KeyChange { pulled, promotion } = self.tokens.set_keys(ring);
        let events = &self.config.events;
        if let Some(Promotion::Unpublished) = promotion {
            events.note(EventKind::KeyPromotedEarly);
        }
        let keys = in_words(self.tokens.codec().ring());
        events.note(EventKind::KeysChanged { keys, pulled });
    }
}

/// `k3 signing, k4 published, k2 retired`.
fn in_words(ring: &Keyring) -> String {
    let word = |step| match step {
        KeyStep::Published => "published",
        KeyStep::Signing => "signing",
        KeyStep::Retired => "retired",
    };
    let keys: Vec<_> = ring.list().iter().map(|key| format!("{} {}", key.kid, word(key.step))).collect();
    keys.join(", ")
}
