//! The memory store's feed: the last events, for every engine in this process that shares it.

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

/// How long a reader waits for an event, and then learns that there is none.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How many events are kept. A reader that falls behind further is told of the gap.
const KEPT: usize = 16 * 1024;
/// How many events about single sessions of one subject are kept, so that no subject fills the feed.
/// Then one event takes their place: the subject's access tokens are stale, so the store is asked.
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
    /// From this number on, nothing is missing.
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
        events.into_iter().for_each(|event| log.push(event, at));
        drop(log);
        self.more.notify_waiters();
    }

    /// The events after `from`. Waits for one, a second at most, unless this is the reader's first call.
    pub(super) async fn read(&self, from: &FeedFrom) -> (Vec<FeedEvent>, String, bool) {
        let mut waited = false;
        loop {
            let mut more = pin!(self.more.notified());
            // Listen before looking. Otherwise an event in between would be missed.
            more.as_mut().enable();
            let (events, next, gap) = self.log().after(from);
            let waited = std::mem::replace(&mut waited, true);
            if !events.is_empty() || gap || waited || matches!(from, FeedFrom::Since(_)) {
                return (events, next.to_string(), gap);
            }
            // Late or not, look once more.
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

    /// Puts one event in the place of all events about single sessions of the subject whose event has
    /// this number.
    fn fold(&mut self, number: u64) {
        let Some((_, FeedEvent::Revoked(key) | FeedEvent::SessionStale(key, _))) = self.events.get(&number)
        else {
            return;
        };
        let subject = key.subject.clone();
        let numbers = self.of_subjects.remove(&subject).unwrap_or_default();
        let times = numbers.iter().filter_map(|number| self.events.remove(number)).map(|(at, _)| at);
        let latest = times.max().unwrap_or_default();
        // A renewal that read its record just before may have minted a token of the next second.
        let stale = FeedEvent::SubjectStale(subject, latest + Duration::from_secs(1));
        // Under the number of the last one, which no reader has got yet.
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
                // Events are not quite in the order of their times, so one from before does not
                // mean that nothing since is missing.
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
