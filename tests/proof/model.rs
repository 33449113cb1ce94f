//! What may happen in a small world: its bounds, and the rules that hold in it.

use std::{
    fmt::{self, Display, Formatter},
    time::Duration,
};

use tower_sliding_sessions::{
    Timestamp,
    protocol::{Departure, Exchange, Family, Policy, Settlement, Standing, Timing},
};

use crate::{
    rules::{Broken, FAR, Record, Rules},
    world::{Age, CURRENT, Kind, Lag, Message, NOW, ROOM, Read},
};

/// The bounds of a world, in ticks of a millisecond.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Model {
    pub(crate) rules: Rules,
    /// `D`: the longest that a request or a response may be on its way.
    pub(crate) delay: Age,
    /// `S`: two instances serve the browser, and one's clock is ahead of the other's by this much.
    pub(crate) skew: Age,
    /// Most messages at a time.
    pub(crate) in_flight: usize,
    /// Whether confirmations may be written down late.
    pub(crate) late_notes: bool,
    /// How late they may be written down at most.
    pub(crate) latest_note: Age,
    /// Whether handlers may change the session's claims, which writes the access cookie.
    pub(crate) new_claims: bool,
    /// Whether an instance's clock may step by `S` while a handler runs.
    pub(crate) stepping_clocks: bool,
    /// The longest that the jar may go back in time, when the browser crashes.
    pub(crate) rollback: Age,
    /// Whether the client keeps its tokens itself, and takes whatever comes.
    pub(crate) token_client: bool,
    /// Whether its request may share what an instance reads for another one, within `D`.
    pub(crate) shared_flights: bool,
    /// Whether there is a thief.
    pub(crate) thief: bool,
    /// Whether worlds also remember what can make no difference any more.
    pub(crate) remembers_all: bool,
}

impl Model {
    /// Three messages in flight, one clock, honest people, `G = D` and `M` as given.
    pub(crate) fn new(window: Age, delay: Age, interval: Age) -> Self {
        let rules = Rules { policy: policy(window, delay, interval), broken: None };
        Self {
            rules,
            delay,
            skew: 0,
            in_flight: 3,
            late_notes: false,
            latest_note: Age::MAX,
            new_claims: false,
            stepping_clocks: false,
            rollback: 0,
            token_client: false,
            shared_flights: false,
            thief: false,
            remembers_all: false,
        }
    }

    /// The same with `S` and `G = D + S`.
    pub(crate) fn with_skew(self, skew: Age) -> Self {
        Self { skew, ..self.with_grace(self.delay + skew) }
    }

    pub(crate) fn with_grace(mut self, grace: Age) -> Self {
        let timing = Timing { grace: ticks(grace), ..*self.rules.timing() };
        self.rules.policy = checked_or_not(timing);
        self
    }

    pub(crate) fn with_in_flight(self, in_flight: usize) -> Self {
        assert!(in_flight <= ROOM);
        Self { in_flight, ..self }
    }

    pub(crate) fn breaking(mut self, broken: Broken) -> Self {
        self.rules.broken = Some(broken);
        self
    }

    pub(crate) fn grace(&self) -> Age {
        age_of(self.rules.timing().grace)
    }

    /// An age beyond which nothing changes, even by the slowest clock: everything due is due.
    pub(crate) fn old(&self) -> Age {
        let timing = self.rules.timing();
        age_of(timing.rotation_interval.max(timing.grace).max(timing.write_window)) + 1 + self.skew
    }

    /// The instances' clocks, by how much they are ahead of the slowest.
    pub(crate) fn clocks(&self) -> impl Iterator<Item = Age> + use<> {
        [0, self.skew].into_iter().take(if self.skew == 0 { 1 } else { 2 })
    }

    /// What a clock shows now.
    pub(crate) fn at(&self, clock: Age) -> Timestamp {
        NOW + ticks(clock)
    }

    /// The point in time that is so old by the fastest clock.
    pub(crate) fn ago(&self, age: Age) -> Timestamp {
        self.at(self.skew) - ticks(age)
    }

    /// How old a point in time is by the fastest clock.
    pub(crate) fn age(&self, at: Timestamp) -> Age {
        age_of(self.at(self.skew).since(at)).min(self.old())
    }

    pub(crate) fn would_confirm(&self, record: &Record, generation: Lag) -> bool {
        let mut after = *record;
        self.rules.note(&mut after, CURRENT - u64::from(generation), NOW);
        after.family != record.family
    }

    /// The responses that a handler may leave with now, if any cookie leaves with them.
    pub(crate) fn answers(&self, handler: Message, revoked: bool) -> impl Iterator<Item = Message> + use<'_> {
        let Kind::Handler { newer, read } = handler.kind else { unreachable!("only handlers answer") };
        let served = CURRENT - u64::from(handler.lag);
        let older = handler.lag + Age::from(newer);
        // A clock that was set back meanwhile makes the handler look faster, which is the worst.
        let ran = handler.age - if self.stepping_clocks { self.skew.min(handler.age) } else { 0 };
        let exchanged = read.and_then(|read| self.exchanged(handler, newer, read, revoked));
        let claims_change = [false, true].into_iter().take(if self.new_claims { 2 } else { 1 });
        let settled = claims_change.filter(move |_| read.is_none()).filter_map(move |access_written| {
            let departure = Departure {
                arrived: NOW - ticks(ran),
                presented: served - u64::from(newer),
                served,
                standing: if revoked { Standing::Revoked } else { Standing::Good },
                access_written,
                refresh_written: false,
            };
            let (kind, lag) = match self.rules.settle(&departure, NOW) {
                Settlement::WriteBoth | Settlement::WriteRefresh => (Kind::Both, handler.lag),
                Settlement::WriteAccess => (Kind::Access, handler.lag),
                // New claims go out in any case, for the generation that the browser surely has.
                Settlement::LeaveAlone if access_written && !revoked => (Kind::Access, older),
                Settlement::LeaveAlone => return None,
            };
            Some(Message { kind, lag, age: 0 })
        });
        settled.chain(exchanged)
    }

    /// The answer that a token client is given now, if any.
    fn exchanged(&self, handler: Message, newer: bool, read: Read, revoked: bool) -> Option<Message> {
        // As above: a clock that was set back meanwhile is the worst.
        let now = self.at(if self.stepping_clocks { 0 } else { read.clock });
        let served = CURRENT - u64::from(handler.lag);
        let departure = Departure {
            arrived: self.at(read.clock) - ticks(handler.age),
            presented: served - u64::from(newer),
            served,
            standing: if revoked { Standing::Revoked } else { Standing::Good },
            access_written: false,
            refresh_written: false,
        };
        let family = Family {
            generation: served,
            confirmed_at: read.confirmed.map(|age| self.ago(age)),
            ..Family::begin(NOW, FAR, FAR)
        };
        let read_at = self.at(read.clock) - ticks(read.age);
        let kind = match self.rules.exchange(&departure, &family, read_at, now) {
            Exchange::Both => Kind::Both,
            Exchange::AccessOnly => Kind::Access,
            Exchange::Nothing => return None,
        };
        Some(Message { kind, lag: handler.lag, age: 0 })
    }
}

impl Display for Model {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let timing = self.rules.timing();
        let [window, interval] = [timing.write_window, timing.rotation_interval].map(age_of);
        let Self { delay, skew, in_flight, .. } = self;
        write!(f, "W={window} D={delay} S={skew} G={} M={interval}, {in_flight} in flight", self.grace())?;
        let extras = [
            (self.token_client, "a token client"),
            (self.shared_flights, "shared flights"),
            (self.late_notes, "late notes"),
            (self.new_claims, "new claims"),
            (self.stepping_clocks, "stepping clocks"),
            (self.rollback > 0, "crashes"),
            (self.thief, "a thief"),
            (self.remembers_all, "nothing forgotten"),
        ];
        for (_, name) in extras.iter().filter(|(on, _)| *on) {
            write!(f, ", {name}")?;
        }
        if self.latest_note < Age::MAX {
            write!(f, ", at most {} late", self.latest_note)?;
        }
        self.rules.broken.map_or(Ok(()), |broken| write!(f, ", {broken:?}"))
    }
}

/// `G = D`, and no limit to the session's life.
fn policy(window: Age, delay: Age, interval: Age) -> Policy {
    checked_or_not(Timing {
        access_ttl: ticks(1),
        idle_timeout: FAR,
        absolute_timeout: FAR,
        renew_before: None,
        grace: ticks(delay),
        write_window: ticks(window),
        rotation_interval: ticks(interval),
    })
}

/// The searches are about what lies on either side of the bound, so they need both.
fn checked_or_not(timing: Timing) -> Policy {
    Policy::new(timing).unwrap_or(Policy::dangerous_unchecked(timing))
}

pub(crate) fn ticks(count: Age) -> Duration {
    Duration::from_millis(count.into())
}

fn age_of(duration: Duration) -> Age {
    Age::try_from(duration.as_millis()).unwrap_or(Age::MAX)
}
