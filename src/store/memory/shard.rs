//! A shard: one part of the memory store, with one lock.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use super::entry::Entry;
use crate::{
    id::SessionId,
    store::{SessionKey, Subject},
    time::Timestamp,
};

/// The shortest time between two sweeps of a shard.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// The number of shards for a capacity. All sessions of a subject are in one shard. A sweep goes through a whole shard.
/// So if the capacity is at most 67 million, a shard of a full store has at most about a thousand sessions.
pub(super) fn shards(capacity: usize) -> usize {
    (capacity / 1024).clamp(1024, 65_536)
}

/// The sessions of some subjects. Revoked sessions are kept apart, so that they do not slow down operations on live
/// sessions.
#[derive(Debug, Default)]
pub(super) struct Shard {
    /// The sessions that are not revoked, sorted by ID.
    subjects: HashMap<Subject, Box<[Entry]>>,
    revoked: HashMap<SessionId, (Subject, Entry)>,
    /// The IDs of the revoked sessions, in the order of their revocation.
    order: VecDeque<SessionId>,
    swept: Timestamp,
}

/// A number of sessions in a shard, or of sessions that a shard has forgotten.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    /// The sessions that are not revoked.
    pub(super) kept: usize,
    pub(super) revoked: usize,
}

impl Shard {
    fn of(&self, subject: &Subject) -> &[Entry] {
        self.subjects.get(subject).map_or(&[], AsRef::as_ref)
    }

    pub(super) fn contains(&self, subject: &Subject, id: &SessionId) -> bool {
        self.of(subject).binary_search_by_key(id, Entry::id).is_ok()
            || self.revoked.get(id).is_some_and(|(of, _)| of == subject)
    }

    pub(super) fn get_mut(&mut self, key: &SessionKey) -> Option<&mut Entry> {
        if let Some(entries) = self.subjects.get_mut(&key.subject)
            && let Ok(index) = entries.binary_search_by_key(&key.id, Entry::id)
        {
            return entries.get_mut(index);
        }
        self.revoked.get_mut(&key.id).filter(|(of, _)| *of == key.subject).map(|(_, entry)| entry)
    }

    /// The live sessions of a subject, oldest first.
    pub(super) fn live(&self, subject: &Subject, now: Timestamp) -> Vec<&Entry> {
        let mut live: Vec<_> = self.of(subject).iter().filter(|entry| entry.family().is_live(now)).collect();
        live.sort_by_key(|entry| entry.family().created_at);
        live
    }

    /// Adds a session whose ID is new.
    pub(super) fn insert(&mut self, subject: &Subject, entry: Entry) {
        let slot = self.subjects.entry(subject.clone()).or_default();
        let mut entries = std::mem::take(slot).into_vec();
        let index = entries.partition_point(|other| other.id() < entry.id());
        entries.reserve_exact(1);
        entries.insert(index, entry);
        *slot = entries.into_boxed_slice();
    }

    /// Revokes the sessions of a subject for which `matches` returns true. Returns the sessions that this call revoked.
    pub(super) fn revoke(&mut self, subject: &Subject, matches: impl Fn(&Entry) -> bool) -> Vec<SessionId> {
        let Some(entries) = self.subjects.get_mut(subject) else { return Vec::new() };
        if !entries.iter().any(&matches) {
            return Vec::new();
        }
        let (revoked, kept): (Vec<_>, Vec<_>) =
            std::mem::take(entries).into_iter().partition(|entry| matches(entry));
        match kept.is_empty() {
            true => drop(self.subjects.remove(subject)),
            false => *entries = kept.into_boxed_slice(),
        }
        let ids: Vec<_> = revoked.iter().map(Entry::id).collect();
        for mut entry in revoked {
            entry.revoke();
            self.revoked.insert(entry.id(), (subject.clone(), entry));
        }
        self.order.extend(&ids);
        ids
    }

    /// Forgets the session that was revoked first. Returns false if there is no revoked session.
    pub(super) fn forget_revoked(&mut self) -> bool {
        self.order.pop_front().is_some_and(|oldest| self.revoked.remove(&oldest).is_some())
    }

    /// Forgets expired sessions, at most once every 60 s. Returns how many sessions were forgotten.
    pub(super) fn sweep(&mut self, now: Timestamp) -> Count {
        // If the clock was set back, sweep at once. Otherwise the sweeps would stop until the clock shows the old time
        // again.
        if now.since(self.swept) < SWEEP_EVERY && self.swept <= now {
            return Count::default();
        }
        self.swept = now;
        let is_kept = |entry: &Entry| {
            let family = entry.family();
            now < family.absolute_deadline && now < family.idle_deadline
        };
        let mut kept = 0;
        self.subjects.retain(|_, entries| {
            let gone = entries.iter().filter(|entry| !is_kept(entry)).count();
            if gone > 0 {
                *entries = std::mem::take(entries).into_iter().filter(|entry| is_kept(entry)).collect();
            }
            kept += gone;
            !entries.is_empty()
        });
        let before = self.revoked.len();
        // A revoked session is remembered until its refresh token would have expired.
        self.revoked.retain(|_, (_, entry)| now < entry.family().absolute_deadline);
        let revoked = before - self.revoked.len();
        if revoked > 0 {
            self.order.retain(|id| self.revoked.contains_key(id));
        }
        Count { kept, revoked }
    }

    /// Forgets all sessions. Returns how many sessions were forgotten.
    pub(super) fn clear(&mut self) -> Count {
        let kept = self.subjects.values().map(|entries| entries.len()).sum();
        let count = Count { kept, revoked: self.revoked.len() };
        (self.subjects, self.revoked, self.order) = Default::default();
        count
    }
}
