//! What is recorded: every operation of clients, administrators and instances, with its interval.

use std::{
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use tower_sliding_sessions::{RunId, SessionId};

/// The time since the history began.
pub(crate) type Time = Duration;

/// One process of the application. A restarted instance has another number.
pub(crate) type Process = usize;

#[derive(Clone, Debug)]
pub(crate) struct Op {
    pub(crate) process: Process,
    /// When the client attached its cookies, or the call was made.
    pub(crate) invoked: Time,
    /// When the caller got the answer. None: it got none, so the outcome is unknown.
    pub(crate) done: Option<Time>,
    pub(crate) what: What,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    SignIn {
        user: usize,
        minted: Option<Token>,
    },
    Request(Request),
    SignOut(Revocation),
    /// `Sessions::revoke_all`.
    RevokeAll {
        user: usize,
        acknowledged: bool,
    },
    /// The emergency stop. The run ID, if it was acknowledged.
    Stop(Option<RunId>),
    /// A call of the store, as the instance sees it. None: it failed.
    Store {
        session: SessionId,
        call: &'static str,
        answer: Option<Answer>,
    },
    /// Refresh token reuse was reported, by the session's tag.
    Reuse {
        tag: String,
    },
    Fault(Fault),
    /// After all faults: whether the process signs a user in and serves the session.
    Recovered(bool),
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) from: From,
    pub(crate) carried: Token,
    /// When it reached the instance.
    pub(crate) arrived: Time,
    /// When the response headers left the instance, and with which status. The client may not have got them.
    pub(crate) answered: Option<(Time, u16)>,
    /// The refresh token after the response, if the response set cookies.
    pub(crate) minted: Option<Token>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Client,
    /// Cookies of a session that was revoked.
    Revoked,
    /// A copied refresh token without an access token.
    Copy,
}

/// A sign-out by cookies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Revocation {
    pub(crate) session: SessionId,
    pub(crate) acknowledged: bool,
}

/// What a refresh token says. An access token without one has the same session and run ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) session: SessionId,
    pub(crate) generation: u64,
    pub(crate) run: RunId,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) run: RunId,
    pub(crate) applied: bool,
    /// None: the store has no such session.
    pub(crate) record: Option<Record>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) generation: u64,
    pub(crate) revoked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// Connections are closed, and new ones refused.
    Cut,
    /// Connections stay open, and nothing is forwarded.
    Silence,
    /// Requests reach the store, its answers are lost.
    LostAnswers,
    /// Each answer comes late.
    Slow,
    /// The feed cannot be read.
    Feed,
    /// The task that follows the feed panics.
    Follower,
    /// The clock is set within what the policy allows.
    ClockStep,
    /// The clock is set by an hour.
    ClockLeap,
    Restart,
    /// The store's server, or its file, for all instances.
    ServerKilled,
    ServerPaused,
    DiskFull,
    /// The store's server was started again without its data.
    DataLost,
    /// A replica that had stopped following was promoted: what was written meanwhile is lost.
    StaleFailover,
}

impl Fault {
    /// Whether it keeps an instance from the store, or makes it slow.
    pub(crate) const fn is_outage(self) -> bool {
        !matches!(self, Self::ClockStep | Self::ClockLeap)
    }
}

/// The sequence of all operations, ordered by when they were recorded.
pub(crate) struct History {
    began: Instant,
    readings: AtomicU64,
    ops: Mutex<Vec<Op>>,
}

impl History {
    pub(crate) fn begin() -> Self {
        Self { began: Instant::now(), readings: AtomicU64::new(0), ops: Mutex::default() }
    }

    /// Each reading is later than the ones before, also where time is simulated.
    pub(crate) fn now(&self) -> Time {
        self.began.elapsed() + Duration::from_nanos(self.readings.fetch_add(1, Ordering::SeqCst))
    }

    pub(crate) fn add(&self, process: Process, invoked: Time, what: What) {
        self.put(Op { process, invoked, done: Some(self.now()), what });
    }

    /// An operation whose caller got no answer.
    pub(crate) fn add_unknown(&self, process: Process, invoked: Time, what: What) {
        self.put(Op { process, invoked, done: None, what });
    }

    fn put(&self, op: Op) {
        self.ops.lock().unwrap_or_else(PoisonError::into_inner).push(op);
    }

    /// All of it, in order of invocation.
    pub(crate) fn take(&self) -> Vec<Op> {
        let mut ops = std::mem::take(&mut *self.ops.lock().unwrap_or_else(PoisonError::into_inner));
        ops.sort_by_key(|op| op.invoked);
        ops
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |time: Time| format!("{:.3}", time.as_secs_f64());
        let done = self.done.map_or("unknown".to_owned(), seconds);
        write!(f, "{}..{done} process {}: {:?}", seconds(self.invoked), self.process, self.what)
    }
}
