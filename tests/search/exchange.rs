//! The messages between the random browser and the server, in the order of time.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use tower_sliding_sessions::{
    Timestamp,
    protocol::{CookieDecision, Family, ResponseState, SessionStatus, TokenDecision},
};

use crate::rules::{Record, Rules};

/// The owner of a jar.
pub(crate) type Who = usize;

/// The legitimate browser. Any other one holds a copy.
pub(crate) const VICTIM: Who = 0;

/// An access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Token {
    pub(crate) generation: u64,
    pub(crate) issued: Timestamp,
    pub(crate) expires: Timestamp,
}

/// The content of a jar, which a request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cookies {
    pub(crate) refresh: u64,
    pub(crate) access: Option<Token>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Request {
    pub(crate) who: Who,
    pub(crate) cookies: Cookies,
    pub(crate) with_body: bool,
    /// The number of crashes of its browser before it was sent. A crash closes connections.
    pub(crate) crashes: u32,
}

impl Request {
    /// The response to this request, which was served as the generation of a record read on arrival. It
    /// arrived at the first time, and leaves at the second. None if no token leaves with it.
    pub(crate) fn answer(
        &self,
        rules: &Rules,
        record: &Record,
        (arrived, now): (Timestamp, Timestamp),
        read: &Family,
        token_client: bool,
    ) -> Option<Event> {
        let served = read.generation;
        let departure = ResponseState {
            write_window_start: arrived,
            presented: self.cookies.refresh,
            served,
            status: if record.family.revoked { SessionStatus::Revoked } else { SessionStatus::Valid },
            access_written: false,
            refresh_written: false,
        };
        let refresh = if token_client {
            match rules.exchange(&departure, read, arrived, now) {
                TokenDecision::Nothing => return None,
                TokenDecision::AccessOnly => None,
                TokenDecision::Both => Some(served),
            }
        } else {
            match rules.settle(&departure, now) {
                CookieDecision::LeaveAlone => return None,
                CookieDecision::WriteAccess => None,
                CookieDecision::WriteRefresh | CookieDecision::WriteBoth => Some(served),
            }
        };
        let expires = now + rules.timing().access_ttl;
        // As the engine does: by the time at which the record was read.
        let access = Token { generation: served, issued: arrived, expires };
        Some(Event::Deliver { who: self.who, crashes: self.crashes, refresh, access })
    }
}

/// A scheduled event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    /// A browser opens the next page.
    Browse(Who),
    Arrive(Request),
    /// A handler returns. Its request was served by the record as it was read, by an instance whose clock
    /// is this far ahead.
    Leave {
        request: Request,
        arrived: Timestamp,
        served: u64,
        confirmed_at: Option<Timestamp>,
        clock: Duration,
    },
    /// The browser crashes.
    Crash,
    Deliver {
        who: Who,
        crashes: u32,
        refresh: Option<u64>,
        access: Token,
    },
    /// A confirmation with that time is written.
    Note {
        generation: u64,
        at: Timestamp,
    },
}

/// All future events, the next one first.
#[derive(Debug, Default)]
pub(crate) struct UnderWay(BinaryHeap<Reverse<(Timestamp, Event)>>);

impl UnderWay {
    pub(crate) fn add(&mut self, at: Timestamp, event: Event) {
        self.0.push(Reverse((at, event)));
    }

    pub(crate) fn next(&mut self) -> Option<(Timestamp, Event)> {
        self.0.pop().map(|Reverse(next)| next)
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.0.iter().filter(|Reverse((_, event))| !matches!(event, Event::Browse(_))).count()
    }
}
