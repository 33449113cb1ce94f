//! Follows the store's feed, so that this instance refuses sessions that another instance revoked.

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

/// How long to wait after an error before the store is asked again.
const RETRY: Duration = Duration::from_millis(250);
/// A store answers a read of the feed after at most this time, even if there is no event.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// A first read begins this much earlier than needed, because clocks differ: the time of an event is the time of the
/// instance that wrote the event.
const SKEW: Duration = Duration::from_secs(2 * 60 * 60 + 10 * 60);

/// Follows the feed until the [`Revocation`] is dropped.
pub(super) async fn follow(revocation: Weak<Revocation>) {
    let _stopped = Stopped(revocation.clone());
    if timer(Duration::ZERO).is_none() {
        // The feed cannot be read, because a read has a deadline. From now on, each request asks the store.
        if let Some(revocation) = revocation.upgrade() {
            revocation.backend.report_no_timers();
        }
        // Wait until this runtime ends: another runtime may have timers.
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
        // The run ID that was known before the store was asked: see `accept_run_id`.
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
                    // The store has lost an emergency stop. If this correction fails, the next batch tries again.
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

/// Notes that no follower runs. Dropped when the follower has ended, for any reason.
struct Stopped(Weak<Revocation>);

impl Drop for Stopped {
    fn drop(&mut self) {
        if let Some(revocation) = self.0.upgrade() {
            revocation.feed.stopped();
        }
    }
}

impl Revocation {
    /// Called by a request that found that the feed lags. Reports the lag only if the follower is stuck, because a
    /// follower that still asks the store reports the lag itself.
    #[cold]
    pub(super) fn report_lag_of_stuck_follower(&self, now: Duration) {
        // The runtime of a stuck follower still exists, but no thread drives it.
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

    /// The position from which to read. Without an earlier position, this is a time. Events before this time no longer
    /// matter.
    fn feed_from(&self) -> FeedFrom {
        match self.feed.position() {
            Some(position) => FeedFrom::After(position),
            None => FeedFrom::Since(self.now() - self.denylist.keep() - SKEW),
        }
    }

    /// Applies a batch of the feed. Reports events last, because the application's hook may panic.
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
            // After a failure, other reads may succeed, for example of other shards of the store. They must not hide
            // the cause of the failure.
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
