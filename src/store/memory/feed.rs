//! The feed of the memory store: the latest events, for every engine in this process that uses the store.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use crate::{
    store::{FeedEvent, FeedFrom, SessionKey, Subject},
    time::Timestamp,
};

/// How long a reader waits for an event. Then the reader gets an empty batch.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How many events are kept. If a reader falls further behind, its batch reports a gap.
const KEPT: usize = 16 * 1024;
/// How many events about single sessions of one subject are kept, so that no subject fills the feed. If there are more,
/// one event replaces all of them: the subject's access tokens are stale, so the instances ask the store.
const OF_ONE_SUBJECT: usize = 256;
/// How long an event is kept.
const AGE: Duration = Duration::from_secs(60 * 60);

pub(super) struct Feed {
    log: Mutex<Log>,
    more: Notify,
}

#[derive(Default)]
struct Log {
    /// The events with their times, by number.
    events: BTreeMap<u64, (Timestamp, FeedEvent)>,
    /// The numbers of the events about single sessions, by subject.
    of_subjects: HashMap<Subject, VecDeque<u64>>,
    /// The number of the next event.
    next: u64,
    /// From this number on, no event was removed because of its age or the size of the feed.
    first: u64,
    /// The latest time of the events that were removed because of their age or the size of the feed. `None` if there
    /// are none.
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
        events.into_iter().for_each(|event| log.push(event, at));
        drop(log);
        self.more.notify_waiters();
    }

    /// Reads the events after `from`. If there is no event, waits for one for at most a second. A read since a time
    /// does not wait, because it is a reader's first call. Returns the events, the next position, and whether there is
    /// a gap.
    pub(super) async fn read(&self, from: &FeedFrom) -> (Vec<FeedEvent>, String, bool) {
        let mut waited = false;
        loop {
            let mut more = pin!(self.more.notified());
            // Register for notifications before the read. Otherwise an event between the two steps would be missed.
            more.as_mut().enable();
            let (events, next, gap) = self.log().after(from);
            let waited = std::mem::replace(&mut waited, true);
            if !events.is_empty() || gap || waited || matches!(from, FeedFrom::Since(_)) {
                return (events, next.to_string(), gap);
            }
            // Read once more, whether an event came or the time is over.
            let _late = tokio::time::timeout(HEARTBEAT, more).await;
        }
    }
}

impl Log {
    fn push(&mut self, event: FeedEvent, at: Timestamp) {
        while let Some((_, (oldest, _))) = self.events.first_key_value()
            && (self.events.len() >= KEPT || *oldest + AGE < at)
        {
            self.forget_oldest();
        }
        let subject = match &event {
            FeedEvent::Revoked(key) | FeedEvent::SessionStale(key, _) => Some(key.subject.clone()),
            FeedEvent::SubjectRevoked { .. } | FeedEvent::SubjectStale(..) | FeedEvent::Run(_) => None,
        };
        let number = self.next;
        self.next += 1;
        self.events.insert(number, (at, event));
        if let Some(subject) = subject {
            let of_subject = self.of_subjects.entry(subject).or_default();
            of_subject.push_back(number);
            if of_subject.len() > OF_ONE_SUBJECT {
                self.fold(number);
            }
        }
    }

    /// Replaces all events about single sessions of one subject by one event. `number` is the number of one of these
    /// events.
    fn fold(&mut self, number: u64) {
        let Some((_, FeedEvent::Revoked(key) | FeedEvent::SessionStale(key, _))) = self.events.get(&number)
        else {
            return;
        };
        let subject = key.subject.clone();
        let numbers = self.of_subjects.remove(&subject).unwrap_or_default();
        let times = numbers.iter().filter_map(|number| self.events.remove(number)).map(|(at, _)| at);
        let latest = times.max().unwrap_or_default();
        // A renewal that read its record just before the event may have minted an access token in the next second.
        let stale = FeedEvent::SubjectStale(subject, latest + Duration::from_secs(1));
        // Insert the event under the number of the last one. No reader has read this number yet.
        self.events.insert(number, (latest, stale));
    }

    fn forget_oldest(&mut self) {
        let Some((number, (at, event))) = self.events.pop_first() else { return };
        self.forgotten = self.forgotten.max(Some(at));
        self.first = number + 1;
        if let FeedEvent::Revoked(SessionKey { subject, .. })
        | FeedEvent::SessionStale(SessionKey { subject, .. }, _) = event
            && let Some(numbers) = self.of_subjects.get_mut(&subject)
        {
            numbers.pop_front();
            if numbers.is_empty() {
                self.of_subjects.remove(&subject);
            }
        }
    }

    fn after(&self, from: &FeedFrom) -> (Vec<FeedEvent>, u64, bool) {
        let copy = |(_, event): &(Timestamp, FeedEvent)| event.clone();
        let (events, gap) = match from {
            FeedFrom::Since(time) => {
                // Events are not exactly in the order of their times. So a kept event from before `time` does not mean
                // that every event since `time` is still kept.
                let events = self.events.values().skip_while(|(at, _)| at < time).map(copy).collect();
                (events, self.forgotten.is_some_and(|at| at >= *time))
            }
            FeedFrom::After(position) => {
                let position = position.parse().ok().filter(|position| *position <= self.next);
                let gap = position.is_none_or(|position| position < self.first);
                (
                    self.events
                        .range(position.unwrap_or(self.first)..)
                        .map(|(_, event)| copy(event))
                        .collect(),
                    gap,
                )
            }
        };
        (events, self.next, gap)
    }
}
