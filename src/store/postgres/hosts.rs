//! An address that names several servers of a cluster. One of the servers is the primary.
//!
//! sqlx knows only one server. So the pool connects to the primary. If a connection breaks, the store asks all servers
//! which server is the primary. If the primary is another server now, a new pool replaces the old pool. After that, the
//! store uses no connection to the former primary. Reason: a former primary may be cut off from its cluster, and still
//! take writes.
//!
//! A server with an older timeline than another server is a former primary. The store does not use a former primary,
//! even while the newer server is down. If the cluster goes back to the older timeline, the newer server is rewound.
//! When the newer server then answers as a standby, the store uses the older server again.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sqlx::{PgPool, Postgres, postgres::PgConnectOptions};
use tokio::{task::JoinSet, time::timeout};

use super::{
    answers::{Answer, FormerPrimary, NotFound, Seen, Timeline, ask, choose, name},
    pool::{self, BrokenConnection},
};
use crate::store::{
    StoreError,
    sql::{Lease, starting},
};

/// How often to look for the primary after a failure, at most, and how long to wait between two tries.
const LOOKS: u32 = 60;
const PAUSE: Duration = Duration::from_millis(250);
/// How long to wait for the answers of the other servers, after a server has said that it is the new primary.
const OTHERS_WITHIN: Duration = Duration::from_millis(500);

/// The servers of one address, and the pool of connections to one of them.
#[derive(Debug)]
pub(super) struct Hosts {
    /// The servers of the address. Empty if the application created the pool.
    all: Vec<PgConnectOptions>,
    /// Held while a background task looks for the primary.
    looking: Arc<tokio::sync::Mutex<()>>,
    /// Whether the current pool, or a former pool, has closed a broken connection.
    broken: BrokenConnection,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    pool: PgPool,
    /// How often the pool was replaced.
    moves: u64,
    /// The timeline of the pool's server, when the server was last found to be the primary.
    timeline: Option<Timeline>,
    seen: Seen,
    /// Why no server can be used now. If set, all calls fail until the primary is found.
    former: Option<FormerPrimary>,
}

impl State {
    /// Uses this server from now on. If the pool connects to another server, a new pool replaces the pool.
    fn lead_to(&mut self, to: PgConnectOptions, timeline: Timeline, broken: &BrokenConnection) {
        self.former = None;
        self.timeline = Some(timeline);
        let now = self.pool.connect_options();
        let is_other = (now.get_host(), now.get_port(), now.get_socket())
            != (to.get_host(), to.get_port(), to.get_socket());
        if is_other {
            let former = mem::replace(&mut self.pool, pool::lazy(to, broken));
            self.moves += 1;
            tokio::spawn(async move { former.close().await });
        }
    }

    /// Returns an error if the pool's server is a former primary.
    fn former(&self) -> Option<FormerPrimary> {
        self.seen.former(&self.pool.connect_options(), self.timeline.as_ref()?)
    }
}

impl Hosts {
    /// Parses an address such as `postgres://user:password@a:5432,b:5432/database`, in the format of libpq.
    ///
    /// # Errors
    /// [`StoreError::Configuration`] if the URL is not valid.
    pub(super) fn parse(url: &str) -> Result<Self, StoreError> {
        let parse = |url: String| {
            // sqlx sets `extra_float_digits`, and poolers refuse this setting. The store uses no floating-point
            // numbers.
            let options = url.parse::<PgConnectOptions>().map_err(starting)?;
            Ok(options.extra_float_digits(None))
        };
        let all: Vec<_> = each_host(url).into_iter().map(parse).collect::<Result<_, StoreError>>()?;
        let Some(first) = all.first().cloned() else {
            return Err(StoreError::configuration("an address without a host"));
        };
        let broken = BrokenConnection::default();
        let pool = pool::lazy(first, &broken);
        Ok(Self { all, broken, ..Self::of(pool) })
    }

    /// Uses a pool that the application created.
    pub(super) fn of(pool: PgPool) -> Self {
        let state = State { pool, moves: 0, timeline: None, seen: Seen::default(), former: None };
        Self {
            all: Vec::new(),
            looking: Arc::default(),
            broken: BrokenConnection::default(),
            state: Mutex::new(state),
        }
    }

    pub(super) fn are_several(&self) -> bool {
        self.all.len() > 1
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pool, and how often the pool was replaced.
    fn pool(&self) -> Result<(PgPool, u64), StoreError> {
        let state = self.state();
        match &state.former {
            Some(former) => Err(StoreError::unavailable(former.clone())),
            None => Ok((state.pool.clone(), state.moves)),
        }
    }

    /// Takes a connection to the primary. If the pool was replaced while the connection was made or tested, the
    /// connection is closed, and another connection is taken. If the pool has found a broken connection, a background
    /// task looks for the primary, because the server that answers now may be a former primary.
    pub(super) async fn lease(
        self: &Arc<Self>,
        error: fn(sqlx::Error) -> StoreError,
    ) -> Result<Lease<Postgres>, StoreError> {
        let (mut pool, mut moves) = self.pool()?;
        loop {
            let lease = pool.acquire().await.map(Lease::of);
            if self.broken.take() {
                self.look_soon();
            }
            let (now, moved) = self.pool()?;
            if moved == moves {
                return lease.map_err(error);
            }
            (pool, moves) = (now, moved);
        }
    }

    /// Asks all servers at the same time. If a server answers that was promoted after `known`, waits at most
    /// [`OTHERS_WITHIN`] for the other servers, because one of them may hang.
    async fn ask(&self, known: Option<&Timeline>) -> Vec<(PgConnectOptions, Answer)> {
        let mut asked = JoinSet::new();
        for options in self.all.iter().cloned() {
            asked.spawn(async move {
                let answer = ask(&options).await;
                (options, answer)
            });
        }
        let mut answers = Vec::new();
        while let Some(answered) = asked.join_next().await {
            let is_promoted = matches!(&answered, Ok((_, Answer::Primary(timeline)))
                if known.is_some_and(|known| timeline.is_after(known)));
            answers.extend(answered);
            if is_promoted {
                let others = async {
                    while let Some(answered) = asked.join_next().await {
                        answers.extend(answered);
                    }
                };
                let _some_may_be_missing = timeout(OTHERS_WITHIN, others).await;
                break;
            }
        }
        answers
    }

    /// Asks all servers which server is the primary, and uses the primary from now on.
    ///
    /// # Errors
    /// No server said that it is the primary, or only former primaries did. Without a former primary, the error is the
    /// configuration error of a server, or the error of an unknown host if all hosts are unknown.
    pub(super) async fn look(&self) -> Result<(), StoreError> {
        let (moves, known) = {
            let state = self.state();
            (state.moves, state.timeline.clone())
        };
        let answers = self.ask(known.as_ref()).await;
        let mut state = self.state();
        state.seen.note(&answers);
        let (former, error) = match choose(answers, &state.seen) {
            Ok((options, timeline)) => {
                state.lead_to(options, timeline, &self.broken);
                return Ok(());
            }
            Err(NotFound::Former(former)) => (Some(former.clone()), StoreError::unavailable(former)),
            Err(NotFound::Error(error)) => (None, error),
        };
        // If `moves` has changed, another look has found the primary meanwhile.
        if state.moves == moves {
            state.former = former.or_else(|| state.former());
        }
        Err(error)
    }

    /// The hosts that cannot be used now, each with the reason.
    pub(super) async fn unusable(&self) -> Vec<(String, StoreError)> {
        let answers = self.ask(None).await;
        let mut state = self.state();
        state.seen.note(&answers);
        let unusable = |(options, answer): (PgConnectOptions, Answer)| match answer {
            Answer::Unknown(error) | Answer::Failed(error) => Some((name(&options), error)),
            Answer::Primary(timeline) => {
                let former = state.seen.former(&options, &timeline)?;
                Some((name(&options), StoreError::unavailable(former)))
            }
            Answer::ReadOnly(_) | Answer::Standby(_) => None,
        };
        answers.into_iter().filter_map(unusable).collect()
    }

    /// Returns the reason why no connection could be made at start. The pool tries again if the server refuses
    /// connections, and its last error says only that this took too long. So with one server, `explain` asks the
    /// server.
    pub(super) async fn explain(&self, error: StoreError) -> StoreError {
        match (&error, &*self.all) {
            (StoreError::Unavailable(_), [only]) => match ask(only).await {
                Answer::Unknown(error) | Answer::Failed(error) => error,
                Answer::Primary(_) | Answer::ReadOnly(_) | Answer::Standby(_) => error,
            },
            _ => error,
        }
    }

    /// Looks for the primary in the background, unless a background task is already looking.
    pub(super) fn look_soon(self: &Arc<Self>) {
        if !self.are_several() {
            return;
        }
        let Ok(looking) = self.looking.clone().try_lock_owned() else { return };
        let hosts = self.clone();
        tokio::spawn(async move {
            let _looking = looking;
            for _ in 0..LOOKS {
                let is_found = hosts.look().await.is_ok();
                // Wait after success, too: many calls fail together, and one look is enough for all of them.
                tokio::time::sleep(PAUSE).await;
                if is_found {
                    return;
                }
            }
        });
    }
}

/// Returns one URL for each host. Leaves out the setting `target_session_attrs`, because the store only ever uses a
/// primary.
fn each_host(url: &str) -> Vec<String> {
    let Some((scheme, rest)) = url.split_once("://") else { return vec![url.to_owned()] };
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (format!("{user}@"), hosts),
        None => (String::new(), authority),
    };
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
    let kept: Vec<_> = query
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with("target_session_attrs="))
        .collect();
    let query = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
    hosts.split(',').map(|host| format!("{scheme}://{user}{host}{path}{query}")).collect()
}

#[cfg(test)]
mod tests {
    use super::each_host;

    #[test]
    fn url_with_several_hosts_becomes_one_url_for_each() {
        assert_eq!(
            each_host("postgres://u:p%40,x@a:1,[::1]:2,c/db?sslmode=require&target_session_attrs=primary"),
            [
                "postgres://u:p%40,x@a:1/db?sslmode=require",
                "postgres://u:p%40,x@[::1]:2/db?sslmode=require",
                "postgres://u:p%40,x@c/db?sslmode=require",
            ]
        );
        for single in ["postgres://u@a/db?options=-csearch_path%3Da,b", "postgres://a", "postgres:a,b", "x"] {
            assert_eq!(each_host(single), [single]);
        }
    }
}
