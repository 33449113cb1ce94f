//! The memory store: sessions exist only in this process. After a restart there is a new run ID, so all earlier
//! sessions are invalid.

mod entry;
mod feed;
mod shard;
mod timings;
mod values;

use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use self::{
    entry::Entry,
    feed::Feed,
    shard::{Count, Shard, shards},
    timings::Timings,
    values::Values,
};
use super::{
    Cap, CreateError, FeedBatch, FeedEvent, FeedFrom, Revoke, SessionKey, SessionRecord, SessionStore,
    Snapshot, StoreError, Subject, Value, ValueKey, ValueSnapshot,
};
use crate::{
    id::{RunId, SessionId},
    time::{Clock as _, SystemClock, Timestamp},
};

/// Keeps sessions in the memory of this process.
///
/// Clones share their sessions. When a session is created, the store also deletes some of the expired sessions. At the
/// [capacity](Self::with_capacity), a sign-in fails with [`StoreError::Full`], and revokes no session of another
/// subject.
///
/// Revoked sessions do not count against the capacity. The store remembers a revoked session until the session's
/// absolute timeout, so that its refresh token is refused as revoked. The capacity is also the maximum number of
/// remembered revoked sessions. Beyond this number, the store forgets the sessions that were revoked first, and their
/// refresh tokens are refused as unknown.
///
/// Values that belong to no session have a separate capacity of the same size.
#[derive(Clone)]
pub struct MemoryStore(Arc<Inner>);

struct Inner {
    run: AtomicU64,
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    /// The number of sessions that are not revoked.
    kept: AtomicUsize,
    /// The number of revoked sessions that are remembered.
    revoked: AtomicUsize,
    capacity: usize,
    feed: Feed,
    timings: Timings,
    values: Values,
}

impl MemoryStore {
    /// Creates an empty store for at most a million sessions that are not revoked, with a new run ID.
    ///
    /// # Errors
    /// An error if the random generator of the operating system fails.
    pub fn new() -> io::Result<Self> {
        Self::with_capacity(1_000_000)
    }

    /// Creates an empty store for at most `capacity` sessions that are not revoked, with a new run ID.
    ///
    /// # Errors
    /// An error if the random generator of the operating system fails.
    pub fn with_capacity(capacity: usize) -> io::Result<Self> {
        Ok(Self(Arc::new(Inner {
            run: AtomicU64::new(start()?.as_u64()),
            shards: (0..shards(capacity)).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            kept: AtomicUsize::new(0),
            revoked: AtomicUsize::new(0),
            capacity,
            feed: Feed::new(),
            timings: Timings::default(),
            values: Values::new(capacity),
        })))
    }

    /// The number of sessions in the store. This includes expired sessions that are not yet deleted, and revoked
    /// sessions that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept() + self.0.revoked.load(Ordering::Relaxed)
    }

    /// Whether the store has no sessions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn kept(&self) -> usize {
        self.0.kept.load(Ordering::Relaxed)
    }

    fn shard(&self, subject: &Subject) -> MutexGuard<'_, Shard> {
        let hash = self.0.hasher.hash_one(subject);
        // INVARIANT: the index is below the number of shards.
        #[expect(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "see the invariant")]
        let shard = &self.0.shards[hash as usize % self.0.shards.len()];
        lock(shard)
    }

    fn run(&self) -> RunId {
        // INVARIANT: only numbers of run IDs are ever stored.
        #[expect(clippy::expect_used, reason = "see the invariant")]
        RunId::from_u64(self.0.run.load(Ordering::SeqCst)).expect("a run ID")
    }

    /// Applies `change` to the entry of a session, under the lock of the entry's shard.
    fn change(&self, key: &SessionKey, change: impl FnOnce(&mut Entry) -> bool) -> Snapshot {
        let mut shard = self.shard(&key.subject);
        let run = self.run();
        match shard.get_mut(key) {
            Some(entry) => {
                let applied = change(entry);
                Snapshot { run, version: entry.version(), record: Some(entry.record()), applied }
            }
            None => Snapshot { run, version: 0, record: None, applied: false },
        }
    }

    fn sweep(&self, shard: &mut Shard, now: Timestamp) {
        self.forget(shard.sweep(now));
    }

    fn forget(&self, count: Count) {
        self.0.kept.fetch_sub(count.kept, Ordering::Relaxed);
        self.0.revoked.fetch_sub(count.revoked, Ordering::Relaxed);
    }

    /// Revokes the sessions of a subject for which `matches` returns true. Returns the sessions that this call revoked.
    fn revoke_in(
        &self,
        shard: &mut Shard,
        subject: &Subject,
        matches: impl Fn(&Entry) -> bool,
    ) -> Vec<SessionId> {
        let ids = shard.revoke(subject, matches);
        self.0.kept.fetch_sub(ids.len(), Ordering::Relaxed);
        let mut remembered = self.0.revoked.fetch_add(ids.len(), Ordering::Relaxed) + ids.len();
        while remembered > self.0.capacity && shard.forget_revoked() {
            remembered = self.0.revoked.fetch_sub(1, Ordering::Relaxed) - 1;
        }
        ids
    }
}

/// Draws the run ID of a new store. It is newer than the run IDs of earlier stores of this process, even if the clock
/// was set back.
fn start() -> io::Result<RunId> {
    static LAST: Mutex<Option<RunId>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let run = RunId::newer_than(*last, SystemClock.now())?;
    *last = Some(run);
    Ok(run)
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // Ignore a panic of a thread that held the lock. Such a panic leaves no write half done, because no code within a
    // write can panic.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SessionStore for MemoryStore {
    fn run_id_now(&self) -> Option<RunId> {
        Some(self.run())
    }

    async fn create(
        &self,
        subject: &Subject,
        record: &SessionRecord,
        cap: Option<Cap>,
    ) -> Result<(RunId, Vec<SessionId>), CreateError> {
        let now = record.family.created_at;
        if self.kept() >= self.0.capacity {
            // Expired sessions of any shard must not prevent a sign-in.
            self.0.shards.iter().for_each(|shard| self.sweep(&mut lock(shard), now));
        }
        let mut shard = self.shard(subject);
        self.sweep(&mut shard, now);
        if shard.contains(subject, &record.id) {
            return Err(CreateError::Exists);
        }
        let mut ended = Vec::new();
        if let Some(cap) = cap {
            let live = shard.live(subject, now);
            let excess = (live.len() + 1).saturating_sub(cap.limit());
            if cap.refuses() && excess > 0 {
                return Err(CreateError::TooMany);
            }
            ended.extend(live.iter().take(excess).map(|entry| entry.id()));
        }
        // Count the session before it is inserted, so that parallel sign-ins cannot exceed the capacity. The sessions
        // that this sign-in revokes make room.
        if self.0.kept.fetch_add(1, Ordering::Relaxed) >= self.0.capacity.saturating_add(ended.len()) {
            self.0.kept.fetch_sub(1, Ordering::Relaxed);
            return Err(StoreError::Full.into());
        }
        if !ended.is_empty() {
            self.revoke_in(&mut shard, subject, |old| ended.contains(&old.id()));
        }
        shard.insert(subject, Entry::of(record.clone(), self.0.timings.share(&record.family.timing)));
        let run = self.run();
        drop(shard);
        let key = |id: &SessionId| SessionKey { subject: subject.clone(), id: *id };
        self.0.feed.publish(ended.iter().map(key).map(FeedEvent::Revoked), now);
        Ok((run, ended))
    }

    async fn advance(&self, key: &SessionKey, from: u64, at: Timestamp) -> Result<Snapshot, StoreError> {
        Ok(self.change(key, |entry| entry.advance(from, at)))
    }

    async fn get(&self, key: &SessionKey) -> Result<Snapshot, StoreError> {
        Ok(self.change(key, |_| false))
    }

    async fn replace(
        &self,
        key: &SessionKey,
        version: u64,
        record: &SessionRecord,
        event: Option<&FeedEvent>,
    ) -> Result<Snapshot, StoreError> {
        let snapshot = self.change(key, |entry| entry.replace(version, record, &self.0.timings));
        if snapshot.applied
            && let Some(event) = event
        {
            self.0.feed.publish([event.clone()], event.time());
        }
        Ok(snapshot)
    }

    async fn revoke(&self, what: &Revoke, at: Timestamp) -> Result<Vec<SessionId>, StoreError> {
        let ended = match what {
            Revoke::Session(key) => {
                let mut shard = self.shard(&key.subject);
                self.revoke_in(&mut shard, &key.subject, |entry| entry.id() == key.id)
            }
            Revoke::Subject { subject, before, except } => {
                let matches = |entry: &Entry| {
                    Some(entry.id()) != *except
                        && before.is_none_or(|before| entry.family().created_at < before)
                };
                self.revoke_in(&mut self.shard(subject), subject, matches)
            }
        };
        self.0.feed.publish(FeedEvent::of_revocation(what, &ended, at), at);
        Ok(ended)
    }

    async fn mark_stale(&self, event: &FeedEvent) -> Result<(), StoreError> {
        self.0.feed.publish([event.clone()], event.time());
        Ok(())
    }

    async fn list(&self, subject: &Subject, now: Timestamp) -> Result<Vec<SessionRecord>, StoreError> {
        Ok(self.shard(subject).live(subject, now).into_iter().map(Entry::record).collect())
    }

    async fn raise_run_id(&self, to: RunId) -> Result<RunId, StoreError> {
        {
            // Lock all shards at once. Otherwise a session that was created under the new run ID could be cleared
            // together with the old sessions. Every other operation locks at most one shard at a time.
            let mut shards: Vec<_> = self.0.shards.iter().map(lock).collect();
            let before = self.0.run.fetch_max(to.as_u64(), Ordering::SeqCst);
            if before >= to.as_u64() {
                return Ok(self.run());
            }
            shards.iter_mut().for_each(|shard| self.forget(shard.clear()));
        }
        self.0.feed.publish([FeedEvent::Run(to)], Timestamp::EPOCH);
        Ok(to)
    }

    async fn feed(&self, from: &FeedFrom) -> Result<FeedBatch, StoreError> {
        let (events, position, gap) = self.0.feed.read(from).await;
        Ok(FeedBatch { events, position, run: self.run(), gap, more: false })
    }

    fn keeps_values(&self) -> bool {
        true
    }

    async fn value(&self, key: &ValueKey, now: Timestamp) -> Result<ValueSnapshot, StoreError> {
        Ok(self.0.values.get(key, now))
    }

    async fn replace_value(
        &self,
        key: &ValueKey,
        version: u64,
        to: Option<&Value>,
        now: Timestamp,
    ) -> Result<ValueSnapshot, StoreError> {
        self.0.values.replace(key, version, to, now)
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("len", &self.len()).finish_non_exhaustive()
    }
}
