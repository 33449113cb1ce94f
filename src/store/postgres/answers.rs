//! Asks the servers of an address for their state, and chooses the primary.

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};
use tokio::time::timeout;

use crate::store::{StoreError, sql::starting};

/// How long to wait for the answer of a server that is asked whether it is the primary.
const ASKED_FOR: Duration = Duration::from_secs(2);

/// Whether the server refuses writes, and the timeline that the server writes. A server in recovery writes no timeline.
const STATE: &str = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean, \
    CASE WHEN pg_is_in_recovery() THEN NULL ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END";

/// The identifier of the cluster, and the highest timeline in the server's control file. A restart does not change this
/// timeline. Only `pg_rewind` or a new copy of another server lowers it. All users may run this query, unless an
/// administrator has revoked the right.
const CONTROL_DATA: &str = "SELECT system_identifier, greatest(timeline_id, min_recovery_end_timeline)::bigint \
    FROM pg_control_system(), pg_control_checkpoint(), pg_control_recovery()";

/// A timeline of a cluster. Each promotion begins a new timeline with a higher number. Timelines of different clusters
/// cannot be compared: `pg_upgrade` makes a new cluster, whose timelines begin with 1 again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Timeline {
    /// `None` if the user may not ask for the identifier of the cluster.
    cluster: Option<i64>,
    number: i64,
}

impl Timeline {
    /// Whether this timeline began after `other`, by a promotion in the same cluster.
    pub(super) fn is_after(&self, other: &Self) -> bool {
        self.cluster == other.cluster && self.number > other.number
    }
}

/// The state of a server, as the server reported it.
pub(super) enum Answer {
    /// The server is a primary that takes writes.
    Primary(Timeline),
    /// The server is a primary that is set to read-only (`default_transaction_read_only`).
    ReadOnly(Timeline),
    /// The server is a standby. `None` if the user may not ask for the timeline.
    Standby(Option<Timeline>),
    /// The name of the host is unknown. This may be temporary: the DNS may not have the name of a server that is down.
    Unknown(StoreError),
    Failed(StoreError),
}

/// The timeline at which each host was seen, by host and port.
#[derive(Debug, Default)]
pub(super) struct Seen(BTreeMap<String, Timeline>);

/// The error for a server that takes writes, or took writes, but must not be used, because the server does not know the
/// latest revocations.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "the host {host:?} is not used: it is a former primary (its timeline is {timeline}, and {newest_host:?} was \
     seen at timeline {newest})"
)]
pub(super) struct FormerPrimary {
    host: String,
    timeline: i64,
    newest_host: String,
    newest: i64,
    /// Why another server cannot be used, if another server failed.
    source: Option<Arc<StoreError>>,
}

/// The error if no server of the address is the primary.
#[derive(Debug, thiserror::Error)]
#[error("none of the {servers} servers is a primary that takes writes")]
struct NoPrimary {
    servers: usize,
    /// Why one of the servers cannot be used, if a server failed.
    source: Option<StoreError>,
}

#[derive(Debug, thiserror::Error)]
#[error("the host {host:?} is unknown")]
struct UnknownHost {
    host: String,
    source: io::Error,
}

/// Why no primary was found.
pub(super) enum NotFound {
    /// A server takes writes, but is a former primary.
    Former(FormerPrimary),
    Error(StoreError),
}

impl Seen {
    /// Notes the timelines of the answers.
    ///
    /// A standby at a lower timeline than before was rewound, or copied from another server. So its cluster has given
    /// up the higher timeline, and the lower timeline is noted. A primary at a lower timeline than before may be
    /// another server under the same name, so the higher timeline stays noted.
    pub(super) fn note(&mut self, answers: &[(PgConnectOptions, Answer)]) {
        for (options, answer) in answers {
            let (timeline, is_primary) = match answer {
                Answer::Primary(timeline) | Answer::ReadOnly(timeline) => (timeline, true),
                Answer::Standby(Some(timeline)) => (timeline, false),
                Answer::Standby(None) | Answer::Unknown(_) | Answer::Failed(_) => continue,
            };
            let host = name(options);
            if is_primary && self.0.get(&host).is_some_and(|seen| seen.is_after(timeline)) {
                continue;
            }
            self.0.insert(host, timeline.clone());
        }
    }

    /// Returns the error for a server with this timeline, if another server was promoted later. Otherwise returns
    /// `None`.
    pub(super) fn former(&self, options: &PgConnectOptions, timeline: &Timeline) -> Option<FormerPrimary> {
        let later = self.0.iter().filter(|(_, seen)| seen.is_after(timeline));
        let (newest_host, newest) = later.max_by_key(|(_, seen)| seen.number)?;
        Some(FormerPrimary {
            host: name(options),
            timeline: timeline.number,
            newest_host: newest_host.clone(),
            newest: newest.number,
            source: None,
        })
    }
}

/// The host and the port, for messages.
pub(super) fn name(options: &PgConnectOptions) -> String {
    format!("{}:{}", options.get_host(), options.get_port())
}

/// Chooses the primary: the server that was promoted last, of the servers that take writes. Former primaries are left
/// out.
///
/// # Errors
/// No server takes writes, or only former primaries take writes. Without a former primary, the error is the
/// configuration error of a server, or the error of an unknown host if all hosts are unknown, or else [`NoPrimary`].
pub(super) fn choose(
    answers: Vec<(PgConnectOptions, Answer)>,
    seen: &Seen,
) -> Result<(PgConnectOptions, Timeline), NotFound> {
    let servers = answers.len();
    let (mut found, mut former, mut refused, mut failed) = (None::<(_, Timeline)>, None, None, None);
    let mut are_unknown = true;
    for (options, answer) in answers {
        are_unknown &= matches!(answer, Answer::Unknown(_));
        match answer {
            Answer::Primary(timeline) => {
                if let Some(refused) = seen.former(&options, &timeline) {
                    former = Some(refused);
                } else if found.as_ref().is_none_or(|(_, other)| other.number < timeline.number) {
                    found = Some((options, timeline));
                }
            }
            Answer::ReadOnly(_) | Answer::Standby(_) => {}
            Answer::Failed(error @ StoreError::Configuration(_)) => refused = Some(error),
            // Preferred over the errors of servers that failed, because this error names its host.
            Answer::Unknown(error) => failed = Some(error),
            Answer::Failed(error) => failed = failed.or(Some(error)),
        }
    }
    if let Some(found) = found {
        return Ok(found);
    }
    Err(match (former, refused, failed) {
        (Some(former), refused, failed) => {
            NotFound::Former(FormerPrimary { source: refused.or(failed).map(Arc::new), ..former })
        }
        (None, Some(error), _) => NotFound::Error(error),
        (None, None, Some(error)) if are_unknown => NotFound::Error(error),
        (None, None, source) => NotFound::Error(StoreError::unavailable(NoPrimary { servers, source })),
    })
}

/// Asks a server whether it is the primary.
pub(super) async fn ask(options: &PgConnectOptions) -> Answer {
    let answer = timeout(ASKED_FOR, ask_server(options)).await;
    let error = match answer.unwrap_or(Err(sqlx::Error::PoolTimedOut)) {
        Ok(answer) => return answer,
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

async fn ask_server(options: &PgConnectOptions) -> Result<Answer, sqlx::Error> {
    let mut connection = PgConnection::connect_with(options).await?;
    let state = sqlx::query_as(STATE).persistent(false).fetch_one(&mut connection).await?;
    let (is_read_only, written): (bool, Option<String>) = state;
    let known = sqlx::query_as(CONTROL_DATA).persistent(false).fetch_one(&mut connection).await;
    let (cluster, known): (Option<i64>, Option<i64>) = match known {
        // The user may not call these functions, or the server does not have them.
        Err(sqlx::Error::Database(error)) if is_refused(&error.code().unwrap_or_default()) => (None, None),
        known => known?,
    };
    connection.close().await?;
    // After a promotion, the control data contains the former timeline until the next checkpoint.
    let written = written.map(|digits| i64::from_str_radix(&digits, 16)).transpose();
    let written = written.map_err(|error| sqlx::Error::Decode(error.into()))?;
    let timeline = written.or(known).map(|number| Timeline { cluster, number });
    Ok(match timeline {
        Some(timeline) if written.is_some() && is_read_only => Answer::ReadOnly(timeline),
        Some(timeline) if written.is_some() => Answer::Primary(timeline),
        timeline => Answer::Standby(timeline),
    })
}

/// Whether a statement failed because rights or functions are missing, or because the server does not support
/// something.
fn is_refused(code: &str) -> bool {
    code.starts_with("42") || code.starts_with("0A")
}

#[cfg(test)]
mod tests {
    use sqlx::postgres::PgConnectOptions;

    use super::{Answer, FormerPrimary, NotFound, Seen, Timeline, choose, name};
    use crate::store::StoreError;

    const fn at(cluster: i64, number: i64) -> Timeline {
        Timeline { cluster: Some(cluster), number }
    }

    /// The hosts have the ports 1, 2 and so on.
    fn chosen(answers: Vec<Answer>, seen: &mut Seen) -> Result<String, NotFound> {
        let options = |port| PgConnectOptions::new_without_pgpass().host("db").port(port);
        let answers: Vec<_> = (1..).map(options).zip(answers).collect();
        seen.note(&answers);
        choose(answers, seen).map(|(options, _)| name(&options))
    }

    #[track_caller]
    fn assert_chosen(answers: Vec<Answer>, expected: &str) {
        let chosen = chosen(answers, &mut Seen::default());
        assert_eq!(chosen.ok().as_deref(), Some(expected));
    }

    #[track_caller]
    fn former(chosen: Result<String, NotFound>) -> FormerPrimary {
        match chosen {
            Err(NotFound::Former(former)) => former,
            Err(NotFound::Error(error)) => panic!("{error:?}"),
            Ok(host) => panic!("{host} was chosen"),
        }
    }

    fn down() -> Answer {
        Answer::Failed(StoreError::unavailable("it is down"))
    }

    #[test]
    fn primary_that_was_promoted_last_is_chosen() {
        assert_chosen(vec![Answer::Primary(at(1, 9)), Answer::Primary(at(1, 10)), down()], "db:2");
        let standbys = || [Answer::Standby(Some(at(1, 2))), Answer::Standby(Some(at(1, 1)))];
        assert_chosen([Answer::Primary(at(1, 2))].into_iter().chain(standbys()).collect(), "db:1");
        assert_chosen(vec![Answer::Standby(None), Answer::Primary(at(1, 1))], "db:2");
    }

    #[test]
    fn primary_is_refused_if_another_server_tells_a_higher_timeline() {
        let answers = vec![Answer::Primary(at(1, 1)), down(), Answer::Standby(Some(at(1, 2)))];
        let former = former(chosen(answers, &mut Seen::default()));
        assert_eq!(
            former.to_string(),
            "the host \"db:1\" is not used: it is a former primary \
             (its timeline is 1, and \"db:3\" was seen at timeline 2)"
        );
        let source = former.source.expect("the other server is down");
        assert!(matches!(&*source, StoreError::Unavailable(_)));
    }

    #[test]
    fn primary_is_refused_if_a_higher_timeline_was_seen_before() {
        let mut seen = Seen::default();
        assert!(chosen(vec![Answer::Primary(at(1, 1)), Answer::Primary(at(1, 2))], &mut seen).is_ok());
        former(chosen(vec![Answer::Primary(at(1, 1)), down()], &mut seen));
        let again = chosen(vec![down(), Answer::Primary(at(1, 2))], &mut seen);
        assert_eq!(again.ok().as_deref(), Some("db:2"));
    }

    #[test]
    fn timeline_that_the_cluster_has_given_up_is_forgotten() {
        let mut seen = Seen::default();
        let both = |second| vec![Answer::Primary(at(1, 1)), second];
        assert!(chosen(both(Answer::Primary(at(1, 2))), &mut seen).is_ok());
        // Another server under the same name could give these answers.
        former(chosen(both(Answer::Primary(at(1, 1))), &mut seen));
        former(chosen(both(Answer::ReadOnly(at(1, 1))), &mut seen));
        former(chosen(both(Answer::Standby(None)), &mut seen));
        // The second server was rewound, and follows the first server.
        let chosen = chosen(both(Answer::Standby(Some(at(1, 1)))), &mut seen);
        assert_eq!(chosen.ok().as_deref(), Some("db:1"));
    }

    #[test]
    fn timelines_of_another_cluster_are_not_compared() {
        let mut seen = Seen::default();
        assert!(chosen(vec![Answer::Primary(at(1, 5))], &mut seen).is_ok());
        assert!(chosen(vec![Answer::Primary(at(2, 1))], &mut seen).is_ok());
    }

    #[test]
    fn nothing_is_chosen_if_no_server_takes_writes() {
        let chosen = chosen(vec![Answer::Standby(Some(at(1, 1))), down()], &mut Seen::default());
        let Err(NotFound::Error(StoreError::Unavailable(cause))) = chosen else { panic!("it is an outage") };
        assert_eq!(cause.to_string(), "none of the 2 servers is a primary that takes writes");
    }
}
