//! Follows the store's feed, so that what is revoked elsewhere is refused here.

use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use super::{Engine, timer::timer};
use crate::{
    claims::Claims,
    event::EventKind,
    store::{FeedBatch, FeedFrom, StoreError},
    time::Reading,
};

/// How long to wait before asking a store again that failed.
const RETRY: Duration = Duration::from_millis(250);
/// A store answers at least this often, if only that there is no event.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Events carry the time of the instance that wrote them. A first read begins this much earlier, so
/// that it misses none where clocks are apart.
const SKEW: Duration = Duration::from_secs(2 * 60 * 60 + 10 * 60);

/// Runs until the engine is gone.
async fn follow<C: Claims>(engine: Weak<Engine<C>>) {
    let _stopped = Stopped(engine.clone());
    if timer(Duration::ZERO).is_none() {
        // The feed is read with a deadline. From now on, each request asks the store.
        if let Some(engine) = engine.upgrade() {
            engine.report_no_timers();
        }
        // Until this runtime ends: another one may have timers.
        return std::future::pending().await;
    }
    loop {
        let Some((store, from)) = engine.upgrade().map(|engine| {
            engine.feed.asks();
            (engine.store.clone(), engine.feed_from())
        }) else {
            return;
        };
        // What was known before the store was asked: see `hear_run`.
        let run = engine.upgrade().and_then(|engine| engine.revocations.run());
        let batch = tokio::time::timeout(HEARTBEAT * 2, store.feed(&from)).await;
        let Some(engine) = engine.upgrade() else { return };
        match batch.unwrap_or_else(|late| Err(StoreError::unavailable(late))) {
            Ok(batch) => {
                let (more, is_behind) = (batch.more, run.is_some_and(|run| batch.run < run));
                engine.heard(batch);
                if is_behind {
                    // The store has lost an emergency stop. If this fails, the next batch tries again.
                    engine.restore_run_soon();
                }
                drop(engine);
                if more {
                    tokio::task::yield_now().await;
                }
            }
            Err(_) => {
                engine.feed.was_cut();
                engine.report_lag(engine.monotonic());
                drop(engine);
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// However the follower ended, requests must know that no follower runs.
struct Stopped<C: Claims>(Weak<Engine<C>>);

impl<C: Claims> Drop for Stopped<C> {
    fn drop(&mut self) {
        if let Some(engine) = self.0.upgrade() {
            engine.feed.stopped();
        }
    }
}

impl<C: Claims> Engine<C> {
    /// Starts to follow the store's feed, unless it is followed. Every request calls this: a follower
    /// whose runtime is gone, or that panicked, is started again by the next request.
    pub(crate) fn start(self: &Arc<Self>) {
        if !self.has_feed {
            return;
        }
        self.background.follower.start(|| {
            self.feed.starts(self.monotonic());
            follow(Arc::downgrade(self))
        });
    }

    /// Whether the denylist can be relied on. If not, the store must be asked.
    pub(super) fn knows_revocations(&self, now: Reading) -> bool {
        // Without timers, the feed is not followed.
        if !self.has_feed || self.no_timers.load(Ordering::Relaxed) {
            return false;
        }
        if self.feed.lags(now.monotonic) {
            self.judge_lag(now.monotonic);
        }
        self.feed.is_current(now.monotonic)
    }

    /// A request found that the feed lags. While the follower asks the store, it reports that itself,
    /// and a clock that a test puts forward is no lag.
    #[cold]
    fn judge_lag(&self, now: Duration) {
        // Its runtime is there, but is not driven any more.
        if self.feed.is_stuck() {
            self.report_lag(now);
            self.feed.stopped();
            self.background.follower.give_up();
        }
    }

    fn report_lag(&self, now: Duration) {
        if self.feed.is_news(now) && !self.background.follower.is_shut_down() {
            self.config.events.note(EventKind::FeedLagging);
        }
    }

    /// Where to read on. What is older than the first place can no longer matter.
    fn feed_from(&self) -> FeedFrom {
        match self.feed.position() {
            Some(position) => FeedFrom::After(position),
            None => FeedFrom::Since(self.now() - self.revocations.keep() - SKEW),
        }
    }

    /// Takes over a batch. Events of this instance come last: a hook that panics must not cost what
    /// the feed said.
    fn heard(self: &Arc<Self>, batch: FeedBatch) {
        let FeedBatch { more, gap, .. } = batch;
        if gap {
            self.feed.was_cut();
            self.revocations.distrust_until(self.read_clock());
        }
        let reading = self.read_clock();
        let now = reading.monotonic;
        self.revocations.apply(&batch, reading);
        self.feed.set_position(batch.position);
        self.background.follower.works();
        // Until the end was reached, there may be revocations that are not known here.
        let recovered = !more && self.feed.heard(now);
        if more {
            self.report_lag(now);
        } else if self.feed.take_cut() {
            self.assert_revocations();
        } else {
            self.go_on_asserting();
        }
        if gap {
            self.config.events.note(EventKind::FeedGap);
        }
        if recovered {
            self.config.events.note(EventKind::FeedRecovered);
        }
    }
}
