//! The feeds of all shards as one.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, PoisonError},
    task::Poll,
};

use tokio::task::JoinError;

use super::{
    feed::{HEARTBEAT, ShardBatch, Waiter},
    record,
    shard::Shard,
    shards::Shards,
};
use crate::store::{FeedBatch, FeedFrom, StoreError};

/// Between the positions of two shards.
const SEPARATOR: char = ',';

impl Shards {
    pub(super) async fn read_feed(&self, from: &FeedFrom) -> Result<FeedBatch, StoreError> {
        if let [shard] = &self.each[..] {
            let batch = shard.read_feed(from, Some(HEARTBEAT)).await?;
            return self.merge(vec![batch]).await;
        }
        let from = self.divide(from);
        self.wait(&from).await?;
        // Each is read, also those without news: only an answer proves that a shard had no event until now.
        let mut each = from.into_iter();
        let read = |shard: Arc<Shard>, from: Option<FeedFrom>| async move {
            let from = from.unwrap_or_else(|| FeedFrom::After(String::new()));
            shard.read_feed(&from, None).await
        };
        let tasks: Vec<_> =
            self.each.iter().map(|shard| tokio::spawn(read(shard.clone(), each.next()))).collect();
        let mut batches = Vec::with_capacity(tasks.len());
        for task in tasks {
            batches.push(task.await.map_err(StoreError::unavailable)??);
        }
        self.merge(batches).await
    }

    /// Where to read on in each shard. A position that is none of ours leads to a gap.
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

    async fn merge(&self, batches: Vec<ShardBatch>) -> Result<FeedBatch, StoreError> {
        let mut runs = Vec::with_capacity(batches.len());
        for batch in &batches {
            runs.push(batch.run.as_deref().map(record::run_id).transpose()?);
        }
        let newest = runs.iter().flatten().max().copied();
        let run = match newest {
            Some(newest) if runs.iter().all(|run| *run == Some(newest)) => newest,
            // A shard was out of reach, or has lost it.
            Some(newest) => self.raise_run(newest).await?,
            None => self.settle_run(None).await?,
        };
        let mut merged =
            FeedBatch { events: Vec::new(), position: String::new(), run, gap: false, more: false };
        for (index, batch) in batches.into_iter().enumerate() {
            if index > 0 {
                merged.position.push(SEPARATOR);
            }
            merged.position.push_str(&batch.position);
            merged.events.extend(batch.events);
            merged.gap |= batch.gap;
            merged.more |= batch.more;
        }
        Ok(merged)
    }

    /// Waits for an event in any shard, at most as long as a heartbeat.
    async fn wait(&self, from: &[FeedFrom]) -> Result<(), StoreError> {
        let mut waiters = Vec::with_capacity(from.len());
        for (index, from) in from.iter().enumerate() {
            let FeedFrom::After(position) = from else { return Ok(()) };
            waiters.push(self.waiter(index, position));
        }
        let event = poll_fn(|context| {
            for waiter in &mut waiters {
                if !waiter.is_done
                    && let Poll::Ready(outcome) = Pin::new(&mut waiter.task).poll(context)
                {
                    waiter.is_done = true;
                    match outcome {
                        Ok(Ok(false)) => {}
                        other => return Poll::Ready(other),
                    }
                }
            }
            Poll::Pending
        });
        let event: Result<Result<Result<bool, StoreError>, JoinError>, _> =
            tokio::time::timeout(HEARTBEAT, event).await;
        let mut kept = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(waiters.into_iter().filter(|waiter| !waiter.is_done));
        drop(kept);
        // Without an event, too, the shards are read.
        event.map_or(Ok(()), |event| event.map_err(StoreError::unavailable)?.map(drop))
    }

    /// The waiter at this position: the one of an earlier read, or a new one.
    fn waiter(&self, index: usize, position: &str) -> Waiter {
        let mut kept = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        // Those at positions that are not read from any more.
        kept.retain(|waiter| !waiter.task.is_finished());
        let is_same = |waiter: &Waiter| waiter.shard == index && waiter.position == position;
        if let Some(place) = kept.iter().position(is_same) {
            return kept.swap_remove(place);
        }
        drop(kept);
        let (shard, at) = (self.each.get(index).cloned(), position.to_owned());
        let task = tokio::spawn(async move {
            match shard {
                Some(shard) => shard.wait(&at).await,
                None => Ok(true),
            }
        });
        Waiter { shard: index, position: position.to_owned(), task, is_done: false }
    }
}
