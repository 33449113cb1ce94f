//! What can happen in a small world: its bounds and its rules.

use std::{
    fmt::{self, Display, Formatter},
    time::Duration,
};

use tower_sliding_sessions::{
    Timestamp,
    protocol::{
        CookieDecision, Family, Policy, ResponseState, RotationTiming, SessionStatus, Timing, TokenDecision,
    },
};

use crate::{
    rules::{Broken, FAR, Record, Rules},
    world::{Age, CURRENT, Kind, Lag, Message, NOW, ROOM, Read},
};

/// The bounds of a world, in ticks of one millisecond.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Model {
    pub(crate) rules: Rules,
    /// `D`: the longest time that a request or a response is in transit.
    pub(crate) delay: Age,
    /// `S`: two instances serve the browser, and one clock is ahead of the other by this much.
    pub(crate) skew: Age,
    /// The most messages in flight.
    pub(crate) in_flight: usize,
    /// Whether confirmations may be written late.
    pub(crate) late_notes: bool,
    /// The latest time for that.
    pub(crate) latest_note: Age,
    /// Whether handlers may change the session's claims, which writes the access cookie.
    pub(crate) new_claims: bool,
    /// Whether an instance's clock may step by `S` while a handler runs.
    pub(crate) stepping_clocks: bool,
    /// `C`: a crash sets the jar back by less than this.
    pub(crate) crash: Age,
    /// `L`: how long requests with a body may be in transit. None without such requests.
    pub(crate) late_body: Option<Age>,
    /// Whether the client keeps its tokens itself, and stores every response.
    pub(crate) token_client: bool,
    /// Whether its request may share an instance's read for another one, within `D`.
    pub(crate) shared_reads: bool,
    /// Whether there is an attacker.
    pub(crate) attacker: bool,
    /// Whether each request of the attacker has a body.
    pub(crate) attacker_with_bodies: bool,
    /// Whether worlds keep the state that cannot make a difference.
    pub(crate) remembers_all: bool,
}

impl Model {
    /// Three messages in flight, one clock, legitimate clients, `G = D`, `C = 0` and `M` as given.
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
            crash: 0,
            late_body: None,
            token_client: false,
            shared_reads: false,
            attacker: false,
            attacker_with_bodies: false,
            remembers_all: false,
        }
    }

    /// The same with `S` and `G = D + S`.
    pub(crate) fn with_skew(self, skew: Age) -> Self {
        Self { skew, ..self.with_grace(self.delay + skew) }
    }

    pub(crate) fn with_grace(mut self, grace: Age) -> Self {
        let timing = self.rules.timing().grace(ticks(grace));
        self.rules.policy = checked_or_not(timing);
        self
    }

    /// The same with `C`: crashes, and rules with that crash window.
    pub(crate) fn with_crashes(mut self, crash: Age) -> Self {
        let timing = self.rules.timing().crash_window(ticks(crash));
        self.rules.policy = checked_or_not(timing);
        Self { crash, ..self }
    }

    /// Rules with a shorter crash window than the actual one.
    pub(crate) fn with_crash_window_of_the_rules(self, crash: Age) -> Self {
        Self { crash: self.crash, ..self.with_crashes(crash) }
    }

    /// The same with `L`: requests with bodies, and rules with that lateness.
    pub(crate) fn with_late_bodies(mut self, late: Age) -> Self {
        let timing = self.rules.timing().late_body(ticks(late));
        self.rules.policy = checked_or_not(timing);
        Self { late_body: Some(late), ..self }
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

    /// An age at which everything due is due, even by the slowest clock.
    pub(crate) fn old(&self) -> Age {
        let Timing { rotation_interval, grace, late_body, .. } = *self.rules.timing();
        let bodies = self.late_body.is_some() || self.attacker_with_bodies;
        let bodies = if bodies { late_body } else { Duration::ZERO };
        age_of(rotation_interval.max(grace + bodies + ticks(1))) + self.skew
    }

    /// The age of an access token beyond which more makes no difference.
    pub(crate) fn settled(&self) -> Age {
        if self.minds_ages() {
            self.confirmation_age(self.late_body.is_some() || self.attacker_with_bodies) + self.skew
        } else {
            0
        }
    }

    /// The same for the time at which a generation was sent.
    pub(crate) fn offered(&self) -> Age {
        if self.minds_ages() { self.settled() + self.grace() } else { 0 }
    }

    fn confirmation_age(&self, body: bool) -> Age {
        age_of(RotationTiming::from(self.rules.timing()).confirmation_age(body))
    }

    /// Whether a request with an access token can have an effect when it arrives.
    pub(crate) fn may_count(&self, message: Message) -> bool {
        let at_most = message.issued + (self.longest_way(message) - message.age) + self.rules.early();
        !self.minds_ages() || at_most >= self.confirmation_age(self.rules.minds_body(message.body))
    }

    /// How long after a confirmation a predecessor is refused without an alarm.
    pub(crate) fn longest_refused(&self) -> Age {
        let late = if self.attacker_with_bodies { self.rules.timing().late_body } else { Duration::ZERO };
        self.grace() + age_of(late)
    }

    /// Whether the time at which tokens were sent makes a difference.
    pub(crate) fn minds_ages(&self) -> bool {
        !self.rules.timing().crash_window.is_zero()
    }

    /// The running time of a handler beyond which more makes no difference.
    pub(crate) fn too_late(&self) -> Age {
        age_of(self.rules.timing().write_window).saturating_add(1 + 2 * self.skew)
    }

    /// How long a request or a response may be in transit.
    pub(crate) fn longest_way(&self, message: Message) -> Age {
        self.late_body.filter(|_| message.body).unwrap_or(self.delay)
    }

    /// The instances' clocks: how far each is ahead of the slowest.
    pub(crate) fn clocks(&self) -> impl Iterator<Item = Age> + use<> {
        [0, self.skew].into_iter().take(if self.skew == 0 { 1 } else { 2 })
    }

    /// The current time by a clock.
    pub(crate) fn at(&self, clock: Age) -> Timestamp {
        NOW + ticks(clock)
    }

    /// The point in time that has this age by the fastest clock.
    pub(crate) fn ago(&self, age: Age) -> Timestamp {
        self.at(self.skew) - ticks(age)
    }

    /// The age of a point in time by the fastest clock.
    pub(crate) fn age(&self, at: Timestamp) -> Age {
        age_of(self.at(self.skew).since(at)).min(self.old().max(self.offered()))
    }

    /// Whether a token of that generation can confirm it, now or later.
    pub(crate) fn may_confirm(&self, record: &Record, generation: Lag) -> bool {
        let mut after = *record;
        self.rules.note(&mut after, CURRENT - u64::from(generation), NOW);
        after.family != record.family
    }

    /// Whether a request with this access token confirms its generation now, by that clock.
    pub(crate) fn confirms(&self, record: &Record, message: Message, clock: Age) -> bool {
        let issued = self.ago(message.issued);
        self.rules.confirms(record, issued, message.body, self.at(clock))
            && self.may_confirm(record, message.lag)
    }

    /// The responses with cookies that a handler can return now.
    pub(crate) fn answers(&self, handler: Message, revoked: bool) -> impl Iterator<Item = Message> + use<'_> {
        let Kind::Handler { newer, read } = handler.kind else { unreachable!("only handlers answer") };
        let served = CURRENT - u64::from(handler.lag);
        let older = handler.lag + Age::from(newer);
        // A clock that was set back makes the handler look faster, which is the worst case.
        let ran = handler.age - if self.stepping_clocks { self.skew.min(handler.age) } else { 0 };
        let exchanged = read.and_then(|read| self.exchanged(handler, newer, read, revoked));
        let claims_change = [false, true].into_iter().take(if self.new_claims { 2 } else { 1 });
        let settled = claims_change.filter(move |_| read.is_none()).filter_map(move |access_written| {
            let departure = ResponseState {
                write_window_start: NOW - ticks(ran),
                presented: served - u64::from(newer),
                served,
                status: if revoked { SessionStatus::Revoked } else { SessionStatus::Valid },
                access_written,
                refresh_written: false,
            };
            let (kind, lag) = match self.rules.settle(&departure, NOW) {
                CookieDecision::WriteBoth | CookieDecision::WriteRefresh => (Kind::Both, handler.lag),
                CookieDecision::WriteAccess => (Kind::Access, handler.lag),
                // New claims are sent in any case, for the generation that the browser is known to have.
                CookieDecision::LeaveAlone if access_written && !revoked => (Kind::Access, older),
                CookieDecision::LeaveAlone => return None,
            };
            // Claims that change late are read at that time.
            let issued = if lag == handler.lag { handler.issued } else { self.skew };
            Some(Message { issued, ..Message::new(kind, lag) })
        });
        settled.chain(exchanged)
    }

    /// The response that a token client gets now, if any.
    fn exchanged(&self, handler: Message, newer: bool, read: Read, revoked: bool) -> Option<Message> {
        // As above: a clock that was set back is the worst case.
        let now = self.at(if self.stepping_clocks { 0 } else { read.clock });
        let served = CURRENT - u64::from(handler.lag);
        let departure = ResponseState {
            write_window_start: self.at(read.clock) - ticks(handler.age),
            presented: served - u64::from(newer),
            served,
            status: if revoked { SessionStatus::Revoked } else { SessionStatus::Valid },
            access_written: false,
            refresh_written: false,
        };
        let family = Family {
            generation: served,
            confirmed_at: read.confirmed.map(|age| self.ago(age)),
            timing: RotationTiming::from(self.rules.timing()),
            ..Family::begin(NOW, FAR, FAR)
        };
        let read_at = self.at(read.clock) - ticks(read.age);
        let kind = match self.rules.exchange(&departure, &family, read_at, now) {
            TokenDecision::Both => Kind::Both,
            TokenDecision::AccessOnly => Kind::Access,
            TokenDecision::Nothing => return None,
        };
        Some(Message { issued: handler.issued, ..Message::new(kind, handler.lag) })
    }
}

impl Display for Model {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let timing = self.rules.timing();
        let [window, interval] = [timing.write_window, timing.rotation_interval].map(age_of);
        let Self { delay, skew, in_flight, .. } = self;
        write!(f, "W={window} D={delay} S={skew} G={} M={interval}", self.grace())?;
        if self.crash > 0 {
            write!(f, " C={}", self.crash)?;
        }
        if let Some(late) = self.late_body {
            write!(f, " L={late}")?;
        }
        write!(f, ", {in_flight} in flight")?;
        let extras = [
            (self.token_client, "a token client"),
            (self.shared_reads, "shared reads"),
            (self.late_notes, "late notes"),
            (self.new_claims, "new claims"),
            (self.stepping_clocks, "stepping clocks"),
            (self.crash > age_of(timing.crash_window), "crashes that go back further than the rules expect"),
            (self.attacker, "an attacker"),
            (self.attacker_with_bodies, "with bodies"),
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

/// `G = D`, and no limit on the session's life.
fn policy(window: Age, delay: Age, interval: Age) -> Policy {
    checked_or_not(
        Timing::default()
            .access_ttl(ticks(1))
            .idle_timeout(FAR)
            .absolute_timeout(FAR)
            .grace(ticks(delay))
            .write_window(ticks(window))
            .crash_window(Duration::ZERO)
            .late_body(Duration::ZERO)
            .rotation_interval(ticks(interval)),
    )
}

/// The searches cover both sides of the bound, so they need invalid policies too.
fn checked_or_not(timing: Timing) -> Policy {
    Policy::new(timing).unwrap_or(Policy::dangerous_unchecked(timing))
}

pub(crate) fn ticks(count: Age) -> Duration {
    Duration::from_millis(count.into())
}

fn age_of(duration: Duration) -> Age {
    Age::try_from(duration.as_millis()).unwrap_or(Age::MAX)
}
