//! An address that names several servers of a cluster, of which one is the primary.
//!
//! sqlx knows one server. So the pool is pointed to the primary: when it is made, and again when calls
//! fail. Connections to a former primary are closed before their next use: it may be cut off from its cluster, and still take
//! writes.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sqlx::{Connection as _, PgConnection, PgPool, postgres::PgConnectOptions};
use tokio::{sync::Mutex, task::JoinSet, time::timeout};

use crate::{
    store::{StoreError, sql::starting},
    time::{Clock as _, SystemClock, millis},
};

/// How long to wait for a server that is asked whether it is the primary.
const ASKED_FOR: Duration = Duration::from_secs(2);
/// How often the primary is looked for after a failure, and how long to wait in between.
const LOOKS: u32 = 60;
const PAUSE: Duration = Duration::from_millis(250);

/// Whether the server takes writes, and its timeline: the one that was promoted last has the highest.
const IS_PRIMARY: &str = "SELECT CASE \
    WHEN pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean THEN NULL \
    ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END";

/// The servers of one address.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    all: Vec<PgConnectOptions>,
    /// Held while the primary is looked for.
    looking: Arc<Mutex<()>>,
    /// When the pool was last pointed to another server, by the monotonic clock in milliseconds. Zero: never.
    moved_at: AtomicU64,
}

/// No server of the address is the primary.
#[derive(Debug, thiserror::Error)]
#[error("none of the {servers} servers is a primary that takes writes")]
struct NoPrimary {
    servers: usize,
    /// Why one of them cannot be used.
    source: Option<StoreError>,
}

#[derive(Debug, thiserror::Error)]
#[error("the host {host:?} is unknown")]
struct UnknownHost {
    host: String,
    source: io::Error,
}

/// What a server said of itself.
enum Answer {
    /// It is the primary of this timeline.
    Primary(String),
    Standby,
    /// Perhaps only for now: the name of a server that is down may be missing in the DNS.
    Unknown(StoreError),
    Failed(StoreError),
}

impl Hosts {
    /// `postgres://user:password@a:5432,b:5432/database`, as libpq has it.
    ///
    /// # Errors
    /// [`StoreError::Configuration`] if the URL is not valid.
    pub(super) fn parse(url: &str) -> Result<Self, StoreError> {
        let parse = |url: String| {
            // Poolers refuse the setting that sqlx makes for numbers that are not used here.
            let options = url.parse::<PgConnectOptions>().map_err(starting)?;
            Ok(options.extra_float_digits(None))
        };
        let all = each_host(url).into_iter().map(parse).collect::<Result<_, StoreError>>()?;
        Ok(Self { all, ..Self::default() })
    }

    /// Options for a first connection.
    pub(super) fn first(&self) -> Option<PgConnectOptions> {
        self.all.first().cloned()
    }

    pub(super) fn are_several(&self) -> bool {
        self.all.len() > 1
    }

    /// Asks all servers at once.
    async fn ask(&self) -> Vec<(PgConnectOptions, Answer)> {
        let mut asked = JoinSet::new();
        for options in self.all.iter().cloned() {
            asked.spawn(async move {
                let answer = ask(&options).await;
                (options, answer)
            });
        }
        let mut answers = Vec::new();
        while let Some(asked) = asked.join_next().await {
            answers.extend(asked);
        }
        answers
    }

    /// Asks all servers which one is the primary.
    ///
    /// # Errors
    /// No server said that it is the primary. If one refused the configuration, or all hosts are unknown, that is the error.
    pub(super) async fn primary(&self) -> Result<PgConnectOptions, StoreError> {
        let (mut found, mut refused, mut failed) = (None, None, None);
        let mut are_unknown = true;
        for (options, answer) in self.ask().await {
            are_unknown &= matches!(answer, Answer::Unknown(_));
            match answer {
                Answer::Primary(timeline) => {
                    if found.as_ref().is_none_or(|(other, _)| *other < timeline) {
                        found = Some((timeline, options));
                    }
                }
                Answer::Standby => {}
                Answer::Failed(error @ StoreError::Configuration(_)) => refused = Some(error),
                // It names its host.
                Answer::Unknown(error) => failed = Some(error),
                Answer::Failed(error) => failed = failed.or(Some(error)),
            }
        }
        match (found, refused, failed) {
            (Some((_, options)), ..) => Ok(options),
            (None, Some(error), _) => Err(error),
            (None, None, Some(error)) if are_unknown => Err(error),
            (None, None, source) => {
                Err(StoreError::unavailable(NoPrimary { servers: self.all.len(), source }))
            }
        }
    }

    /// The hosts that cannot be used now, and why.
    pub(super) async fn unusable(&self) -> Vec<(String, StoreError)> {
        let unusable = |(options, answer): (PgConnectOptions, Answer)| match answer {
            Answer::Unknown(error) | Answer::Failed(error) => {
                Some((format!("{}:{}", options.get_host(), options.get_port()), error))
            }
            Answer::Primary(_) | Answer::Standby => None,
        };
        self.ask().await.into_iter().filter_map(unusable).collect()
    }

    /// Points the pool to this server.
    pub(super) fn point(&self, pool: &PgPool, to: PgConnectOptions) {
        let now = pool.connect_options();
        let is_other = (now.get_host(), now.get_port(), now.get_socket())
            != (to.get_host(), to.get_port(), to.get_socket());
        pool.set_connect_options(to);
        if is_other {
            self.moved_at.store(millis(SystemClock.monotonic()).max(1), Ordering::Relaxed);
        }
    }

    /// Whether a connection of this age leads to the server that the pool was pointed to before.
    pub(super) fn is_to_former(&self, age: Duration) -> bool {
        let moved_at = self.moved_at.load(Ordering::Relaxed);
        moved_at != 0 && millis(SystemClock.monotonic()).saturating_sub(moved_at) <= millis(age)
    }

    /// Why no connection could be made at start. The pool tries again where a server refuses connections, and in
    /// the end only says that it took too long.
    pub(super) async fn explain(&self, error: StoreError) -> StoreError {
        match (&error, &*self.all) {
            (StoreError::Unavailable(_), [only]) => match ask(only).await {
                Answer::Unknown(error) | Answer::Failed(error) => error,
                Answer::Primary(_) | Answer::Standby => error,
            },
            _ => error,
        }
    }

    /// Points the pool to the primary, in the background. If it is looked for already, that suffices.
    pub(super) fn look_soon(self: &Arc<Self>, pool: &PgPool) {
        if !self.are_several() {
            return;
        }
        let Ok(looking) = self.looking.clone().try_lock_owned() else { return };
        let (hosts, pool) = (self.clone(), pool.clone());
        tokio::spawn(async move {
            let _looking = looking;
            for _ in 0..LOOKS {
                let primary = hosts.primary().await;
                let is_found = primary.is_ok();
                if let Ok(primary) = primary {
                    hosts.point(&pool, primary);
                }
                // Also after success: many calls fail together, and one look is enough for all of them.
                tokio::time::sleep(PAUSE).await;
                if is_found || pool.is_closed() {
                    return;
                }
            }
        });
    }
}

/// Asks a server whether it is the primary.
async fn ask(options: &PgConnectOptions) -> Answer {
    let answer = timeout(ASKED_FOR, timeline(options)).await;
    let error = match answer.unwrap_or(Err(sqlx::Error::PoolTimedOut)) {
        Ok(Some(timeline)) => return Answer::Primary(timeline),
        Ok(None) => return Answer::Standby,
        Err(error) => starting(error),
    };
    if options.get_socket().is_none() && matches!(error, StoreError::Unavailable(_)) {
        let host = options.get_host();
        let found = timeout(ASKED_FOR, tokio::net::lookup_host((host, options.get_port()))).await;
        if let Ok(Err(source)) = found {
            return Answer::Unknown(StoreError::configuration(UnknownHost { host: host.to_owned(), source }));
        }
    }
    Answer::Failed(error)
}

async fn timeline(options: &PgConnectOptions) -> Result<Option<String>, sqlx::Error> {
    let mut connection = PgConnection::connect_with(options).await?;
    let timeline = sqlx::query_scalar(IS_PRIMARY).persistent(false).fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(timeline)
}

/// One URL for each host. The setting that asks for a primary is left out: no other server is ever used.
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
