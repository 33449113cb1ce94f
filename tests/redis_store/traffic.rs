//! Users of an application on several instances, whose store has failovers meanwhile.
#![expect(clippy::disallowed_methods, reason = "the test measures real time")]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::http::StatusCode;
use tokio::{task::JoinSet, time::sleep};
use tower_sliding_sessions::store::RedisStore;

use super::instance::{Instance, Jar};

/// How long an instance may serve a revoked session: the feed's lag.
const BOUND: Duration = Duration::from_secs(5);
const USERS: usize = 24;

struct Shared {
    instances: Vec<Instance>,
    stop: AtomicBool,
    /// When a request was last served by the store, and the longest time without one.
    served: Mutex<(Instant, Duration)>,
    requests: AtomicU64,
    unavailable: AtomicU64,
    revoked: Mutex<Vec<(Jar, usize)>>,
}

pub(crate) struct Traffic {
    shared: Arc<Shared>,
    users: JoinSet<()>,
}

pub(crate) struct Outcome {
    pub(crate) longest_outage: Duration,
    pub(crate) revoked: usize,
    pub(crate) gaps: u64,
}

impl Traffic {
    /// Signs users in, and lets them use and leave the application on three instances.
    pub(crate) async fn start(connect: impl AsyncFn() -> RedisStore, to_revoke: usize) -> Self {
        let mut instances = Vec::new();
        for _ in 0..3 {
            instances.push(Instance::start(connect().await));
        }
        let shared = Arc::new(Shared {
            instances,
            stop: AtomicBool::new(false),
            served: Mutex::new((Instant::now(), Duration::ZERO)),
            requests: AtomicU64::new(0),
            unavailable: AtomicU64::new(0),
            revoked: Mutex::default(),
        });
        let mut jars = Vec::new();
        for user in 0..USERS + to_revoke {
            let mut jar = Jar::default();
            let status = shared.instances[user % 3].send("POST", &format!("/login/{user}"), &mut jar).await;
            assert_eq!(status, StatusCode::OK, "sign-in");
            jars.push(jar);
        }
        // The replicas have them.
        sleep(Duration::from_millis(500)).await;
        *shared.served.lock().expect("no panic") = (Instant::now(), Duration::ZERO);
        let mut users = JoinSet::new();
        let leaving = jars.split_off(USERS);
        for (user, jar) in jars.into_iter().enumerate() {
            users.spawn(shared.clone().use_all(user, jar));
        }
        users.spawn(shared.clone().leave(leaving));
        Self { shared, users }
    }

    /// Waits until renewals are served again.
    pub(crate) async fn recovered(&mut self) {
        let before = self.shared.served.lock().expect("no panic").0;
        sleep(Duration::from_secs(2)).await;
        for _ in 0..600 {
            while let Some(ended) = self.users.try_join_next() {
                ended.expect("no user was signed out");
            }
            if self.shared.served.lock().expect("no panic").0 > before + Duration::from_secs(1) {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("no request is served any more");
    }

    /// Ends the traffic and checks what was revoked: on all instances, and on one that `connect` starts anew.
    pub(crate) async fn finish(mut self, connect: impl AsyncFn() -> RedisStore) -> Outcome {
        self.shared.stop.store(true, Ordering::SeqCst);
        while let Some(ended) = self.users.join_next().await {
            ended.expect("no user was signed out");
        }
        let revoked = std::mem::take(&mut *self.shared.revoked.lock().expect("no panic"));
        let mut instances = self.shared.instances.clone();
        instances.push(Instance::start(connect().await));
        let due = Instant::now() + BOUND;
        for (jar, by) in &revoked {
            for (at, instance) in instances.iter().enumerate() {
                loop {
                    let status = instance.send("GET", "/me", &mut jar.clone()).await;
                    if status == StatusCode::UNAUTHORIZED {
                        break;
                    }
                    assert!(status != StatusCode::OK || at != *by, "served by the instance that revoked it");
                    assert!(Instant::now() < due, "instance {at} answers {status} to a revoked session");
                    sleep(Duration::from_millis(20)).await;
                }
            }
        }
        let (requests, unavailable) = (&self.shared.requests, &self.shared.unavailable);
        let outcome = Outcome {
            longest_outage: self.shared.served.lock().expect("no panic").1,
            revoked: revoked.len(),
            gaps: self
                .shared
                .instances
                .iter()
                .map(|instance| instance.count("session_feed_gap") as u64)
                .sum(),
        };
        println!(
            "{} requests, {} of them got 503, {} sessions revoked, {} gaps, longest outage {} ms",
            requests.load(Ordering::SeqCst),
            unavailable.load(Ordering::SeqCst),
            outcome.revoked,
            outcome.gaps,
            outcome.longest_outage.as_millis(),
        );
        outcome
    }
}

impl Shared {
    async fn use_all(self: Arc<Self>, user: usize, mut jar: Jar) {
        for round in user.. {
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            let before = jar.0.clone();
            let status = self.instances[round % 3].send("GET", "/me", &mut jar).await;
            self.requests.fetch_add(1, Ordering::SeqCst);
            match status {
                StatusCode::OK if jar.0 != before => {
                    let mut served = self.served.lock().expect("no panic");
                    let now = Instant::now();
                    *served = (now, served.1.max(now - served.0));
                }
                StatusCode::OK => {}
                StatusCode::SERVICE_UNAVAILABLE => {
                    assert_eq!(jar.0, before, "an outage changes no cookie");
                    self.unavailable.fetch_add(1, Ordering::SeqCst);
                }
                status => {
                    let events = self.instances[round % 3].last_events();
                    panic!("user {user} is signed out: {status}, {events:?}")
                }
            }
            sleep(Duration::from_millis(60)).await;
        }
    }

    /// Signs users out, one after the other. Each tries until it is acknowledged.
    async fn leave(self: Arc<Self>, jars: Vec<Jar>) {
        for (user, jar) in jars.into_iter().enumerate() {
            let by = user % 3;
            loop {
                if self.stop.load(Ordering::SeqCst) {
                    return;
                }
                match self.instances[by].send("POST", "/logout", &mut jar.clone()).await {
                    StatusCode::OK => break,
                    StatusCode::SERVICE_UNAVAILABLE => sleep(Duration::from_millis(50)).await,
                    status => panic!("a sign-out gets {status}"),
                }
            }
            self.revoked.lock().expect("no panic").push((jar, by));
            sleep(Duration::from_millis(25)).await;
        }
    }
}
