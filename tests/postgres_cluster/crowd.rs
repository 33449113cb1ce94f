//! Users who sign in, send requests to one instance after another, and sign out; and copies of the cookies of sessions
//! that were signed out.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::http::StatusCode;
use tokio::task::JoinHandle;

use crate::{
    client::Jar,
    cluster::now,
    instance::{ACCESS_TTL, Instance},
};

const PAUSE: Duration = Duration::from_millis(40);
/// Requests of a user between sign-in and sign-out.
const VISITS: usize = 40;
/// How long after its acknowledgement a revocation may be unknown to an instance that cannot read the feed: an access
/// token lives that long. The rest is for the machine of the test.
const SERVED_FOR: Duration = Duration::from_secs(2 + ACCESS_TTL.as_secs());

#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) sign_ins: AtomicUsize,
    pub(crate) served: AtomicUsize,
    pub(crate) unavailable: AtomicUsize,
    pub(crate) sign_outs: AtomicUsize,
    /// Requests with the cookies of a session that was signed out.
    pub(crate) copies_refused: AtomicUsize,
}

/// What went wrong, for the message of a failure.
#[derive(Debug)]
#[expect(dead_code, reason = "fields for the message of a failure")]
pub(crate) enum Wrong {
    /// A user who had not signed out was refused. Says when the session began.
    Refused { name: String, signed_in: Instant },
    /// A session was served after its sign-out was acknowledged.
    Served { name: String, signed_out: Instant, at: Instant },
}

/// A session that was signed out.
#[derive(Clone)]
pub(crate) struct SignedOut {
    pub(crate) name: String,
    jar: Jar,
    pub(crate) at: Instant,
}

#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) tally: Tally,
    signed_out: Mutex<Vec<SignedOut>>,
    wrong: Mutex<Vec<Wrong>>,
    done: AtomicBool,
}

impl Seen {
    pub(crate) fn signed_out(&self) -> Vec<SignedOut> {
        self.signed_out.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn take_wrong(&self) -> Vec<Wrong> {
        std::mem::take(&mut self.wrong.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_wrong(&self, what: Wrong) {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }
}

pub(crate) struct Crowd {
    pub(crate) seen: Arc<Seen>,
    tasks: Vec<JoinHandle<()>>,
}

impl Crowd {
    pub(crate) fn start(users: usize, instances: &[Instance]) -> Self {
        let seen = Arc::<Seen>::default();
        let user = |user| tokio::spawn(use_sessions(user, instances.to_vec(), seen.clone()));
        let mut tasks: Vec<_> = (0..users).map(user).collect();
        tasks.push(tokio::spawn(try_copies(instances.to_vec(), seen.clone())));
        Self { seen, tasks }
    }

    /// Waits until a copy was refused: a session is signed out for some seconds before its copy is tried.
    pub(crate) async fn wait_for_copies(&self) {
        let began = now();
        while self.seen.tally.copies_refused.load(Ordering::SeqCst) == 0 {
            assert!(began.elapsed() < Duration::from_secs(60), "no copy was refused: {:?}", self.seen.tally);
            tokio::time::sleep(PAUSE).await;
        }
    }

    pub(crate) async fn stop(self) -> Arc<Seen> {
        self.seen.done.store(true, Ordering::SeqCst);
        for task in self.tasks {
            task.await.expect("no panic");
        }
        self.seen
    }
}

fn count(counter: &AtomicUsize) {
    counter.fetch_add(1, Ordering::SeqCst);
}

async fn use_sessions(user: usize, instances: Vec<Instance>, seen: Arc<Seen>) {
    let mut turn = user;
    let mut next = || {
        turn += 1;
        &instances[turn % instances.len()]
    };
    let is_done = || seen.done.load(Ordering::SeqCst);
    for session in 0.. {
        if is_done() {
            return;
        }
        // A failed sign-in may have opened a session, so each has a name of its own.
        let name = format!("user-{user}-{session}");
        let Some(mut jar) = next().sign_in(&name).await else {
            count(&seen.tally.unavailable);
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        count(&seen.tally.sign_ins);
        let signed_in = now();
        let mut refused = false;
        // Some sessions live for long.
        let visits = VISITS * if user.is_multiple_of(2) { 1 } else { 100 };
        for _ in 0..visits {
            match next().visit(&mut jar).await {
                StatusCode::OK => count(&seen.tally.served),
                StatusCode::UNAUTHORIZED => {
                    seen.is_wrong(Wrong::Refused { name: name.clone(), signed_in });
                    refused = true;
                    break;
                }
                _ => count(&seen.tally.unavailable),
            }
            if is_done() {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
        while !refused && !next().sign_out(&jar).await {
            count(&seen.tally.unavailable);
            if is_done() {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
        if !refused {
            count(&seen.tally.sign_outs);
            let signed_out = SignedOut { name, jar, at: now() };
            seen.signed_out.lock().unwrap_or_else(PoisonError::into_inner).push(signed_out);
        }
    }
}

/// Sends the cookies of sessions that were signed out long enough ago.
async fn try_copies(instances: Vec<Instance>, seen: Arc<Seen>) {
    for turn in 0.. {
        if seen.done.load(Ordering::SeqCst) {
            return;
        }
        let at = now();
        let mut old = seen.signed_out();
        old.retain(|signed_out| at.duration_since(signed_out.at) > SERVED_FOR);
        if let Some(signed_out) = old.len().checked_sub(1 + turn % 16).and_then(|last| old.get(last)) {
            let instance = &instances[turn % instances.len()];
            if instance.visit(&mut signed_out.jar.clone()).await == StatusCode::OK {
                let (name, signed_out) = (signed_out.name.clone(), signed_out.at);
                seen.is_wrong(Wrong::Served { name, signed_out, at });
            } else {
                count(&seen.tally.copies_refused);
            }
        }
        tokio::time::sleep(PAUSE / 4).await;
    }
}
