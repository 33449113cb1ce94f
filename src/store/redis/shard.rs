//! A shard: a part of the store whose keys are all in one slot, so that a script writes records and feed in one step.

use std::{
    error::Error,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use redis::{FromRedisValue, RedisResult, cmd};

use super::{
    home::slot,
    link::{Link, Reader},
    record,
    scripts::{self, Lua},
};
use crate::{
    id::RunId,
    store::{StoreError, hash},
    time::millis,
};

/// The version of the layout, which is also what decides the slot of the keys.
const LAYOUT: &str = "2";
/// How long the run ID stays without sign-ins.
const RUN_KEPT_FOR: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// How many shards a cluster gets: one for each primary of the usual three. Each instance reads the feed of each shard,
/// so more shards would cost the primaries more than they save.
pub(super) const IN_CLUSTER: usize = 3;

pub(super) struct Shard {
    /// For errors, in a cluster. The slot leads an operator to the node.
    name: Option<String>,
    pub(super) link: Arc<Link>,
    /// What all keys begin with. In a cluster, what is in braces decides the slot.
    pub(super) prefix: String,
    pub(super) run_key: String,
    pub(super) feed_key: String,
    /// Connections for the next read of the feed.
    readers: Mutex<Vec<Reader>>,
}

pub(super) type Cause = Box<dyn Error + Send + Sync>;

/// Which shard an error is about.
#[derive(Debug, thiserror::Error)]
#[error("{shard}")]
struct InShard {
    shard: String,
    source: Cause,
}

/// The name of a shard, if there are several.
pub(super) fn name(index: usize, count: usize) -> Option<String> {
    (count > 1).then(|| format!("shard {} of {count} (slot {})", index + 1, slot(&tag(index, count))))
}

/// The same error with another source, if it has one.
pub(super) fn with_source(error: StoreError, wrap: impl FnOnce(Cause) -> Cause) -> StoreError {
    match error {
        StoreError::Unavailable(source) => StoreError::unavailable(wrap(source)),
        StoreError::Configuration(source) => StoreError::configuration(wrap(source)),
        StoreError::Corrupt(source) => StoreError::corrupt(wrap(source)),
        StoreError::Full | StoreError::Unsupported(_) => error,
    }
}

/// What is in the braces of the keys of a shard. The slots of `count` shards are spread evenly.
pub(super) fn tag(index: usize, count: usize) -> String {
    if count == 1 {
        return LAYOUT.to_owned();
    }
    let bound = |index: usize| index * 16_384 / count;
    let tags = (0_u32..).map(|number| format!("{LAYOUT}.{index}.{number}"));
    let fits = |tag: &String| (bound(index)..bound(index + 1)).contains(&usize::from(slot(tag)));
    tags.take(16_384).find(fits).unwrap_or_default()
}

impl Shard {
    /// The shard with this index, of so many.
    pub(super) fn new(link: Arc<Link>, prefix: &str, index: usize, count: usize) -> Self {
        let (name, tag) = (name(index, count), tag(index, count));
        // A tag in the prefix decides the slot, but an empty one is none.
        let is_tagged = prefix.contains("{}") || link.home().is_cluster() && prefix.contains('{');
        let prefix = if is_tagged { hash(&[prefix.as_bytes()]) } else { prefix.to_owned() };
        let prefix = format!("{prefix}:{{{tag}}}");
        let (run_key, feed_key) = (format!("{prefix}:run"), format!("{prefix}:feed"));
        Self { name, link, prefix, run_key, feed_key, readers: Mutex::default() }
    }

    /// The error that the caller gets for one of this shard.
    pub(super) fn named(&self, error: StoreError) -> StoreError {
        let Some(shard) = self.name.clone() else { return error };
        with_source(error, |source| Box::new(InShard { shard, source }))
    }

    pub(super) fn readers(&self) -> MutexGuard<'_, Vec<Reader>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a script: one round trip. `name` is the end of the key that it is about.
    pub(super) async fn script<T: FromRedisValue>(
        &self,
        script: &Lua,
        name: Option<&str>,
        args: &[String],
    ) -> Result<T, StoreError> {
        let key = name.map(|name| format!("{}:{name}", self.prefix));
        let keys = [self.run_key.as_str(), self.feed_key.as_str(), key.as_deref().unwrap_or_default()];
        let keys = keys.get(..if key.is_some() { 3 } else { 2 }).unwrap_or_default();
        self.link.run(script, keys, args).await.map_err(|error| self.named(self.link.store_error(error)))
    }

    /// The run ID that the server has.
    pub(super) async fn run(&self) -> Result<Option<RunId>, StoreError> {
        let run: RedisResult<Option<String>> = self.link.query(cmd("GET").arg(&self.run_key)).await;
        let run = run.map_err(|error| self.named(self.link.store_error(error)))?;
        run.as_deref().map(record::run_id).transpose()
    }

    /// Raises the run ID, or sets it if there is none. Without an event, an existing one is not raised.
    pub(super) async fn set_run(&self, to: RunId, event: String) -> Result<RunId, StoreError> {
        let args = [to.to_string(), millis(RUN_KEPT_FOR).to_string(), event];
        let run: String = self.script(&scripts::RAISE_RUN, None, &args).await?;
        record::run_id(&run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_of_a_cluster_are_spread_evenly_and_one_has_the_tag_of_the_layout() {
        assert_eq!(tag(0, 1), LAYOUT);
        for index in 0..IN_CLUSTER {
            let part = usize::from(slot(&tag(index, IN_CLUSTER))) * IN_CLUSTER / 16_384;
            assert_eq!(part, index);
        }
    }
}
