//! The values of the memory store that belong to no session.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::shard::shards;
use crate::{
    store::{StoreError, Value, ValueKey, ValueSnapshot, value::draw_version},
    time::Timestamp,
};

/// The shortest time between two sweeps of a shard.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
struct Shard {
    values: HashMap<ValueKey, (u64, Value)>,
    swept: Timestamp,
}

#[derive(Debug)]
pub(super) struct Values {
    shards: Box<[Mutex<Shard>]>,
    kept: AtomicUsize,
    capacity: usize,
}

impl Values {
    pub(super) fn new(capacity: usize) -> Self {
        let shards = (0..shards(capacity)).map(|_| Mutex::default()).collect();
        Self { shards, kept: AtomicUsize::new(0), capacity }
    }

    fn with<T>(&self, key: &ValueKey, run: impl FnOnce(&mut Shard) -> T) -> T {
        let [first, second, third, ..] = key.as_bytes();
        let hash = u32::from_be_bytes([0, *first, *second, *third]);
        // INVARIANT: the index is below the number of shards.
        #[expect(clippy::indexing_slicing, reason = "see the invariant")]
        let shard = &self.shards[hash as usize % self.shards.len()];
        run(&mut shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn get(&self, key: &ValueKey, now: Timestamp) -> ValueSnapshot {
        self.with(key, |shard| match shard.values.get(key) {
            Some((version, value)) => ValueSnapshot::found(*version, value.clone(), now),
            None => ValueSnapshot::MISSING,
        })
    }

    pub(super) fn replace(
        &self,
        key: &ValueKey,
        version: u64,
        to: Option<&Value>,
        now: Timestamp,
    ) -> Result<ValueSnapshot, StoreError> {
        if self.kept.load(Ordering::Relaxed) >= self.capacity && to.is_some() {
            // Sweep all shards, so that expired values of other shards do not use up the capacity.
            for shard in &self.shards {
                self.sweep(&mut shard.lock().unwrap_or_else(PoisonError::into_inner), now);
            }
        }
        let next = draw_version()?;
        self.with(key, |shard| {
            self.sweep(shard, now);
            let found = match shard.values.get(key) {
                Some((version, value)) => ValueSnapshot::found(*version, value.clone(), now),
                None => ValueSnapshot::MISSING,
            };
            if found.version != version {
                return Ok(found);
            }
            match (shard.values.entry(*key), to) {
                (Entry::Occupied(mut entry), Some(value)) => drop(entry.insert((next, value.clone()))),
                (Entry::Occupied(entry), None) => {
                    entry.remove();
                    self.kept.fetch_sub(1, Ordering::Relaxed);
                }
                (Entry::Vacant(entry), Some(value)) => {
                    if self.kept.fetch_add(1, Ordering::Relaxed) >= self.capacity {
                        self.kept.fetch_sub(1, Ordering::Relaxed);
                        return Err(StoreError::Full);
                    }
                    entry.insert((next, value.clone()));
                }
                (Entry::Vacant(_), None) => {}
            }
            Ok(ValueSnapshot::written(next, to))
        })
    }

    /// Removes expired values, at most once every 60 s.
    fn sweep(&self, shard: &mut Shard, now: Timestamp) {
        // If the clock was set back, sweep at once. Otherwise the sweeps would stop until the clock shows the old time
        // again.
        if now.since(shard.swept) < SWEEP_EVERY && shard.swept <= now {
            return;
        }
        shard.swept = now;
        let before = shard.values.len();
        shard.values.retain(|_, (_, value)| now < value.keep_until);
        self.kept.fetch_sub(before - shard.values.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_bounded_and_expired_ones_make_room() {
        let values = Values::new(2);
        let at = Timestamp::from_secs;
        let keys = ["a", "b", "c"].map(|name| ValueKey::new("", "test", &[name]));
        let value = Value { bytes: vec![1], keep_until: at(1000) };
        let write = |key, now| values.replace(key, 0, Some(&value), now).map(|written| written.applied);
        let [a, b, c] = &keys;
        assert!(
            write(a, at(10)).is_ok_and(|applied| applied) && write(b, at(10)).is_ok_and(|applied| applied)
        );
        assert!(matches!(write(c, at(100)), Err(StoreError::Full)));
        assert!(write(a, at(100)).is_ok_and(|applied| !applied), "a conflict needs no room");
        let later = Value { keep_until: at(3000), ..value.clone() };
        assert!(values.replace(c, 0, Some(&later), at(2000)).is_ok_and(|written| written.applied));
        assert_eq!(values.kept.load(Ordering::Relaxed), 1);
    }
}
