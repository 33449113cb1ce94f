//! A map that is read far more often than it is written. The map is split by key into shards, so that cores do not
//! share a lock.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, Hash, RandomState},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::{id::SessionId, time::Timestamp};

pub(super) const SHARDS: usize = 64;

/// The denylist's entry of a session or a subject.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    /// The name of the session's subject, if the session is revoked.
    pub(super) revoked: Option<Arc<str>>,
    pub(super) stale_since: Option<Timestamp>,
    /// Revocations of several sessions of the subject by one event. Each has the time before which the sessions began,
    /// and the session that was not revoked, if there is one. The revocations are written again after a failover.
    pub(super) revoked_before: Vec<(Timestamp, Option<SessionId>)>,
    /// When the entry can be removed, by the monotonic clock.
    pub(super) until: Duration,
}

#[derive(Debug)]
pub(super) struct ShardedMap<K> {
    len: AtomicUsize,
    /// How many times [`sweep_next`](Self::sweep_next) has swept a shard.
    sweeps: AtomicUsize,
    shards: Box<[RwLock<Shard<K>>]>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Shard<K> {
    entries: HashMap<K, Entry>,
    sweep_at: Duration,
}

impl<K> Shard<K> {
    fn sweep(&mut self, now: Duration) {
        self.entries.retain(|_, entry| now < entry.until);
        if self.entries.is_empty() {
            // Free the memory of a shard that had many entries.
            self.entries = HashMap::new();
        }
    }
}

impl<K: Eq + Hash> ShardedMap<K> {
    pub(super) fn new() -> Self {
        let shard = || RwLock::new(Shard { entries: HashMap::new(), sweep_at: Duration::ZERO });
        Self {
            len: AtomicUsize::new(0),
            sweeps: AtomicUsize::new(0),
            shards: (0..SHARDS).map(|_| shard()).collect(),
            hasher: RandomState::new(),
        }
    }

    pub(super) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        self.hasher.hash_one(key)
    }

    pub(super) fn for_each(&self, mut visit: impl FnMut(&K, &Entry)) {
        for shard in &self.shards {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            shard.entries.iter().for_each(|(key, entry)| visit(key, entry));
        }
    }

    pub(super) fn for_each_mut(&self, mut change: impl FnMut(&mut Entry)) {
        for shard in &self.shards {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            shard.entries.values_mut().for_each(&mut change);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    fn shard<Q: Hash + ?Sized>(&self, key: &Q) -> &RwLock<Shard<K>> {
        // INVARIANT: the index is below the number of shards.
        #[expect(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "see the invariant")]
        &self.shards[self.hash(key) as usize % SHARDS]
    }

    pub(super) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<Entry>
    where
        K: std::borrow::Borrow<Q>,
    {
        if self.len.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.shard(key).read().unwrap_or_else(PoisonError::into_inner).entries.get(key).cloned()
    }

    pub(super) fn update(&self, key: K, now: Duration, until: Duration, change: impl FnOnce(&mut Entry)) {
        self.write(self.shard(&key), |shard| {
            if now >= shard.sweep_at {
                shard.sweep(now);
                shard.sweep_at = until;
            }
            let entry = shard.entries.entry(key).or_default();
            entry.until = entry.until.max(until);
            change(entry);
        });
    }

    /// Removes the expired entries of one shard. Each call takes the next shard.
    pub(super) fn sweep_next(&self, now: Duration) {
        if self.len.load(Ordering::Relaxed) > 0
            && let Some(shard) = self.shards.get(self.sweeps.fetch_add(1, Ordering::Relaxed) % SHARDS)
        {
            self.write(shard, |shard| shard.sweep(now));
        }
    }

    fn write(&self, shard: &RwLock<Shard<K>>, change: impl FnOnce(&mut Shard<K>)) {
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        let before = shard.entries.len();
        change(&mut shard);
        // If the shard shrank, the difference wraps around, so the addition subtracts.
        self.len.fetch_add(shard.entries.len().wrapping_sub(before), Ordering::Release);
    }
}
