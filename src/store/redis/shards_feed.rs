//! Reads the feeds of all shards as one feed.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, PoisonError},
    task::Poll,
    time::Duration,
};

use tokio::task::{JoinError, JoinHandle};

use super::{
    feed::{HEARTBEAT, ShardBatch, Waiter, known_position},
    record,
    shard::Shard,
    shards::Shards,
};
use crate::store::{FeedBatch, FeedFrom, StoreError};

/// How long a read of a shard may take, because a shard that does not answer must not hold back the other shards.
const READ_WITHIN: Duration = Duration::from_millis(600);
/// How long a read of a shard may take if the reader has no position yet.
const FIRST_READ_WITHIN: Duration = Duration::from_millis(1500);
/// Separates the positions of the shards in the position of the whole feed.
const SEPARATOR: &str = ",";

/// Reads the feed of a shard. If the read is late, returns an error. The read goes on, so that it can find a new
/// primary.
async fn read(shard: Arc<Shard>, from: FeedFrom) -> Result<ShardBatch, StoreError> {
    let within = if let FeedFrom::Since(_) = from { FIRST_READ_WITHIN } else { READ_WITHIN };
    let reader = shard.clone();
    let reading = tokio::spawn(async move { reader.read_feed(&from, None).await });
    let read = tokio::time::timeout(within, reading).await;
    let read = read.unwrap_or_else(|late| Ok(Err(StoreError::unavailable(late))));
    read.map_err(StoreError::unavailable).and_then(|batch| batch).map_err(|error| shard.named(error))
}

impl Shards {
    pub(super) async fn read_feed(&self, from: &FeedFrom) -> Result<FeedBatch, StoreError> {
        if let [shard] = &self.each[..] {
            let batch = shard.read_feed(from, Some(HEARTBEAT)).await?;
            return self.merge(vec![(batch.position.clone(), Some(batch))]).await;
        }
        if let Some(error) = self.take_failure(from) {
            return Err(error);
        }
        let from = self.divide(from);
        let waited = self.wait(&from).await;
        // Reads each shard, also a shard without a new event: only an answer proves that it had no event until now.
        let tasks: Vec<_> =
            self.shards_from(&from).map(|(shard, from)| tokio::spawn(read(shard, from))).collect();
        let mut batches = Vec::with_capacity(tasks.len());
        let mut failure = waited.err();
        for (task, from) in tasks.into_iter().zip(from) {
            match task.await.map_err(StoreError::unavailable).and_then(|batch| batch) {
                Ok(batch) => batches.push((batch.position.clone(), Some(batch))),
                Err(error) => {
                    let FeedFrom::After(position) = from else { return Err(error) };
                    batches.push((position, None));
                    failure = Some(error);
                }
            }
        }
        let Some(error) = failure else { return self.merge(batches).await };
        // The events of the other shards are returned first. Otherwise a sign-out in these shards would wait for the
        // shard that failed. Because of `more`, the reader asks again at once, and knows that it is not up to date.
        if batches.iter().flat_map(|(_, batch)| batch).all(|batch| batch.events.is_empty() && !batch.gap) {
            return Err(error);
        }
        let batch = self.merge(batches).await?;
        let failure = (batch.position.clone(), error);
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
        Ok(FeedBatch { more: true, ..batch })
    }

    /// Takes the error of a shard that could not be read, if the read of all shards ended at the position `from`.
    fn take_failure(&self, from: &FeedFrom) -> Option<StoreError> {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        let is_of_it = |(position, _): &mut (String, StoreError)| matches!(from, FeedFrom::After(from) if from == position);
        failure.take_if(is_of_it).map(|(_, error)| error)
    }

    /// Each shard, and the place from which to read on in this shard.
    fn shards_from<'a>(&'a self, from: &'a [FeedFrom]) -> impl Iterator<Item = (Arc<Shard>, FeedFrom)> + 'a {
        self.each.iter().cloned().zip(from.iter().cloned())
    }

    /// Returns the place from which to read on in each shard. A position of another form leads to a gap.
    fn divide(&self, from: &FeedFrom) -> Vec<FeedFrom> {
        let count = self.each.len();
        match from {
            FeedFrom::Since(_) => vec![from.clone(); count],
            FeedFrom::After(position) => {
                let positions: Vec<_> = position.split(SEPARATOR).collect();
                let is_ours = positions.len() == count;
                let own =
                    |index: usize| positions.get(index).filter(|_| is_ours).copied().unwrap_or_default();
                (0..count).map(|index| FeedFrom::After(own(index).to_owned())).collect()
            }
        }
    }

    /// Merges the batches of the shards that answered, and the positions of all shards, into one batch.
    async fn merge(&self, batches: Vec<(String, Option<ShardBatch>)>) -> Result<FeedBatch, StoreError> {
        let (positions, batches): (Vec<_>, Vec<_>) = batches.into_iter().unzip();
        let (mut runs, mut events, mut gap, mut more) = (Vec::new(), Vec::new(), false, false);
        for batch in batches.into_iter().flatten() {
            runs.push(batch.run.as_deref().map(record::run_id).transpose()?);
            events.extend(batch.events);
            gap |= batch.gap;
            more |= batch.more;
        }
        let newest = runs.iter().flatten().max().copied();
        let run = match newest {
            Some(newest) if runs.iter().all(|run| *run == Some(newest)) => newest,
            // A shard was unavailable when the run ID was raised, or has lost its run ID.
            Some(newest) => self.raise_run(newest).await.unwrap_or(newest),
            None => self.settle_run(None).await?,
        };
        Ok(FeedBatch { events, position: positions.join(SEPARATOR), run, gap, more })
    }

    /// Waits for an event in any shard, for at most one [`HEARTBEAT`]. If a shard was never read, returns at once, and
    /// waits in no shard: until this shard is read, the reader does not know what was revoked in this shard.
    async fn wait(&self, from: &[FeedFrom]) -> Result<(), StoreError> {
        let positions: Option<Vec<_>> = from.iter().map(known_position).collect();
        let Some(positions) = positions else { return Ok(()) };
        let waiter = |(index, position)| self.waiter(index, position);
        let mut waiters: Vec<_> = positions.into_iter().enumerate().map(waiter).collect();
        let event = poll_fn(|context| {
            for waiter in &mut waiters {
                while let Poll::Ready(outcome) = Pin::new(&mut waiter.task).poll(context) {
                    if !matches!(outcome, Ok(Ok(false))) {
                        waiter.is_done = true;
                        return Poll::Ready(outcome);
                    }
                    // This wait began in an earlier read and found no event. The current read waits again.
                    waiter.task = self.start_wait(waiter.shard, &waiter.position);
                }
            }
            Poll::Pending
        });
        let event: Result<Result<Result<bool, StoreError>, JoinError>, _> =
            tokio::time::timeout(HEARTBEAT, event).await;
        let mut kept = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(waiters.into_iter().filter(|waiter| !waiter.is_done));
        drop(kept);
        // The shards are also read if there was no event.
        event.map_or(Ok(()), |event| event.map_err(StoreError::unavailable)?.map(drop))
    }

    /// Returns the waiter of an earlier read at this position, or a new waiter.
    fn waiter(&self, index: usize, position: &str) -> Waiter {
        let mut kept = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        // Removes waiters that have ended. If a reader still goes on from such a position, a new waiter waits there.
        kept.retain(|waiter| !waiter.task.is_finished());
        let is_same = |waiter: &Waiter| waiter.shard == index && waiter.position == position;
        if let Some(place) = kept.iter().position(is_same) {
            return kept.swap_remove(place);
        }
        drop(kept);
        let task = self.start_wait(index, position);
        Waiter { shard: index, position: position.to_owned(), task, is_done: false }
    }

    fn start_wait(&self, index: usize, position: &str) -> JoinHandle<Result<bool, StoreError>> {
        let (shard, position) = (self.each.get(index).cloned(), position.to_owned());
        tokio::spawn(async move {
            match shard {
                Some(shard) => shard.wait(&position).await.map_err(|error| shard.named(error)),
                None => Ok(true),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use redis::Client;

    use super::*;
    use crate::{
        store::redis::{home::Home, link::Link},
        time::Timestamp,
    };

    /// Three shards on a server that accepts connections, but never answers.
    fn silent(listener: &std::net::TcpListener) -> Shards {
        let address = listener.local_addr().expect("an address");
        let link = || Link::new(Home::Fixed(Client::open(format!("redis://{address}/")).expect("a URL")));
        Shards::new([link(), link(), link()], "test")
    }

    #[tokio::test]
    async fn wait_returns_at_once_and_starts_no_waiter_if_a_shard_was_never_read() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let shards = silent(&listener);
        let after = |position: &str| FeedFrom::After(position.to_owned());
        let never_read = [after(""), after("no position"), FeedFrom::Since(Timestamp::EPOCH)];
        for (index, never_read) in (0..9).map(|number| (number / 3, &never_read[number % 3])) {
            let mut from = [after("1-0 a"), after("2-0 b"), after("3-0 c")];
            from[index] = never_read.clone();
            let waiting = tokio::time::timeout(HEARTBEAT / 2, shards.wait(&from)).await;
            assert!(matches!(waiting, Ok(Ok(()))), "{from:?}: {waiting:?}");
            assert!(shards.waiters.lock().expect("no panic").is_empty(), "{from:?}: a waiter was started");
        }
        let known = [after("1-0 a"), after("2-0 b"), after("3-0 c")];
        let waiting = tokio::time::timeout(HEARTBEAT / 2, shards.wait(&known)).await;
        assert!(waiting.is_err(), "all are known: {waiting:?}");
    }
}
