//! The feed of a shard: one stream. The ID of an entry is the entry's place in the stream. The scripts append entries.
//! They also remove entries that are too old, and the oldest entries if there are too many.

use std::{collections::HashMap, fmt, io, str::FromStr, time::Duration};

use redis::{
    Cmd, FromRedisValue as _, Pipeline, RedisError, RedisResult, Value, aio::MultiplexedConnection, cmd, pipe,
};
use tokio::task::JoinHandle;

use super::{
    entry::{self, Said},
    home::IsReplica,
    link::{Reader, another_may_serve, is_no_script, store_error},
    scripts::{Call, VIEW},
    shard::Shard,
};
use crate::{
    store::{FeedEvent, FeedFrom, StoreError},
    time::millis,
};

/// How long a reader waits for an event at most. Then the reader gets an answer that there is no event.
pub(super) const HEARTBEAT: Duration = Duration::from_millis(900);
/// A reader without the right to wait for events reads the stream once in this time.
const POLL: Duration = Duration::from_millis(50);
/// How many entries one read returns at most.
const PAGE: usize = 1000;
/// The longest time without an entry in the feed: after this time, a read appends an entry without content. This time
/// is far shorter than the day for which the feed keeps events.
const SILENCE: Duration = Duration::from_secs(60 * 60);
/// A reader that gives a time starts this much earlier, because a place contains a time of the server's clock.
const SKEW: Duration = Duration::from_secs(60 * 60);

/// The place of an entry in the stream: a time of the server's clock, in milliseconds, and a sequence number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Place(u64, u64);

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (time, number) = text.split_once('-').ok_or(())?;
        Ok(Self(time.parse().map_err(|_| ())?, number.parse().map_err(|_| ())?))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0, self.1)
    }
}

/// The position of a reader: its place in the stream, and the replication ID of the server (`history`). A server that
/// was promoted or restarted has another replication ID, and may lack the last writes.
struct Position {
    place: Place,
    history: String,
}

impl Position {
    fn parse(text: &str) -> Option<Self> {
        let (place, history) = text.split_once(' ')?;
        Some(Self { place: place.parse().ok()?, history: history.to_owned() })
    }

    fn into_feed(self) -> String {
        format!("{} {}", self.place, self.history)
    }
}

/// The position of a reader in a shard. Returns `None` if the reader has not read the shard before.
pub(super) fn known_position(from: &FeedFrom) -> Option<&str> {
    match from {
        FeedFrom::After(position) if Position::parse(position).is_some() => Some(position),
        FeedFrom::After(_) | FeedFrom::Since(_) => None,
    }
}

/// The result of a read of a shard's feed. The fields are those of [`FeedBatch`](crate::store::FeedBatch).
pub(super) struct ShardBatch {
    pub(super) events: Vec<FeedEvent>,
    pub(super) position: String,
    /// The run ID of the shard. `None` if the shard has lost its run ID.
    pub(super) run: Option<String>,
    pub(super) gap: bool,
    pub(super) more: bool,
}

impl ShardBatch {
    fn new(
        entries: Vec<(Place, Said)>,
        position: Position,
        run: Option<String>,
        gap: bool,
        more: bool,
    ) -> Self {
        let gap = gap || entries.iter().any(|(_, said)| *said == Said::Unknown);
        let event = |said| if let Said::Event(event) = said { Some(event) } else { None };
        let events = entries.into_iter().filter_map(|(_, said)| event(said)).collect();
        Self { events, position: position.into_feed(), run, gap, more }
    }
}

/// A task that waits for an event in a shard. The task goes on while an event of another shard is read, because the end
/// of the task would close its connection.
pub(super) struct Waiter {
    pub(super) shard: usize,
    pub(super) position: String,
    pub(super) task: JoinHandle<Result<bool, StoreError>>,
    pub(super) is_done: bool,
}

/// The result of one read of the stream, in one round trip.
struct View {
    /// The requested entries.
    entries: Vec<(Place, Said)>,
    /// The place of the first entry in the stream.
    first: Place,
    /// The place of the last entry that was ever added.
    last: Place,
    /// Whether older entries were removed from the stream.
    trimmed: bool,
    run: Option<String>,
    history: String,
    /// Whether the user has no right to wait for an event.
    may_not_wait: bool,
}

impl Shard {
    /// Reads the feed over a connection that no other caller uses. If `from` is a position, first waits for an event
    /// after this position, for at most `wait`. If the caller stops waiting, or if an error occurs, the connection is
    /// closed, because its server may no longer be the primary.
    pub(super) async fn read_feed(
        &self,
        from: &FeedFrom,
        wait: Option<Duration>,
    ) -> Result<ShardBatch, StoreError> {
        let idle = self.readers().pop();
        if let Some(reader) = idle.filter(|reader| self.link.is_current(reader)) {
            match self.read_over(reader, from, wait).await {
                Err(error) if another_may_serve(&error) => {}
                answer => return answer,
            }
        }
        self.read_over(self.link.connect().await.map_err(store_error)?, from, wait).await
    }

    async fn read_over(
        &self,
        mut reader: Reader,
        from: &FeedFrom,
        wait: Option<Duration>,
    ) -> Result<ShardBatch, StoreError> {
        let connection = &mut reader.connection;
        let batch = match from {
            FeedFrom::Since(time) => self.read_since(connection, time.as_millis()).await,
            FeedFrom::After(position) => match Position::parse(position) {
                Some(position) => self.read_after(connection, position, wait).await,
                None => self.read_anew(connection).await,
            },
        };
        let batch = batch.inspect_err(|error| self.link.failed(&reader, error))?;
        self.readers().push(reader);
        Ok(batch)
    }

    /// Waits for an event after a position, for at most one [`HEARTBEAT`]. Returns whether there may be an event, or
    /// whether another server may be the primary.
    pub(super) async fn wait(&self, position: &str) -> Result<bool, StoreError> {
        let Some(Position { place, .. }) = Position::parse(position) else { return Ok(true) };
        let idle = self.readers().pop();
        let mut reader = match idle.filter(|reader| self.link.is_current(reader)) {
            Some(reader) => reader,
            None => self.link.connect().await.map_err(store_error)?,
        };
        let answer = self.waiting(place, HEARTBEAT).query_async::<Value>(&mut reader.connection).await;
        match answer.map_err(store_error) {
            Ok(answer) => {
                self.readers().push(reader);
                Ok(answer != Value::Nil)
            }
            Err(error) if matches!(error, StoreError::Configuration(_)) && !another_may_serve(&error) => {
                self.readers().push(reader);
                tokio::time::sleep(POLL).await;
                Ok(true)
            }
            Err(error) => {
                self.link.failed(&reader, &error);
                // The next read finds out whether another server answers.
                if another_may_serve(&error) { Ok(true) } else { Err(error) }
            }
        }
    }

    fn waiting(&self, place: Place, longest: Duration) -> Cmd {
        let mut wait = cmd("XREAD");
        wait.arg("COUNT").arg(1).arg("BLOCK").arg(millis(longest));
        wait.arg("STREAMS").arg(&self.feed_key).arg(place.to_string());
        wait
    }

    async fn read_since(
        &self,
        connection: &mut MultiplexedConnection,
        time: u64,
    ) -> Result<ShardBatch, StoreError> {
        let start = format!("{}-0", time.saturating_sub(millis(SKEW)));
        // Reads one page only, because a reader of very many events must not miss its deadline.
        let view = self.view(connection, None, &start).await?;
        let gap = view.trimmed && view.first.0 > time;
        let place = view.entries.last().map_or(view.last, |(place, _)| *place);
        let (position, more) = (Position { place, history: view.history }, view.entries.len() == PAGE);
        Ok(ShardBatch::new(view.entries, position, view.run, gap, more))
    }

    async fn read_after(
        &self,
        connection: &mut MultiplexedConnection,
        position: Position,
        wait: Option<Duration>,
    ) -> Result<ShardBatch, StoreError> {
        let Position { place, history } = position;
        // Starts with the entry that was read last. If this entry is missing, it was removed, or this is another feed.
        let mut view =
            self.view(connection, wait.map(|longest| (place, longest)), &place.to_string()).await?;
        let more = view.entries.len() == PAGE;
        let is_known = view.entries.first().is_some_and(|(first, _)| *first == place);
        if is_known {
            view.entries.remove(0);
        }
        let cut_off = place < view.first && (view.trimmed || place != Place::default());
        let lost = place > view.last || !is_known && view.first != Place::default() && place >= view.first;
        let gap = cut_off || lost || history != view.history;
        let here = if place > view.last { view.last } else { place };
        if view.may_not_wait && view.entries.is_empty() {
            // Without this pause, the reader would ask again at once.
            tokio::time::sleep(POLL).await;
        }
        let place = view.entries.last().map_or(here, |(place, _)| *place);
        let position = Position { place, history: view.history };
        Ok(ShardBatch::new(view.entries, position, view.run, gap, more))
    }

    /// Reads for a reader without a valid position: starts at the current end of the stream, and reports a gap.
    async fn read_anew(&self, connection: &mut MultiplexedConnection) -> Result<ShardBatch, StoreError> {
        let view = self.view(connection, None, "+").await?;
        let position = Position { place: view.last, history: view.history };
        Ok(ShardBatch::new(Vec::new(), position, view.run, true, false))
    }

    /// Reads the stream. If `wait_after` is given, first waits for an entry after this place.
    async fn view(
        &self,
        connection: &mut MultiplexedConnection,
        wait_after: Option<(Place, Duration)>,
        start: &str,
    ) -> Result<View, StoreError> {
        match look(connection, &self.looking(wait_after, start, Call::ByHash)).await {
            Err(error) if is_no_script(&error) => {
                look(connection, &self.looking(None, start, Call::Whole)).await
            }
            answer => answer,
        }
        .map_err(|error| self.link.store_error(error))
    }

    fn looking(&self, wait_after: Option<(Place, Duration)>, start: &str, call: Call) -> Pipeline {
        let mut pipeline = pipe();
        if let Some((place, longest)) = wait_after {
            pipeline.add_command(self.waiting(place, longest));
        }
        // The order matters: `VIEW` reads `last` before `XRANGE` reads the entries. So a reader does not miss an entry
        // that is added between these two commands.
        let keys = [self.run_key.as_str(), self.feed_key.as_str()];
        pipeline.add_command(VIEW.command(call, &keys, &[millis(SILENCE).to_string()]));
        pipeline.cmd("XRANGE").arg(&self.feed_key).arg(start).arg("+").arg("COUNT").arg(PAGE);
        pipeline.cmd("INFO").arg("replication");
        pipeline.ignore_errors();
        pipeline
    }
}

async fn look(connection: &mut MultiplexedConnection, pipeline: &Pipeline) -> Result<View, RedisError> {
    let mut answers: Vec<RedisResult<Value>> = pipeline.query_async(connection).await?;
    let mut last = || answers.pop().unwrap_or(Ok(Value::Nil));
    // Without the right to `INFO`, a failover is noticed only if the new server lacks the entry that was read last.
    let replication = last().and_then(|value| Ok(String::from_redis_value(value)?)).unwrap_or_default();
    let history = replication.lines().find_map(|line| line.strip_prefix("master_replid:"));
    let entries = last();
    // A replica refuses the script `VIEW`, so the answer of a replica is an error.
    let (stream, run) = <(HashMap<String, Value>, Option<String>)>::from_redis_value(last()?)?;
    let may_not_wait = last().is_err_and(|error| matches!(store_error(error), StoreError::Configuration(_)));
    // The server may have become a replica after it ran `VIEW`.
    if replication.contains("role:slave") {
        return Err(io::Error::other(IsReplica).into());
    }
    let entries = Vec::<(String, Vec<Vec<u8>>)>::from_redis_value(entries?)?;
    let place = |name: &str| {
        let text = stream.get(name).and_then(|value| String::from_redis_value_ref(value).ok());
        text.and_then(|text| text.parse().ok()).unwrap_or_default()
    };
    let count = |name: &str| stream.get(name).and_then(|value| u64::from_redis_value_ref(value).ok());
    let event = |(place, fields): (String, Vec<Vec<u8>>)| {
        Some((place.parse().ok()?, fields.get(1).map_or(Said::Unknown, |text| entry::decode(text))))
    };
    Ok(View {
        first: place("recorded-first-entry-id"),
        last: place("last-generated-id"),
        trimmed: count("entries-added") > count("length"),
        entries: entries.into_iter().filter_map(event).collect(),
        run,
        history: history.unwrap_or("-").trim().to_owned(),
        may_not_wait,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_back_and_nothing_else_is_one() {
        let position = Position::parse("12-3 ab").expect("a position");
        assert_eq!((position.place, position.history.as_str()), (Place(12, 3), "ab"));
        assert_eq!(position.into_feed(), "12-3 ab");
        for bad in ["", "12-3", "12 ab", "x12-3 ab", "12-x ab", "no place at all"] {
            assert!(Position::parse(bad).is_none(), "{bad:?}");
        }
    }
}
