//! The memory store's feed: the last events, for every engine in this process that shares it.

use std::{
    collections::VecDeque,
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use crate::{
    store::{FeedEvent, FeedFrom, FeedPosition},
    time::Timestamp,
};

/// How long a reader waits for an event, and then learns that there is none.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How many events are kept. Whoever falls behind further is told of the gap.
const KEPT: usize = 16 * 1024;

pub(super) struct Feed {
    log: Mutex<Log>,
    more: Notify,
}

#[derive(Default)]
struct Log {
    events: VecDeque<(Timestamp, FeedEvent)>,
    /// The number of the first event that is kept.
    first: u64,
    /// The latest time of an event that is no longer kept.
    forgotten: Option<Timestamp>,
}

impl Feed {
    pub(super) fn new() -> Self {
        Self { log: Mutex::default(), more: Notify::new() }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn publish(&self, events: impl IntoIterator<Item = FeedEvent>, at: Timestamp) {
        let mut log = self.log();
        for event in events {
            if log.events.len() == KEPT {
                let oldest = log.events.pop_front().map(|(at, _)| at);
                log.forgotten = log.forgotten.max(oldest);
                log.first += 1;
            }
            log.events.push_back((at, event));
        }
        drop(log);
        self.more.notify_waiters();
    }

    /// The events from there on; waits for one, a second at most, unless the reader has just come.
    pub(super) async fn read(&self, from: &FeedFrom) -> (Vec<FeedEvent>, FeedPosition, bool) {
        let mut waited = false;
        loop {
            let mut more = pin!(self.more.notified());
            // Listen before looking, or an event in between would be waited for in vain.
            more.as_mut().enable();
            let (events, next, gap) = self.log().after(from);
            let waited = std::mem::replace(&mut waited, true);
            if !events.is_empty() || gap || waited || matches!(from, FeedFrom::Since(_)) {
                return (events, FeedPosition(next.to_string()), gap);
            }
            // Late or not, look once more.
            let _late = tokio::time::timeout(HEARTBEAT, more).await;
        }
    }
}

impl Log {
    fn after(&self, from: &FeedFrom) -> (Vec<FeedEvent>, u64, bool) {
        let next = self.first + self.events.len() as u64;
        let (start, gap) = match from {
            FeedFrom::Since(time) => {
                let early = self.events.iter().take_while(|(at, _)| at < time).count();
                // Events are not quite in the order of their times, so one from before does not
                // mean that nothing since is missing.
                (self.first + early as u64, self.forgotten.is_some_and(|at| at >= *time))
            }
            FeedFrom::After(FeedPosition(position)) => match position.parse::<u64>() {
                Ok(position) => (position, position < self.first || position > next),
                Err(_) => (self.first, true),
            },
        };
        let skipped = usize::try_from(start.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let events = self.events.iter().skip(skipped).map(|(_, event)| event.clone()).collect();
        (events, next, gap)
    }
}
