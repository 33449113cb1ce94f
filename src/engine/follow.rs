//! Follows the store's feed, so that what ends elsewhere ends here; and knows when it lags.

use std::{
    sync::{
        Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{Engine, timer::timer};
use crate::{
    claims::Claims,
    event::EventKind,
    store::{FeedBatch, FeedFrom, Revoke, StoreError},
    time::Timestamp,
};

/// How long to wait before asking a store again that failed.
const RETRY: Duration = Duration::from_millis(250);
/// A store has something to say of its feed this often, if only that there is nothing.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How far behind the feed this instance may be.
#[derive(Debug)]
pub(super) struct FeedHealth {
    /// When the feed was last heard of, in milliseconds; 0 for never.
    heard_at: AtomicU64,
    lagging: AtomicBool,
    bound: Duration,
    /// Whether to ask the store on each request while lagging.
    ask_when_lagging: bool,
}

impl FeedHealth {
    pub(super) fn new(bound: Duration, ask_when_lagging: bool) -> Self {
        Self { heard_at: AtomicU64::new(0), lagging: AtomicBool::new(false), bound, ask_when_lagging }
    }

    fn lag(&self, now: Timestamp) -> Duration {
        now.since(Timestamp::from_millis(self.heard_at.load(Ordering::Relaxed)))
    }
}

/// Runs until the engine is gone.
pub(super) async fn follow<C: Claims>(engine: Weak<Engine<C>>) {
    if timer(Duration::ZERO).is_none() {
        // The feed is read with a deadline. From now on, each request asks the store.
        if let Some(engine) = engine.upgrade() {
            engine.report_no_timers();
        }
        // Until this runtime ends: another one may have timers.
        return std::future::pending().await;
    }
    let mut from = None;
    let mut was_cut = false;
    loop {
        let Some((store, start)) = engine.upgrade().map(|engine| (engine.store.clone(), engine.feed_start()))
        else {
            return;
        };
        if !store.capabilities().feed {
            return;
        }
        let here = from.take().unwrap_or(start);
        // What was known before the store was asked: see `hear_run`.
        let run = engine.upgrade().and_then(|engine| engine.revocations.run());
        let patience = HEARTBEAT * 2;
        let batch = tokio::time::timeout(patience, store.feed(&here)).await;
        let Some(engine) = engine.upgrade() else { return };
        from = match batch.unwrap_or_else(|late| Err(StoreError::unavailable(late))) {
            Ok(batch) => {
                engine.heard(&batch);
                if run.is_some_and(|run| batch.run < run) {
                    // The store has lost an emergency stop. If this fails, the next batch tries again.
                    engine.restore_run_soon();
                }
                if std::mem::take(&mut was_cut) {
                    engine.assert_revocations().await;
                }
                Some(FeedFrom::After(batch.position))
            }
            Err(_) => {
                was_cut = true;
                engine.not_heard();
                drop(engine);
                tokio::time::sleep(RETRY).await;
                Some(here)
            }
        };
    }
}

impl<C: Claims> Engine<C> {
    /// Whether the revocation list can be relied on. If not, the store must be asked.
    pub(super) fn knows_revocations(&self, now: Timestamp) -> bool {
        // Without timers, the feed is not followed.
        let follows = self.has_feed && !self.no_timers.load(Ordering::Relaxed);
        follows && !(self.feed.ask_when_lagging && self.feed.lag(now) > self.feed.bound)
    }

    /// Whatever is older can no longer matter.
    fn feed_start(&self) -> FeedFrom {
        FeedFrom::Since(self.now() - self.revocations.keep())
    }

    fn heard(&self, batch: &FeedBatch) {
        let now = self.now();
        if batch.gap {
            self.events.note(EventKind::FeedGap);
            self.revocations.distrust_until(now);
        }
        self.revocations.apply(batch, now);
        self.feed.heard_at.store(now.as_millis(), Ordering::Relaxed);
        if self.feed.lagging.swap(false, Ordering::Relaxed) {
            self.events.note(EventKind::FeedRecovered);
        }
    }

    /// After the store was away, it may have come back without the last writes. What is known here
    /// to have ended is ended again; where nothing was lost, that changes nothing.
    async fn assert_revocations(&self) {
        for (subject, id) in self.revocations.revoked() {
            let revoke = Revoke::Session(self.key(subject, id));
            if self.ask("revoke", self.store.revoke(&revoke, self.now())).await.is_err() {
                return;
            }
        }
    }

    fn not_heard(&self) {
        let lags = self.feed.lag(self.now()) > self.feed.bound;
        if lags && !self.feed.lagging.swap(true, Ordering::Relaxed) {
            self.events.note(EventKind::FeedLagging);
        }
    }
}
