//! The feed of a shard: one stream, whose entries' IDs are the places in it. The scripts write it, and remove
//! from it what is too old or too much.

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

/// How long a reader waits for an event, and then learns that there is none.
pub(super) const HEARTBEAT: Duration = Duration::from_millis(900);
/// A reader without the right to wait looks this often.
const POLL: Duration = Duration::from_millis(50);
/// How many events are read at once.
const PAGE: usize = 1000;
/// How long the feed is silent, at most. Far less than the time that it keeps events for.
const SILENCE: Duration = Duration::from_secs(60 * 60);
/// Places are times of the server's clock. A reader that names a time starts this much earlier.
const SKEW: Duration = Duration::from_secs(60 * 60);

/// An entry's place in the stream: milliseconds of the server's clock, and a number.
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

/// The position of a reader, and the server's replication ID: a server that was promoted or restarted has another one,
/// and may lack the last writes.
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

/// The position of a reader that has read the shard before.
pub(super) fn known_position(from: &FeedFrom) -> Option<&str> {
    match from {
        FeedFrom::After(position) if Position::parse(position).is_some() => Some(position),
        FeedFrom::After(_) | FeedFrom::Since(_) => None,
    }
}

/// What a read of a shard's feed brings. The fields are those of [`FeedBatch`](crate::store::FeedBatch).
pub(super) struct ShardBatch {
    pub(super) events: Vec<FeedEvent>,
    pub(super) position: String,
    /// None if the shard has lost it.
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

/// Waits for an event in a shard. It goes on while another shard's event is read, since an end would close its
/// connection.
pub(super) struct Waiter {
    pub(super) shard: usize,
    pub(super) position: String,
    pub(super) task: JoinHandle<Result<bool, StoreError>>,
    pub(super) is_done: bool,
}

/// What one round trip reads of the stream.
struct View {
    /// The entries that were asked for.
    entries: Vec<(Place, Said)>,
    /// The first entry in the stream.
    first: Place,
    /// The last entry that was ever added.
    last: Place,
    /// Whether older entries were cut off.
    trimmed: bool,
    run: Option<String>,
    history: String,
    /// The user may not wait for an event.
    may_not_wait: bool,
}

impl Shard {
    /// Reads on a connection of its own. After a position, it waits for an event, at most this long. A caller that
    /// stops waiting closes the connection, as an error does: what it led to may be no primary any more.
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

    /// Waits for an event after a position, at most as long as a [`HEARTBEAT`]. Says whether there may be one, or
    /// another server.
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
                // The read that follows finds out.
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
        // One page. A reader of very many events must not be late for its deadline.
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
        // From the entry on that was read last: a feed without it is another one.
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
            // Without this, its reader would ask again at once.
            tokio::time::sleep(POLL).await;
        }
        let place = view.entries.last().map_or(here, |(place, _)| *place);
        let position = Position { place, history: view.history };
        Ok(ShardBatch::new(view.entries, position, view.run, gap, more))
    }

    /// For a reader without a position: starts at the current end.
    async fn read_anew(&self, connection: &mut MultiplexedConnection) -> Result<ShardBatch, StoreError> {
        let view = self.view(connection, None, "+").await?;
        let position = Position { place: view.last, history: view.history };
        Ok(ShardBatch::new(Vec::new(), position, view.run, true, false))
    }

    /// Waits for an entry after a place, if there is one to wait after, and then looks.
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
        // In this order: nothing that came after `last` was known is missed.
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
    // Without the right to this command, a failover is noticed only if the new server lacks the last place.
    let replication = last().and_then(|value| Ok(String::from_redis_value(value)?)).unwrap_or_default();
    let history = replication.lines().find_map(|line| line.strip_prefix("master_replid:"));
    let entries = last();
    // A replica refuses this.
    let (stream, run) = <(HashMap<String, Value>, Option<String>)>::from_redis_value(last()?)?;
    let may_not_wait = last().is_err_and(|error| matches!(store_error(error), StoreError::Configuration(_)));
    // It may have become one since.
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
