//! What the browser at random and the server send each other, in the order of time.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use tower_sliding_sessions::{
    Timestamp,
    protocol::{Departure, Exchange, Family, Settlement, Standing},
};

use crate::rules::{Record, Rules};

/// Whose jar it is.
pub(crate) type Who = usize;

/// The legitimate browser. Any other one has a copy.
pub(crate) const VICTIM: Who = 0;

/// An access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Token {
    pub(crate) generation: u64,
    pub(crate) issued: Timestamp,
    pub(crate) expires: Timestamp,
}

/// What a jar holds, and a request carries.
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
    /// How often its browser had crashed. Connections die with it.
    pub(crate) crashes: u32,
}

impl Request {
    /// The response to this request, which was served as the generation of a record that was read when
    /// it arrived, when the first time says, and leaves when the second does. None if no token leaves
    /// with it.
    pub(crate) fn answer(
        &self,
        rules: &Rules,
        record: &Record,
        (arrived, now): (Timestamp, Timestamp),
        read: &Family,
        token_client: bool,
    ) -> Option<Event> {
        let served = read.generation;
        let departure = Departure {
            arrived,
            presented: self.cookies.refresh,
            served,
            standing: if record.family.revoked { Standing::Revoked } else { Standing::Good },
            access_written: false,
            refresh_written: false,
        };
        let refresh = if token_client {
            match rules.exchange(&departure, read, arrived, now) {
                Exchange::Nothing => return None,
                Exchange::AccessOnly => None,
                Exchange::Both => Some(served),
            }
        } else {
            match rules.settle(&departure, now) {
                Settlement::LeaveAlone => return None,
                Settlement::WriteAccess => None,
                Settlement::WriteRefresh | Settlement::WriteBoth => Some(served),
            }
        };
        let expires = now + rules.timing().access_ttl;
        // As engines do it: as of when the record was read.
        let access = Token { generation: served, issued: arrived, expires };
        Some(Event::Deliver { who: self.who, crashes: self.crashes, refresh, access })
    }
}

/// Something that happens at its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    /// Somebody looks at the next page.
    Browse(Who),
    Arrive(Request),
    /// A handler is done with a request, which was served by the record as it was read, by an
    /// instance whose clock is that far ahead.
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
    /// A confirmation of something seen at that time is written down.
    Note {
        generation: u64,
        at: Timestamp,
    },
}

/// All that is to come, the next first.
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
