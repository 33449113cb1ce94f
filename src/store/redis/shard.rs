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

/// The version of the layout. It is also the hash tag of a single shard, or the start of the hash tag of each shard.
/// The hash tag of a key, the text in braces, decides the slot of the key.
const LAYOUT: &str = "2";
/// How long the server keeps the run ID after the last call that set or raised the run ID.
const RUN_KEPT_FOR: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// The number of shards in a cluster: one shard for each of the usual three primaries. Each instance reads the feed of
/// each shard, so the primaries would spend more time on additional shards than they would save.
pub(super) const IN_CLUSTER: usize = 3;

pub(super) struct Shard {
    /// The name of the shard for errors, if there are several shards. The name has the slot, by which an operator finds
    /// the node.
    name: Option<String>,
    pub(super) link: Arc<Link>,
    /// The start of all keys. In a cluster, the text in braces decides the slot.
    pub(super) prefix: String,
    pub(super) run_key: String,
    pub(super) feed_key: String,
    /// Idle connections for the next reads of the feed.
    readers: Mutex<Vec<Reader>>,
}

pub(super) type Cause = Box<dyn Error + Send + Sync>;

/// An error of a shard, with the name of the shard.
#[derive(Debug, thiserror::Error)]
#[error("{shard}")]
struct InShard {
    shard: String,
    source: Cause,
}

/// The name of a shard. Returns `None` if there is only one shard.
pub(super) fn name(index: usize, count: usize) -> Option<String> {
    (count > 1).then(|| format!("shard {} of {count} (slot {})", index + 1, slot(&tag(index, count))))
}

/// Replaces the source of an error. Returns an error without a source unchanged.
pub(super) fn with_source(error: StoreError, wrap: impl FnOnce(Cause) -> Cause) -> StoreError {
    match error {
        StoreError::Unavailable(source) => StoreError::unavailable(wrap(source)),
        StoreError::Configuration(source) => StoreError::configuration(wrap(source)),
        StoreError::Corrupt(source) => StoreError::corrupt(wrap(source)),
        StoreError::Full | StoreError::Unsupported(_) => error,
    }
}

/// The hash tag of the keys of a shard: the text in braces. The slots of `count` shards are spread evenly.
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
    /// The shard with this index, of `count` shards.
    pub(super) fn new(link: Arc<Link>, prefix: &str, index: usize, count: usize) -> Self {
        let (name, tag) = (name(index, count), tag(index, count));
        // In a cluster, the first hash tag of a key decides the slot, so a hash tag in the prefix would decide. Empty
        // braces are no hash tag: with them, the whole key decides. In both cases, the prefix is hashed.
        let is_tagged = prefix.contains("{}") || link.home().is_cluster() && prefix.contains('{');
        let prefix = if is_tagged { hash(&[prefix.as_bytes()]) } else { prefix.to_owned() };
        let prefix = format!("{prefix}:{{{tag}}}");
        let (run_key, feed_key) = (format!("{prefix}:run"), format!("{prefix}:feed"));
        Self { name, link, prefix, run_key, feed_key, readers: Mutex::default() }
    }

    /// Adds the name of this shard to an error, if the shard has a name.
    pub(super) fn named(&self, error: StoreError) -> StoreError {
        let Some(shard) = self.name.clone() else { return error };
        with_source(error, |source| Box::new(InShard { shard, source }))
    }

    pub(super) fn readers(&self) -> MutexGuard<'_, Vec<Reader>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a script, in one round trip. `name` is the end of the key that the script reads or writes. `None` for a
    /// script that uses only the run ID and the feed.
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

    /// The run ID of this shard. Returns `None` if the server has none.
    pub(super) async fn run(&self) -> Result<Option<RunId>, StoreError> {
        let run: RedisResult<Option<String>> = self.link.query(cmd("GET").arg(&self.run_key)).await;
        let run = run.map_err(|error| self.named(self.link.store_error(error)))?;
        run.as_deref().map(record::run_id).transpose()
    }

    /// Raises the run ID of this shard, or sets it if there is none. If `event` is empty, an existing run ID is not
    /// raised. Returns the resulting run ID.
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
