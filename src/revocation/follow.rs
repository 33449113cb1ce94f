//! Follows the store's feed, so that this instance refuses what another one revoked.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use super::Revocation;
use crate::{
    backend::{CatchPanic, timer},
    event::EventKind,
    store::{FeedBatch, FeedFrom, StoreError},
};

/// How long to wait before asking a store again that failed.
const RETRY: Duration = Duration::from_millis(250);
/// A store answers at least this often, also if there is no event.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Events carry the time of the instance that wrote them. A first read begins this much earlier, since
/// clocks differ.
const SKEW: Duration = Duration::from_secs(2 * 60 * 60 + 10 * 60);

/// Runs until the sessions are dropped.
pub(super) async fn follow(revocation: Weak<Revocation>) {
    let _stopped = Stopped(revocation.clone());
    if timer(Duration::ZERO).is_none() {
        // The feed is read with a deadline. From now on, each request asks the store.
        if let Some(revocation) = revocation.upgrade() {
            revocation.backend.report_no_timers();
        }
        // Until this runtime ends: another one may have timers.
        return std::future::pending().await;
    }
    let mut is_checked = false;
    let mut pause = Duration::ZERO;
    loop {
        let Some((backend, from)) = revocation.upgrade().map(|revocation| {
            revocation.feed.asks();
            (revocation.backend.clone(), revocation.feed_from())
        }) else {
            return;
        };
        // What was known before the store was asked: see `accept_run_id`.
        let run = revocation.upgrade().and_then(|revocation| revocation.denylist.run());
        let batch = tokio::time::timeout(HEARTBEAT * 2, CatchPanic::new(backend.store.feed(&from))).await;
        let Some(revocation) = revocation.upgrade() else { return };
        match batch.unwrap_or_else(|late| Err(StoreError::unavailable(late))) {
            Ok(batch) => {
                let (more, is_behind) = (batch.more, run.is_some_and(|run| batch.run < run));
                pause = match batch.events.is_empty() || backend.store.run_id_now().is_some() {
                    true => Duration::ZERO,
                    false if more => pause,
                    false => revocation.feed.pause_after(pause),
                };
                revocation.take_over(batch);
                if is_behind {
                    // The store has lost an emergency stop. If this fails, the next batch tries again.
                    revocation.restore_run_soon();
                }
                drop(revocation);
                if more {
                    tokio::task::yield_now().await;
                    continue;
                }
                if !is_checked {
                    let checked = backend.ask("check", backend.store.check()).await;
                    is_checked = !matches!(checked, Err(StoreError::Unavailable(_)));
                }
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
            }
            Err(error) => {
                revocation.feed.was_interrupted();
                revocation.report_lag(revocation.monotonic(), &error);
                revocation.feed.failed(error);
                drop(revocation);
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Tells requests that no follower runs, however it ended.
struct Stopped(Weak<Revocation>);

impl Drop for Stopped {
    fn drop(&mut self) {
        if let Some(revocation) = self.0.upgrade() {
            revocation.feed.stopped();
        }
    }
}

impl Revocation {
    /// A request found that the feed lags. A follower that asks the store reports that itself.
    #[cold]
    pub(super) fn report_lag_of_stuck_follower(&self, now: Duration) {
        // Its runtime exists, but is not driven any more.
        if self.feed.is_stuck() {
            self.report_lag(now, &StoreError::unavailable("the runtime of the feed's follower has stopped"));
            self.feed.stopped();
            self.follower.give_up();
        }
    }

    fn report_lag(&self, now: Duration, cause: &StoreError) {
        if self.feed.is_news(now) && !self.follower.is_shut_down() {
            self.backend.events.failed(EventKind::FeedLagging, cause);
        }
    }

    /// Where to read on. Events that are older than the first position no longer matter.
    fn feed_from(&self) -> FeedFrom {
        match self.feed.position() {
            Some(position) => FeedFrom::After(position),
            None => FeedFrom::Since(self.now() - self.denylist.keep() - SKEW),
        }
    }

    /// Takes over a batch. It reports events last, since a hook may panic.
    fn take_over(self: &Arc<Self>, batch: FeedBatch) {
        let FeedBatch { more, gap, .. } = batch;
        if gap {
            self.feed.was_interrupted();
            self.denylist.suspect_until(self.read_clock());
        }
        let reading = self.read_clock();
        let now = reading.monotonic;
        self.denylist.apply(&batch, reading);
        self.denylist.sweep_next(now);
        self.feed.set_position(batch.position);
        self.follower.note_progress();
        // Before the end of the feed, revocations may be missing.
        let recovered = !more && self.feed.was_read(now);
        if more {
            // Reads that succeed after a failure, as those of the other shards, must not hide its cause.
            let failure = self.feed.failure();
            let behind = StoreError::unavailable("the feed has more events than were read yet");
            self.report_lag(now, failure.as_deref().unwrap_or(&behind));
        } else if self.feed.take_interruption() {
            self.assert_revocations();
        } else {
            self.go_on_asserting();
        }
        if gap {
            self.backend.events.note(EventKind::FeedGap);
        }
        if recovered {
            self.backend.events.note(EventKind::FeedRecovered);
        }
    }
}
