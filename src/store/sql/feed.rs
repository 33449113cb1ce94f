//! The feed as a table. The rows are numbered in the order in which they were committed. Readers poll the table.
//!
//! A position is the number of the row that was read last, and the mark of this row, a random number. If the database
//! was restored from a backup, or is a replica that was behind, rows may be missing, and numbers may be used again.
//! Then the mark differs, and the reader gets a batch with a gap.

use std::{pin::pin, str::FromStr, time::Duration};

use sqlx::{ColumnIndex, Decode, Row, Type};
use tokio::time::{sleep, timeout};

use super::{
    columns::{run_from, session_id},
    error::{corrupt, unavailable},
};
use crate::{
    id::{RunId, SessionId},
    store::{FeedBatch, FeedEvent, FeedFrom, SessionKey, StoreError, Subject},
    time::Timestamp,
};

/// How long rows of the feed are kept. A reader that is further behind gets a batch with a gap.
pub(in crate::store) const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// The maximum number of rows in a batch.
pub(in crate::store) const LIMIT: i64 = 5000;
/// How often a store polls the table, by default.
pub(in crate::store) const POLL: Duration = Duration::from_millis(50);
/// After this time without a row, a reader gets an empty batch. A timer measures this time, because a slow server must
/// not make the reader miss its deadline.
pub(in crate::store) const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Reads the feed in one statement, so all rows are of one snapshot. The arguments are the position (`seq` and `mark`),
/// the earliest time, and the maximum number of rows. [`Table::read`] reads the result. PostgreSQL's `functions.sql`
/// explains from which row on the feed is read if the reader gives a time.
#[cfg(feature = "sqlite")]
pub(in crate::store) const LOOK: &str = "\
    SELECT meta.run, meta.pruned_seq, meta.pruned_mark, meta.pruned_at, \
        EXISTS (SELECT 1 FROM sliding_sessions_feed WHERE seq = $1 AND mark = $2), \
        last.seq, last.mark, f.seq, f.mark, f.kind, f.at, f.realm, f.subject, f.id, f.began_before \
    FROM sliding_sessions_meta AS meta \
    LEFT JOIN (SELECT seq, mark FROM sliding_sessions_feed ORDER BY seq DESC LIMIT 1) AS last ON TRUE \
    LEFT JOIN (\
        SELECT * FROM sliding_sessions_feed WHERE seq > MAX($1, IFNULL((\
            SELECT MIN(seq) FROM (\
                SELECT seq FROM sliding_sessions_feed WHERE $3 > 3600000 AND at < $3 - 3600000 \
                ORDER BY at DESC LIMIT 1000\
            ) HAVING COUNT(*) = 1000\
        ), 0)) AND at >= $3 ORDER BY seq LIMIT $4\
    ) AS f ON TRUE \
    ORDER BY f.seq";

/// The kind of the event in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Kind {
    Revoked = 1,
    SessionStale = 2,
    SubjectStale = 3,
    Run = 4,
    SubjectRevoked = 5,
}

impl Kind {
    pub(in crate::store) const fn number(self) -> i64 {
        self as i64
    }

    /// A revocation of a subject applies to the sessions that began before the returned time.
    #[cfg(feature = "postgres")]
    pub(in crate::store) fn began_before(before: Option<Timestamp>, at: Timestamp) -> i64 {
        super::time_to(before.unwrap_or(at + Duration::from_millis(1)))
    }
}

/// An event as a row. Both SQL stores write these values for an event.
#[derive(Debug)]
pub(in crate::store) struct EventRow<'a> {
    pub(in crate::store) kind: Kind,
    pub(in crate::store) at: i64,
    pub(in crate::store) subject: Option<&'a Subject>,
    pub(in crate::store) id: Option<Vec<u8>>,
    #[cfg_attr(not(feature = "sqlite"), expect(dead_code, reason = "PostgreSQL's functions write it"))]
    pub(in crate::store) began_before: Option<i64>,
}

impl<'a> EventRow<'a> {
    /// Converts an event to a row. `at` is the time of the row, in milliseconds since 1970.
    pub(in crate::store) fn of(event: &'a FeedEvent, at: i64) -> Self {
        let id = |id: &SessionId| Some(id.as_bytes().to_vec());
        let row = |kind, subject, id| Self { kind, at, subject: Some(subject), id, began_before: None };
        match event {
            FeedEvent::Revoked(key) => row(Kind::Revoked, &key.subject, id(&key.id)),
            FeedEvent::SessionStale(key, _) => row(Kind::SessionStale, &key.subject, id(&key.id)),
            FeedEvent::SubjectStale(subject, _) => row(Kind::SubjectStale, subject, None),
            FeedEvent::SubjectRevoked { subject, before, except } => Self {
                began_before: Some(super::time_to(*before)),
                ..row(Kind::SubjectRevoked, subject, except.as_ref().and_then(id))
            },
            FeedEvent::Run(run) => {
                let id = Some(run.as_u64().to_be_bytes().to_vec());
                Self { kind: Kind::Run, at, subject: None, id, began_before: None }
            }
        }
    }
}

/// A position in the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Cursor {
    pub(in crate::store) seq: i64,
    pub(in crate::store) mark: i64,
}

impl Cursor {
    fn position(self) -> String {
        format!("{}:{}", self.seq, self.mark)
    }
}

impl FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (seq, mark) = text.split_once(':').ok_or(())?;
        let number = |text: &str| text.parse().map_err(drop);
        Ok(Self { seq: number(seq)?, mark: number(mark)? })
    }
}

/// The result of one read of the table. All values are of one snapshot.
#[derive(Debug)]
pub(in crate::store) struct Table {
    pub(in crate::store) run: RunId,
    pub(in crate::store) head: Head,
    /// The rows after the requested position whose time is the requested time or later, at most [`LIMIT`] rows.
    pub(in crate::store) items: Vec<Item>,
}

/// The start and the end of the table.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Head {
    /// The last row of the table. `None` if the table is empty.
    pub(in crate::store) last: Option<Cursor>,
    /// The last row that was deleted because of its age. `pruned_at` is the latest time of these rows, or -1 if no row
    /// was deleted.
    pub(in crate::store) pruned: Cursor,
    pub(in crate::store) pruned_at: i64,
    /// Whether the table has the row of the requested position, with the same mark.
    pub(in crate::store) known: bool,
}

/// A row of the table.
#[derive(Debug)]
pub(in crate::store) struct Item {
    pub(in crate::store) cursor: Cursor,
    pub(in crate::store) kind: i64,
    pub(in crate::store) at: i64,
    pub(in crate::store) realm: Option<Vec<u8>>,
    pub(in crate::store) subject: Option<Vec<u8>>,
    /// A session ID, or a run ID. For the revocation of a subject: the ID of the session that was not revoked, if there
    /// is one.
    pub(in crate::store) id: Option<Vec<u8>>,
    /// Only for the revocation of a subject: the sessions that began before this time were revoked.
    pub(in crate::store) began_before: Option<i64>,
}

impl Item {
    fn event(self) -> Result<FeedEvent, StoreError> {
        let text = |bytes: Option<Vec<u8>>| {
            let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            text.ok_or_else(|| corrupt("a feed event without a name"))
        };
        let time = |millis| Timestamp::from_millis(u64::try_from(millis).unwrap_or_default());
        if self.kind == Kind::SubjectRevoked.number() {
            return Ok(FeedEvent::SubjectRevoked {
                subject: Subject { realm: text(self.realm)?.into(), name: text(self.subject)?.into() },
                before: time(self.began_before.unwrap_or(self.at)),
                except: self.id.map(|id| session_id(&id)).transpose()?,
            });
        }
        let id = self.id.unwrap_or_default();
        if self.kind == Kind::Run.number() {
            let bytes = id.try_into().map_err(|_| corrupt("a run ID that is not 8 bytes"))?;
            return run_from(i64::from_be_bytes(bytes)).map(FeedEvent::Run);
        }
        let subject = Subject { realm: text(self.realm)?.into(), name: text(self.subject)?.into() };
        let at = time(self.at);
        let key = |subject| session_id(&id).map(|id| SessionKey { subject, id });
        match self.kind {
            kind if kind == Kind::Revoked.number() => key(subject).map(FeedEvent::Revoked),
            kind if kind == Kind::SessionStale.number() => {
                key(subject).map(|key| FeedEvent::SessionStale(key, at))
            }
            kind if kind == Kind::SubjectStale.number() => Ok(FeedEvent::SubjectStale(subject, at)),
            _ => Err(corrupt("a feed event of an unknown kind")),
        }
    }
}

impl Table {
    /// Reads the result that both stores select. Each row of the result starts with the run ID, where the table was
    /// pruned, whether the position is known, and the last row of the table. Then comes a row of the feed, if there is
    /// one.
    pub(in crate::store) fn read<'r, R: Row>(rows: &'r [R]) -> Result<Self, StoreError>
    where
        usize: ColumnIndex<R>,
        bool: Decode<'r, R::Database> + Type<R::Database>,
        i64: Decode<'r, R::Database> + Type<R::Database>,
        Option<i64>: Decode<'r, R::Database> + Type<R::Database>,
        Option<Vec<u8>>: Decode<'r, R::Database> + Type<R::Database>,
    {
        let read = |first: &'r R| -> Result<_, sqlx::Error> {
            let last = match (first.try_get(5)?, first.try_get(6)?) {
                (Some(seq), Some(mark)) => Some(Cursor { seq, mark }),
                _ => None,
            };
            let pruned = Cursor { seq: first.try_get(1)?, mark: first.try_get(2)? };
            let head = Head { last, pruned, pruned_at: first.try_get(3)?, known: first.try_get(4)? };
            let mut items = Vec::new();
            for row in rows {
                let Some(seq) = row.try_get(7)? else { break };
                items.push(Item {
                    cursor: Cursor { seq, mark: row.try_get(8)? },
                    kind: row.try_get(9)?,
                    at: row.try_get(10)?,
                    realm: row.try_get(11)?,
                    subject: row.try_get(12)?,
                    id: row.try_get(13)?,
                    began_before: row.try_get(14)?,
                });
            }
            Ok((first.try_get(0)?, head, items))
        };
        let Some(first) = rows.first() else { return Err(unavailable(sqlx::Error::RowNotFound)) };
        let (run, head, items) = read(first).map_err(unavailable)?;
        Ok(Self { run: run_from(run)?, head, items })
    }

    fn batch(self, gap: bool) -> FeedBatch {
        let Head { last, pruned, .. } = self.head;
        let end = last.filter(|last| last.seq > pruned.seq).unwrap_or(pruned);
        let full = i64::try_from(self.items.len()).is_ok_and(|len| len >= LIMIT);
        let position = if full { self.items.last().map_or(end, |item| item.cursor) } else { end };
        let mut batch =
            FeedBatch { events: Vec::new(), position: position.position(), run: self.run, gap, more: full };
        for item in self.items {
            match item.event() {
                Ok(event) => batch.events.push(event),
                // A later version of this crate may have written the event. An error here would stop the feed.
                Err(_) => batch.gap = true,
            }
        }
        batch
    }
}

/// Reads the next batch. If `from` is a time or an unknown position, `follow` returns at once. Otherwise `follow` waits
/// for a row, for at most [`LONGEST_WAIT`]. `look` reads the rows after a position whose time is the given time or
/// later. While `follow` waits, `look` is called once per `interval`.
pub(in crate::store) async fn follow<F>(
    from: &FeedFrom,
    interval: Duration,
    look: impl Fn(Cursor, i64) -> F + Send,
) -> Result<FeedBatch, StoreError>
where
    F: Future<Output = Result<Table, StoreError>> + Send,
{
    let place = match from {
        FeedFrom::Since(time) => {
            let since = super::time_to(*time);
            let table = look(Cursor::default(), since).await?;
            let gap = table.head.pruned_at >= since;
            return Ok(table.batch(gap));
        }
        FeedFrom::After(position) => position.parse::<Cursor>().ok(),
    };
    if let Some(place) = place {
        let mut end = pin!(sleep(LONGEST_WAIT));
        let mut is_over = false;
        loop {
            let table = look(place, i64::MIN).await?;
            let Head { pruned, known, .. } = table.head;
            if place != pruned && (place.seq < pruned.seq || !known) {
                break;
            }
            if !table.items.is_empty() || is_over {
                return Ok(table.batch(false));
            }
            is_over = timeout(interval, end.as_mut()).await.is_ok();
        }
    }
    // It is unknown which events the reader has missed, so the reader gets all events.
    Ok(look(Cursor::default(), i64::MIN).await?.batch(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silent_feed_of_a_slow_server_is_read_in_about_a_second() {
        let place = Cursor { seq: 1, mark: 7 };
        let look = async |_, _| {
            sleep(Duration::from_millis(60)).await;
            let head = Head { last: Some(place), pruned: Cursor::default(), pruned_at: -1, known: true };
            let run = RunId::from_u64(1).ok_or_else(|| StoreError::unavailable("it is not zero"))?;
            Ok(Table { run, head, items: Vec::new() })
        };
        let look = |from, since| Box::pin(look(from, since));
        let from = FeedFrom::After(place.position());
        let batch = timeout(Duration::from_millis(1200), follow(&from, POLL, look)).await;
        let batch = batch.expect("in time").expect("an answer");
        assert!(!batch.gap && batch.events.is_empty());
    }
}
