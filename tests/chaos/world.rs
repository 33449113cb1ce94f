//! The faults of each round, and the checks after it.

use std::{
    sync::atomic::Ordering,
    thread::sleep,
    time::{Duration, Instant},
};

use axum::http::StatusCode;
use tower_sliding_sessions::{Clock as _, SystemClock, store::SessionStore};

use crate::{
    chance::Chance,
    faulty_store::Faults,
    instance::{Connect, Instance, Jar},
};

/// The faults of each round, in addition to sign-ins, requests and revocations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) emergency_stops: bool,
}

/// The feed's lag, and the time to notice that connections died with their runtime.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long copies of a revoked session's cookies are tried. Clocks are up to two hours apart.
const REMEMBERED: Duration = Duration::from_secs(4 * 3600);
/// The number of older revoked sessions tried in each round.
const TRIED: usize = 12;

struct User {
    name: String,
    jar: Jar,
    /// Its earlier cookies.
    copies: Vec<Jar>,
}

struct Revoked {
    name: String,
    copies: Vec<Jar>,
    at: Duration,
    /// The instances that must know of the revocation.
    known: [bool; 3],
}

pub(crate) struct World<S> {
    what: &'static str,
    plan: Plan,
    chance: Chance,
    instances: Vec<Instance<S>>,
    users: Vec<User>,
    revoked: Vec<Revoked>,
    /// The time since the start.
    passed: Duration,
    names: u64,
    /// Faults and operations, for the message of a failure.
    history: Vec<(Duration, String)>,
    tally: Tally,
}

#[derive(Debug, Default)]
struct Tally {
    stops: u64,
    steps: u64,
    killed_runtimes: u64,
    killed_followers: u64,
    outages: u64,
    restarts: u64,
    refusals: u64,
}

impl<S: SessionStore> World<S> {
    pub(crate) fn new(what: &'static str, plan: Plan, connect: &Connect<S>) -> Self {
        let seed = number("CHAOS_SEED", 20_261_126);
        println!("{what}, {plan:?}: CHAOS_SEED={seed}");
        let now = SystemClock.now();
        let faults = || Faults { server_has_its_own_time: what == "redis", ..Faults::default() };
        Self {
            what,
            plan,
            chance: Chance::seeded(seed),
            instances: (0..3).map(|_| Instance::start(connect.clone(), faults(), now)).collect(),
            users: Vec::new(),
            revoked: Vec::new(),
            passed: Duration::ZERO,
            names: 0,
            history: Vec::new(),
            tally: Tally::default(),
        }
    }

    pub(crate) fn run(mut self) {
        let began = real_time();
        let rounds = number("CHAOS_ROUNDS", 40);
        for round in 0..rounds {
            self.sign_some_in();
            self.cause_faults();
            self.use_sessions();
            self.let_time_pass();
            self.end_outages();
            self.revoke_some();
            if self.plan.emergency_stops {
                self.stop_everything_at_once();
            }
            self.check_that_no_revoked_session_is_served(round);
            self.check_that_new_sessions_are_served(round);
        }
        // All clocks are correct again.
        self.instances.iter_mut().for_each(|instance| instance.step_to(0));
        for round in rounds..rounds + 30 {
            self.check_that_no_revoked_session_is_served(round);
            self.check_that_new_sessions_are_served(round);
            self.let_time_pass();
        }
        println!(
            "{}, {:?}: {rounds} rounds in {:?}: {:?}",
            self.what,
            self.plan,
            began.elapsed(),
            self.tally
        );
    }

    fn note(&mut self, what: String) {
        self.history.push((self.passed, what));
    }

    /// The history of the instances and of this user around a revocation.
    fn story(&self, name: &str, revoked_at: Duration) -> String {
        let from = revoked_at.saturating_sub(Duration::from_secs(1800));
        let noted = self.history.iter().filter(|(at, _)| *at >= from);
        let noted =
            noted.filter(|(_, what)| !what.starts_with("user") || what.starts_with(&format!("{name} ")));
        noted.map(|(at, what)| format!("\n{at:?}: {what}")).collect()
    }

    fn any_instance(&mut self) -> usize {
        self.chance.below(3)
    }

    fn cause_faults(&mut self) {
        for _ in 0..self.chance.below(4) {
            let fault = self.chance.below(8);
            let at = self.any_instance();
            match fault {
                0..=3 => {
                    let ahead = *self.chance.pick(&[-1, 0, 1]);
                    self.tally.steps += u64::from(self.instances[at].ahead != ahead);
                    self.instances[at].step_to(ahead);
                    self.note(format!("instance {at} is {ahead} h ahead"));
                }
                4 => {
                    self.instances[at].kill_runtime();
                    self.tally.killed_runtimes += 1;
                    self.note(format!("instance {at} loses its runtime"));
                }
                5 => {
                    self.instances[at].faults.feed_panics.store(true, Ordering::SeqCst);
                    self.tally.killed_followers += 1;
                    self.note(format!("instance {at} loses its follower"));
                }
                6 => {
                    self.instances[at].faults.feed_fails.store(true, Ordering::SeqCst);
                    self.tally.outages += 1;
                    self.note(format!("instance {at} cannot read the feed"));
                }
                _ => {
                    self.instances[at].restart();
                    self.tally.restarts += 1;
                    self.note(format!("instance {at} is restarted"));
                }
            }
        }
    }

    fn end_outages(&self) {
        for instance in &self.instances {
            instance.faults.feed_fails.store(false, Ordering::SeqCst);
        }
    }

    fn let_time_pass(&mut self) {
        let seconds = match self.chance.below(4) {
            0 => 0,
            1 => self.chance.below(60),
            _ => self.chance.below(900),
        };
        let time = Duration::from_secs(seconds as u64);
        self.passed += time;
        self.instances.iter().for_each(|instance| instance.pass(time));
        let (passed, remembered) = (self.passed, REMEMBERED);
        self.revoked.retain(|revoked| passed < revoked.at + remembered);
    }

    fn sign_some_in(&mut self) {
        for _ in 0..=self.chance.below(3) {
            let at = self.any_instance();
            self.sign_in_at(at);
        }
    }

    fn sign_in_at(&mut self, at: usize) {
        self.names += 1;
        let name = format!("user{}", self.names);
        let instance = &self.instances[at];
        let jar = within_deadline(|| instance.sign_in(&name));
        let jar = jar.unwrap_or_else(|| panic!("instance {at} signs no user in"));
        let ahead = instance.ahead;
        self.note(format!("{name} signs in at {at}, {ahead} h ahead"));
        self.users.push(User { name, jar, copies: Vec::new() });
    }

    /// Each session is used on several instances, and copies of its cookies are kept.
    fn use_sessions(&mut self) {
        for index in 0..self.users.len() {
            for _ in 0..self.chance.below(3) {
                let at = self.any_instance();
                let User { jar, copies, .. } = &mut self.users[index];
                copies.push(jar.clone());
                let status = self.instances[at].visit(jar);
                let what = format!(
                    "{} gets {status} from {at}, {} h ahead",
                    self.users[index].name, self.instances[at].ahead
                );
                self.note(what);
                let copies = &mut self.users[index].copies;
                if copies.len() > 3 {
                    let worst = self.chance.below(copies.len());
                    copies.remove(worst);
                }
            }
        }
    }

    fn revoke_some(&mut self) {
        for _ in 0..self.chance.below(3) {
            if self.users.is_empty() {
                return;
            }
            let user = self.chance.below(self.users.len());
            let (at, by_name) = (self.any_instance(), self.chance.below(2) == 0);
            let User { name, jar, .. } = &self.users[user];
            let instance = &self.instances[at];
            let done = within_deadline(|| match by_name {
                true => instance.revoke_all(name).is_ok().then_some(()),
                false => instance.sign_out(jar).then_some(()),
            });
            assert!(done.is_some(), "instance {at} revokes no session");
            let what = format!("{name} is revoked at {at}, {} h ahead", instance.ahead);
            self.note(what);
            let user = self.users.swap_remove(user);
            let mut known = [false; 3];
            known[at] = true;
            self.add_revoked(user, known);
        }
    }

    fn add_revoked(&mut self, user: User, known: [bool; 3]) {
        let User { name, jar, mut copies } = user;
        copies.push(jar);
        self.revoked.push(Revoked { name, copies, at: self.passed, known });
    }

    /// Two or three instances start an emergency stop, and a runtime may be killed in between.
    fn stop_everything_at_once(&mut self) {
        let kill = (self.chance.below(4) == 0).then(|| self.any_instance());
        let first = usize::from(self.chance.below(2) == 0);
        let stops: Vec<_> = (first..3).map(|at| (at, self.instances[at].start_emergency_stop())).collect();
        if let Some(at) = kill {
            self.instances[at].kill_runtime();
            self.tally.killed_runtimes += 1;
        }
        let mut known = [false; 3];
        for (at, stopped) in stops {
            known[at] = stopped.recv_timeout(DEADLINE).unwrap_or(false) && kill != Some(at);
        }
        if known == [false; 3] {
            // No call returned, so the outcome is unknown. One more stop must succeed.
            let instance = &self.instances[0];
            let done = within_deadline(|| {
                instance.start_emergency_stop().recv_timeout(DEADLINE).ok().filter(|done| *done)
            });
            assert!(done.is_some(), "the emergency stop failed on instance 0");
            known[0] = true;
        }
        self.tally.stops += 1;
        for user in std::mem::take(&mut self.users) {
            self.add_revoked(user, known);
        }
    }

    /// An instance that knows of the revocation refuses at once, and later. The others refuse after the
    /// feed's lag.
    fn check_that_no_revoked_session_is_served(&mut self, round: u64) {
        for index in 0..self.revoked.len() {
            let is_new = self.revoked[index].known != [true; 3];
            // By a clock that was one or two hours ahead of another one, the tokens may be valid again.
            let age = (self.passed - self.revoked[index].at).as_secs();
            let is_due = age.abs_diff(3600) < 900 || age.abs_diff(7200) < 900;
            if !is_new && !is_due && self.chance.below(self.revoked.len()) >= TRIED {
                continue;
            }
            let revoked = &self.revoked[index];
            for (at, instance) in self.instances.iter().enumerate() {
                let known = revoked.known[at];
                let began = real_time();
                for (nth, copy) in revoked.copies.iter().enumerate() {
                    while instance.visit(&mut copy.clone()) == StatusCode::OK {
                        assert!(
                            !known && began.elapsed() < DEADLINE,
                            "round {round}: instance {at}, {} h ahead, serves {} by copy {nth}, revoked {:?} ago:{}",
                            instance.ahead,
                            revoked.name,
                            self.passed - revoked.at,
                            self.story(&revoked.name, revoked.at),
                        );
                        sleep(Duration::from_millis(10));
                    }
                    self.tally.refusals += 1;
                }
            }
            self.revoked[index].known = [true; 3];
        }
    }

    fn check_that_new_sessions_are_served(&mut self, round: u64) {
        let at = self.any_instance();
        self.sign_in_at(at);
        let Some(User { jar, .. }) = self.users.last_mut() else { return };
        for (other, instance) in self.instances.iter().enumerate() {
            let mut last = StatusCode::OK;
            let served = within_deadline(|| {
                last = instance.visit(jar);
                (last == StatusCode::OK).then_some(())
            });
            assert!(
                served.is_some(),
                "round {round}: instance {other}, {} h ahead, answers {last} to a session that was just opened at {at}",
                instance.ahead,
            );
        }
    }
}

/// Tries until it succeeds, or until the deadline.
fn within_deadline<T>(mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let began = real_time();
    loop {
        match attempt() {
            Some(done) => return Some(done),
            None if began.elapsed() > DEADLINE => return None,
            None => sleep(Duration::from_millis(10)),
        }
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

#[expect(clippy::disallowed_methods, reason = "the test waits in real time")]
fn real_time() -> Instant {
    Instant::now()
}
