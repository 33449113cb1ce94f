//! A random browser in real time: seconds and hours, a dozen messages in flight, three instances, access
//! tokens that expire, and timeouts that end a session.
//!
//! It shares only the rules with the small worlds, so it can find what those leave out.

use std::time::Duration;

use tower_sliding_sessions::{
    SessionId, Timestamp,
    protocol::{
        AccessDecision, AccessTokenTimes, Family, PresentedToken, RefreshDecision, Refusal, SessionStatus,
        decide_access,
    },
};

use crate::{
    exchange::{Cookies, Event, Request, Token, UnderWay, VICTIM, Who},
    random::Random,
    rules::{Record, Rules},
};

const STEPS: usize = 200;
const IN_FLIGHT: usize = 12;
const BEGIN: Timestamp = Timestamp::from_secs(1_700_000_000);
const SESSION: SessionId = SessionId::from_bytes([7; 32]);

/// The parameters of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) rules: Rules,
    /// `D`.
    pub(crate) delay: Duration,
    /// `S`.
    pub(crate) skew: Duration,
    /// `C`: how far back in time a crash can set the jar.
    pub(crate) crash: Duration,
    /// `L`: how late requests with a body may arrive. None without such requests.
    pub(crate) late_body: Option<Duration>,
    /// Whether the client keeps its tokens itself, and stores every response.
    pub(crate) token_client: bool,
    pub(crate) attacker: bool,
}

/// A successful end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The session was still valid after the last step.
    StillSignedIn,
    /// It reached the idle timeout or the absolute timeout.
    Expired,
    /// A copy was used, and that was detected.
    Detected,
}

/// The state of a run.
struct Run<'a> {
    setting: &'a Setting,
    random: Random,
    /// The true time, which no instance knows.
    now: Timestamp,
    /// How far ahead of it the instances' clocks are.
    clocks: [Duration; 3],
    record: Record,
    /// The browser's cookies, and the attacker's once it has copied them.
    jars: [Option<Cookies>; 2],
    /// The browser's earlier cookies, and until when it held them.
    past: Vec<(Timestamp, Cookies)>,
    crashes: u32,
    under_way: UnderWay,
    /// When each generation was first confirmed. The rules never see this.
    noted: Vec<Option<Timestamp>>,
    /// When the server last served a request.
    served_at: Timestamp,
    struck: bool,
    loud: bool,
}

/// Runs two hundred steps. An outcome that must not happen is the error.
pub(crate) fn run(setting: &Setting, seed: u64, loud: bool) -> Result<Ending, String> {
    let timing = *setting.rules.timing();
    let mut random = Random::new(seed);
    let clocks = [Duration::ZERO, setting.skew, random.up_to(setting.skew)];
    let mut run = Run {
        setting,
        random,
        now: BEGIN,
        clocks,
        record: Record::begin(BEGIN, &timing),
        jars: [Some(Cookies { refresh: 0, access: None }), None],
        past: Vec::new(),
        crashes: 0,
        under_way: UnderWay::default(),
        noted: vec![Some(BEGIN)],
        served_at: BEGIN,
        struck: false,
        loud,
    };
    run.under_way.add(BEGIN, Event::Browse(VICTIM));
    for _ in 0..STEPS {
        let (at, event) = run.under_way.next().expect("there is always a next event");
        run.now = at;
        if loud {
            println!("  {:>9} ms: {event:?}", at.since(BEGIN).as_millis());
        }
        if let Some(ending) = run.step(event)? {
            return Ok(ending);
        }
    }
    Ok(Ending::StillSignedIn)
}

impl Run<'_> {
    fn step(&mut self, event: Event) -> Result<Option<Ending>, String> {
        match event {
            Event::Browse(who) => self.browse(who),
            Event::Arrive(request) => return self.arrive(request),
            Event::Leave { request, arrived, served, confirmed_at, clock } => {
                let read = Family { generation: served, confirmed_at, ..self.record.family };
                self.leave(&request, arrived, &read, clock);
            }
            Event::Deliver { who, crashes, refresh, access } => {
                if who == VICTIM && crashes != self.crashes {
                    return Ok(None);
                }
                let jar = self.jars[who].as_mut().expect("the request carried it");
                if who == VICTIM {
                    self.past.push((self.now, *jar));
                }
                jar.access = Some(access);
                jar.refresh = refresh.unwrap_or(jar.refresh);
            }
            Event::Crash => {
                // Before the end of the crash window, to the millisecond.
                let saved = self.past.iter().filter(|(until, _)| self.now < *until + self.setting.crash);
                let saved: Vec<_> = saved.map(|(_, jar)| *jar).chain(self.jars[VICTIM]).collect();
                self.jars[VICTIM] = Some(self.random.pick(&saved));
                self.past.clear();
                self.crashes += 1;
            }
            Event::Note { generation, at } => {
                self.setting.rules.note(&mut self.record, generation, at);
                let first = self.noted.get_mut(usize::try_from(generation).expect("it is small"));
                if let Some(first @ None) = first {
                    *first = Some(self.now);
                }
            }
        }
        Ok(None)
    }

    /// Sends up to a few requests in parallel, and schedules the next ones.
    fn browse(&mut self, who: Who) {
        let timing = *self.setting.rules.timing();
        if self.setting.attacker && self.jars[1].is_none() && self.random.one_in(10) {
            self.jars[1] = self.jars[VICTIM];
            self.under_way.add(self.now, Event::Browse(1));
        }
        if who == VICTIM && !self.setting.crash.is_zero() && self.random.one_in(5) {
            self.under_way.add(self.now + self.random.up_to(self.setting.crash), Event::Crash);
        }
        for _ in 0..self.random.below(5) {
            let mut cookies = self.jars[who].expect("a browser has cookies");
            if self.random.one_in(3) {
                cookies.access = None;
            }
            if self.under_way.in_flight() < IN_FLIGHT {
                let late = self.setting.late_body.filter(|_| who == VICTIM && self.random.one_in(4));
                let delay = self.random.up_to(late.unwrap_or(self.setting.delay));
                let request = Request { who, cookies, with_body: late.is_some(), crashes: self.crashes };
                self.under_way.add(self.now + delay, Event::Arrive(request));
            }
        }
        let pauses = [
            Duration::from_millis(1),
            self.setting.delay,
            timing.grace + self.setting.skew,
            timing.write_window,
            timing.rotation_interval,
            timing.access_ttl,
        ];
        let longest =
            if self.random.one_in(100) { timing.idle_timeout * 2 } else { self.random.pick(&pauses) };
        let pause = self.random.up_to(longest) + Duration::from_millis(1);
        self.under_way.add(self.now + pause, Event::Browse(who));
    }

    fn arrive(&mut self, request: Request) -> Result<Option<Ending>, String> {
        let Setting { rules, .. } = self.setting;
        let clock = self.random.pick(&self.clocks);
        let here = self.now + clock;
        let token = request.cookies.access;
        let access = token.map(|Token { issued, expires, .. }| AccessTokenTimes {
            session: SESSION,
            issued,
            not_before: None,
            expires,
        });
        let assessment = decide_access(&rules.policy, access.as_ref(), SessionStatus::Valid, here);
        let with_body = request.with_body;
        if let Some(Token { generation, issued, .. }) = token {
            if rules.confirms(&self.record, issued, with_body, here) {
                self.struck |= request.who != VICTIM;
                self.note(generation, here);
            }
            if assessment == AccessDecision::Accept {
                self.served_at = self.now;
                return Ok(None);
            }
        }
        let presented = request.cookies.refresh;
        self.struck |= request.who != VICTIM;
        let before = self.record;
        let rotation =
            rules.renew(&mut self.record, PresentedToken { generation: presented, with_body }, here);
        if self.loud {
            println!("      -> {rotation:?}, {:?}", self.record.family);
        }
        if let Some(ending) = self.judge(&before, presented, rotation, here)? {
            return Ok(Some(ending));
        }
        if matches!(rotation, RefreshDecision::Refuse(_)) {
            return Ok(None);
        }
        self.served_at = self.now;
        match rotation {
            RefreshDecision::Confirm => self.note(presented, here),
            RefreshDecision::Rotate => self.noted.push(None),
            _ => {}
        }
        if self.record.family.touch_is_due(here, rules.timing().rotation_interval) {
            self.record.family.touch(here);
        }
        let longest = if self.random.one_in(20) { rules.timing().idle_timeout } else { Duration::ZERO };
        let work = self.random.up_to(longest.max(rules.timing().write_window * 3 / 2));
        let Family { generation: served, confirmed_at, .. } = self.record.family;
        let leave = Event::Leave { request, arrived: here, served, confirmed_at, clock };
        self.under_way.add(self.now + work, leave);
        Ok(None)
    }

    /// A confirmation is written at once, later, or never.
    fn note(&mut self, generation: u64, at: Timestamp) {
        if !self.random.one_in(4) {
            let late = if self.setting.token_client { self.setting.delay } else { Duration::from_secs(300) };
            let longest = self.random.pick(&[Duration::ZERO, late]);
            let delay = self.random.up_to(longest);
            self.under_way.add(self.now + delay, Event::Note { generation, at });
        }
    }

    fn leave(&mut self, request: &Request, arrived: Timestamp, read: &Family, clock: Duration) {
        let here = self.now + clock;
        let Setting { rules, token_client, .. } = self.setting;
        let answer = request.answer(rules, &self.record, (arrived, here), read, *token_client);
        if let Some(answer) = answer.filter(|_| !self.random.one_in(5)) {
            let delay = self.random.up_to(self.setting.delay);
            self.under_way.add(self.now + delay, answer);
        }
    }

    /// Checks the outcome for a token of generation `presented`.
    fn judge(
        &self,
        before: &Record,
        presented: u64,
        rotation: RefreshDecision,
        here: Timestamp,
    ) -> Result<Option<Ending>, String> {
        let Setting { rules, skew, .. } = self.setting;
        let timing = rules.timing();
        let successor = usize::try_from(presented + 1).expect("it is small");
        let superseded = self.noted.get(successor).copied().flatten();
        match rotation {
            RefreshDecision::Refuse(Refusal::Expired) => {
                // Its record may have the last use late by this much, because of clock differences.
                let late = timing.access_ttl + timing.rotation_interval + timing.write_window + *skew * 2;
                let idle = here.since(self.served_at) + late >= timing.idle_timeout;
                let old = here >= before.family.absolute_deadline;
                if idle || old { Ok(Some(Ending::Expired)) } else { Err("expired in use".to_owned()) }
            }
            RefreshDecision::Refuse(Refusal::LateBody) => Ok(None),
            RefreshDecision::Reuse if self.struck => Ok(Some(Ending::Detected)),
            RefreshDecision::Reuse | RefreshDecision::Refuse(_) | RefreshDecision::FastForward => {
                Err(format!("a legitimate browser is signed out: {rotation:?}"))
            }
            _ if superseded.is_some_and(|at| self.now.since(at) > timing.grace + *skew) => {
                Err(format!("a copy is served: {rotation:?}"))
            }
            _ => Ok(None),
        }
    }
}
