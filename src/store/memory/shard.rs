//! One part of the memory store.

use std::{collections::HashMap, time::Duration};

use super::entry::Entry;
use crate::{
    id::SessionId,
    store::{SessionKey, Subject},
    time::Timestamp,
};

/// How long expired sessions may wait to be swept.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Each subject's sessions, sorted by id.
#[derive(Debug, Default)]
pub(super) struct Shard {
    subjects: HashMap<Subject, Box<[Entry]>>,
    swept: Timestamp,
}

impl Shard {
    fn of(&self, subject: &Subject) -> &[Entry] {
        self.subjects.get(subject).map_or(&[], AsRef::as_ref)
    }

    pub(super) fn contains(&self, subject: &Subject, id: &SessionId) -> bool {
        self.of(subject).binary_search_by_key(id, Entry::id).is_ok()
    }

    pub(super) fn get_mut(&mut self, key: &SessionKey) -> Option<&mut Entry> {
        let entries = self.subjects.get_mut(&key.subject)?;
        let index = entries.binary_search_by_key(&key.id, Entry::id).ok()?;
        entries.get_mut(index)
    }

    /// The live sessions of a subject, oldest first.
    pub(super) fn live(&self, subject: &Subject, now: Timestamp) -> Vec<&Entry> {
        let mut live: Vec<_> = self.of(subject).iter().filter(|entry| entry.family().is_live(now)).collect();
        live.sort_by_key(|entry| entry.family().created_at);
        live
    }

    /// Adds a session whose id is new.
    pub(super) fn insert(&mut self, subject: &Subject, entry: Entry) {
        let slot = self.subjects.entry(subject.clone()).or_default();
        let mut entries = std::mem::take(slot).into_vec();
        let index = entries.partition_point(|other| other.id() < entry.id());
        entries.reserve_exact(1);
        entries.insert(index, entry);
        *slot = entries.into_boxed_slice();
    }

    /// Ends the sessions of a subject that `matches` names. Answers with those it ended.
    pub(super) fn revoke(&mut self, subject: &Subject, matches: impl Fn(&Entry) -> bool) -> Vec<SessionId> {
        let Some(entries) = self.subjects.get_mut(subject) else { return Vec::new() };
        let mut ended = Vec::new();
        for entry in entries.iter_mut().filter(|entry| matches(entry)) {
            if entry.revoke() {
                ended.push(entry.id());
            }
        }
        ended
    }

    /// Forgets what has expired, if that was not done lately. Answers with how many.
    pub(super) fn sweep(&mut self, now: Timestamp) -> usize {
        // A clock that was set back must not stop the sweeping.
        if now.since(self.swept) < SWEEP_EVERY && self.swept <= now {
            return 0;
        }
        self.swept = now;
        let is_kept = |entry: &Entry| {
            let family = entry.family();
            // An ended session is remembered until its refresh token would have expired.
            now < family.absolute_deadline && (family.revoked || now < family.idle_deadline)
        };
        let mut swept = 0;
        self.subjects.retain(|_, entries| {
            let gone = entries.iter().filter(|entry| !is_kept(entry)).count();
            if gone > 0 {
                *entries = std::mem::take(entries).into_iter().filter(|entry| is_kept(entry)).collect();
            }
            swept += gone;
            !entries.is_empty()
        });
        swept
    }

    /// Forgets everything. Answers with how much that was.
    pub(super) fn clear(&mut self) -> usize {
        let gone = self.subjects.values().map(|entries| entries.len()).sum();
        self.subjects.clear();
        gone
    }
}
