//! Clients, administrators and attackers, who use three instances while faults are injected.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{task::JoinSet, time::sleep};
use tower_sliding_sessions::CookieJar;

use crate::{
    chance::Chance,
    checker::{Assumptions, LATE_EFFECT},
    faults::{self, Faulty, Planned},
    history::{From, History, Op, Request, Revocation, Time, Token, What},
    instance::{INSTANCES, Instance, Open},
    link::Mode,
    others::Gone,
    tokens::{Cookies, only},
};

/// What is to happen.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) time: Duration,
    pub(crate) clients: usize,
    /// Whether the store can revoke all sessions of a user.
    pub(crate) can_list: bool,
    pub(crate) faults: Vec<Planned>,
}

pub(crate) struct World {
    pub(crate) history: Arc<History>,
    pub(crate) instances: Vec<Instance>,
    pub(crate) plan: Plan,
    pub(crate) gone: Mutex<VecDeque<Gone>>,
    /// The cookies of each client, for the copies that are kept when an administrator revokes its sessions.
    jars: Vec<Mutex<CookieJar>>,
}

/// How one request travels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trip {
    pub(crate) place: usize,
    there: Duration,
    back: Duration,
    handler: u64,
}

impl Trip {
    pub(crate) const fn at_once(place: usize) -> Self {
        Self { place, there: Duration::ZERO, back: Duration::ZERO, handler: 0 }
    }
}

pub(crate) const REFRESH: &str = "__Host-refresh=";

impl World {
    /// Runs the plan, and returns its history.
    pub(crate) async fn run<F: Faulty>(
        plan: Plan,
        assumptions: Assumptions,
        open: Open,
        links: Vec<Option<tokio::sync::watch::Sender<Mode>>>,
        mut server: F,
    ) -> Vec<Op> {
        let history = Arc::new(History::begin());
        let instances = links
            .into_iter()
            .enumerate()
            .map(|(place, link)| Instance::new(place, open.clone(), history.clone(), assumptions, link));
        let world = Arc::new(Self {
            instances: instances.collect(),
            history,
            gone: Mutex::default(),
            jars: (0..plan.clients).map(|_| Mutex::default()).collect(),
            plan,
        });
        for instance in &world.instances {
            instance.start().await.expect("the store is there");
        }
        let mut tasks = JoinSet::new();
        for client in 0..world.plan.clients {
            tasks.spawn(world.clone().client(client));
        }
        tasks.spawn(world.clone().try_revoked_sessions());
        tasks.spawn(world.clone().administrate());
        faults::inject(&world, &world.plan.faults, &mut server).await;
        while let Some(ended) = tasks.join_next().await {
            ended.expect("no panic");
        }
        world.check_recovery().await;
        world.history.take()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.history.now() >= self.plan.time
    }

    pub(crate) fn chance(&self, of: u64) -> Chance {
        let mut chance = Chance::seeded(self.plan.seed ^ (of + 1).wrapping_mul(0x9e37_79b9));
        chance.next();
        chance
    }

    pub(crate) fn jar(&self, client: usize) -> MutexGuard<'_, CookieJar> {
        self.jars[client].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Signs in until it works. Returns the session's cookies.
    async fn sign_in(&self, user: usize, chance: &mut Chance) -> Option<CookieJar> {
        while !self.is_over() {
            let place = chance.below(INSTANCES);
            if let Some(jar) = self.sign_in_at(user, place).await {
                return Some(jar);
            }
            sleep(Duration::from_millis(100 + chance.below(200) as u64)).await;
        }
        None
    }

    async fn sign_in_at(&self, user: usize, place: usize) -> Option<CookieJar> {
        let (instance, invoked) = (&self.instances[place], self.history.now());
        let running = instance.running()?;
        let (path, none) = (format!("/login/user{user}"), CookieJar::default());
        let answer = instance.call(running.process, running.send("POST", &path, &none)).await;
        let mut jar = CookieJar::default();
        if let Some((_, headers)) = &answer {
            jar.keep_headers(headers);
        }
        let minted = Cookies::of(&jar).refresh;
        match answer {
            None => self.history.add_unknown(running.process, invoked, What::SignIn { user, minted: None }),
            Some(_) => self.history.add(running.process, invoked, What::SignIn { user, minted }),
        }
        minted.map(|_| jar)
    }

    /// Sends a request with these cookies. Returns the status, and the cookies of the response in a jar with the given
    /// ones. None if there was no answer.
    pub(crate) async fn request(
        &self,
        from: From,
        jar: &CookieJar,
        trip: Trip,
    ) -> Option<(u16, Box<dyn FnOnce(&mut CookieJar) + Send>)> {
        let (instance, invoked, cookies) =
            (&self.instances[trip.place], self.history.now(), Cookies::of(jar));
        let carried = cookies.token()?;
        sleep(trip.there).await;
        let running = instance.running()?;
        let arrived = self.history.now();
        let path = if trip.handler == 0 { "/me".to_owned() } else { format!("/slow/{}", trip.handler) };
        let answer = instance.call(running.process, running.send("GET", &path, jar)).await;
        let answered = answer.as_ref().map(|(status, _)| (self.history.now(), status.as_u16()));
        let minted = answer.as_ref().and_then(|(_, headers)| {
            let mut set = CookieJar::default();
            set.keep_headers(headers);
            Cookies::of(&set).token()
        });
        let what = What::Request(Request { from, carried, arrived, answered, minted });
        let Some((status, headers)) = answer else {
            self.history.add_unknown(running.process, invoked, what);
            return None;
        };
        sleep(trip.back).await;
        self.history.add(running.process, invoked, what);
        Some((status.as_u16(), Box::new(move |jar| jar.keep_headers(&headers))))
    }

    fn trip(&self, chance: &mut Chance) -> Trip {
        let mut delay = || {
            let longest = if chance.below(8) == 0 { 400 } else { 20 };
            Duration::from_millis(chance.below(longest) as u64)
        };
        let (there, back) = (delay(), delay());
        Trip { place: chance.below(INSTANCES), there, back, handler: 0 }
    }

    /// One client: signs in again whenever it has no session.
    async fn client(self: Arc<Self>, client: usize) {
        let mut chance = self.chance(client as u64);
        while let Some(jar) = self.sign_in(client, &mut chance).await {
            *self.jar(client) = jar;
            self.use_session(client, &mut chance).await;
        }
    }

    /// The others keep their sessions until an emergency stop, so that those see many rotations.
    const fn signs_out(client: usize) -> bool {
        client.is_multiple_of(2)
    }

    /// Until the session is refused, signed out, or the history is over.
    async fn use_session(self: &Arc<Self>, client: usize, chance: &mut Chance) {
        // The jars that a crash may bring back, and a copy of an attacker.
        let (mut stored, mut copy) = (VecDeque::new(), None::<(CookieJar, Token)>);
        while !self.is_over() {
            let now = self.history.now();
            stored.push_back((now, self.jar(client).clone()));
            // A margin: the client is back a moment later.
            stored.retain(|(at, _)| *at + Duration::from_millis(700) > now);
            let mut pause =
                if chance.below(12) == 0 { 2500 + chance.below(3000) } else { 20 + chance.below(300) };
            let mut status = Some(200);
            match chance.below(100) {
                0..8 => {
                    let places = 2 + chance.below(3);
                    let trips = (0..places).map(|_| self.trip(chance)).collect();
                    status = self.burst(client, trips).await;
                }
                8..12 => {
                    let (_, old) = chance.pick(stored.make_contiguous());
                    *self.jar(client) = old.clone();
                    // It may stay away for a while.
                    pause += chance.below(2) * chance.below(4000);
                }
                12..16 => {
                    // The response is lost.
                    let (world, jar, trip) = (self.clone(), self.jar(client).clone(), self.trip(chance));
                    tokio::spawn(async move { world.request(From::Client, &jar, trip).await.is_some() });
                }
                16..18 => {
                    // Some last longer than two rotations.
                    let longest = if chance.below(3) == 0 { 20_000 } else { 2000 };
                    let trip = Trip { handler: 900 + chance.below(longest) as u64, ..self.trip(chance) };
                    tokio::spawn(self.clone().slow_visit(client, trip));
                }
                18..20 if copy.is_none() => {
                    let jar = only(&self.jar(client), REFRESH);
                    copy = Cookies::of(&jar).refresh.map(|token| (jar, token));
                }
                20..22 if Self::signs_out(client) => {
                    let trip = self.trip(chance);
                    if self.sign_out(client, trip, &mut stored).await {
                        return;
                    }
                }
                22..30 => {
                    let (jar, trip) = (only(&self.jar(client), REFRESH), self.trip(chance));
                    status = self.visit(client, jar, trip).await;
                }
                _ => {
                    let (jar, trip) = (self.jar(client).clone(), self.trip(chance));
                    status = self.visit(client, jar, trip).await;
                }
            }
            if status == Some(401) {
                return;
            }
            let generation = Cookies::of(&self.jar(client)).refresh.map_or(0, |token| token.generation);
            if let Some((jar, token)) = copy.take_if(|(_, token)| generation >= token.generation + 2)
                && token.session
                    == Cookies::of(&self.jar(client)).refresh.map_or(token.session, |it| it.session)
            {
                let trip = self.trip(chance);
                self.request(From::Copy, &jar, trip).await;
            }
            sleep(Duration::from_millis(pause as u64)).await;
        }
    }

    async fn visit(&self, client: usize, jar: CookieJar, trip: Trip) -> Option<u16> {
        let (status, keep) = self.request(From::Client, &jar, trip).await?;
        keep(&mut self.jar(client));
        Some(status)
    }

    /// A request whose response comes late, while the client goes on.
    async fn slow_visit(self: Arc<Self>, client: usize, trip: Trip) {
        let jar = self.jar(client).clone();
        let session = |jar: &CookieJar| Cookies::of(jar).token().map(|token| token.session);
        if let Some((_, keep)) = self.request(From::Client, &jar, trip).await {
            let mut now = self.jar(client);
            if session(&now) == session(&jar) {
                keep(&mut now);
            }
        }
    }

    /// Requests at the same time. Their cookies are kept in the order in which the responses arrive.
    async fn burst(self: &Arc<Self>, client: usize, trips: Vec<Trip>) -> Option<u16> {
        let (jar, mut requests) = (self.jar(client).clone(), JoinSet::new());
        for trip in trips {
            let (world, jar) = (self.clone(), jar.clone());
            requests.spawn(async move { world.visit(client, jar, trip).await });
        }
        let mut statuses = Vec::new();
        while let Some(status) = requests.join_next().await {
            statuses.extend(status.expect("no panic"));
        }
        statuses.into_iter().max_by_key(|status| *status == 401)
    }

    /// Returns whether the client left its session.
    async fn sign_out(&self, client: usize, trip: Trip, stored: &mut VecDeque<(Time, CookieJar)>) -> bool {
        let (jar, instance, invoked) =
            (self.jar(client).clone(), &self.instances[trip.place], self.history.now());
        let (Some(token), Some(running)) = (Cookies::of(&jar).token(), instance.running()) else {
            return false;
        };
        let answer = instance.call(running.process, running.send("POST", "/logout", &jar)).await;
        let acknowledged = answer.as_ref().is_some_and(|(status, _)| status.is_success());
        let what = What::SignOut(Revocation { session: token.session, acknowledged });
        if answer.is_some() {
            self.history.add(running.process, invoked, what);
        } else {
            self.history.add_unknown(running.process, invoked, what);
        }
        if acknowledged {
            let older = stored.drain(..).map(|(_, jar)| jar).next();
            self.try_at_once(&jar, trip.place).await;
            self.add_gone([jar].into_iter().chain(older).collect(), trip.place);
        }
        acknowledged
    }

    /// After the faults, each instance signs a user in and serves the session.
    async fn check_recovery(&self) {
        for (place, instance) in self.instances.iter().enumerate() {
            let (began, mut served) = (self.history.now(), false);
            while !served && self.history.now() < began + LATE_EFFECT {
                if let Some(jar) = self.sign_in_at(self.plan.clients, place).await {
                    let trip = Trip::at_once(place);
                    let answer = self.request(From::Client, &jar, trip).await;
                    served = answer.is_some_and(|(status, _)| status == 200);
                }
                sleep(Duration::from_millis(100)).await;
            }
            self.history.add(instance.process(), began, What::Recovered(served));
        }
    }
}
