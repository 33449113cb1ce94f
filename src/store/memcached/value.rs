//! Values that belong to no session.

use std::io;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    ATTEMPTS, MemcachedStore, expires_at,
    link::{Stored, When},
    store_error,
};
use crate::{
    store::{StoreError, Value, ValueKey, ValueSnapshot, value::draw_version},
    time::Timestamp,
};

/// The content of an item: the version, the time from which the value is missing, and the bytes. The item contains a
/// version, because the answer to a write does not contain Memcached's version of the item.
fn encode(version: u64, value: &Value) -> Vec<u8> {
    let head = [version.to_be_bytes(), value.keep_until.as_millis().to_be_bytes()];
    [head.as_flattened(), &value.bytes].concat()
}

fn decode(item: &[u8]) -> Result<(u64, Value), StoreError> {
    let too_short = || StoreError::corrupt("a value that is too short");
    let (version, rest) = item.split_first_chunk().ok_or_else(too_short)?;
    let (keep_until, bytes) = rest.split_first_chunk().ok_or_else(too_short)?;
    let keep_until = Timestamp::from_millis(u64::from_be_bytes(*keep_until));
    Ok((u64::from_be_bytes(*version), Value { bytes: bytes.to_vec(), keep_until }))
}

impl MemcachedStore {
    fn value_key(&self, key: &ValueKey) -> String {
        format!("{}:2:value:{}", self.prefix, URL_SAFE_NO_PAD.encode(key.as_bytes()))
    }

    /// Reads the value under the key, even if it has expired. Returns its version, the value, and Memcached's version
    /// of the item.
    async fn find_value(&self, key: &str) -> Result<Option<(u64, Value, u64)>, StoreError> {
        let item = self.link.get(&[key]).await.map_err(store_error)?.remove(key);
        let Some(item) = item else { return Ok(None) };
        decode(&item.value).map(|(version, value)| Some((version, value, item.version)))
    }

    pub(super) async fn read_value(
        &self,
        key: &ValueKey,
        now: Timestamp,
    ) -> Result<ValueSnapshot, StoreError> {
        let found = self.find_value(&self.value_key(key)).await?;
        Ok(found
            .map_or(ValueSnapshot::MISSING, |(version, value, _)| ValueSnapshot::found(version, value, now)))
    }

    /// Writes or removes a value by compare-and-set. To remove a value, writes an empty value that has already expired.
    pub(super) async fn write_value(
        &self,
        key: &ValueKey,
        version: u64,
        to: Option<&Value>,
        now: Timestamp,
    ) -> Result<ValueSnapshot, StoreError> {
        let (key, next) = (self.value_key(key), draw_version()?);
        let removed = Value { bytes: Vec::new(), keep_until: Timestamp::EPOCH };
        let text = encode(next, to.unwrap_or(&removed));
        let expires = to.map_or(1 << 30, |value| expires_at(value.keep_until));
        for _ in 0..ATTEMPTS {
            let found = self.find_value(&key).await?;
            let when = found.as_ref().map_or(When::New, |(.., cas)| When::Version(*cas));
            let is_nothing = found.is_none();
            let found = found.map_or(ValueSnapshot::MISSING, |(version, value, _)| {
                ValueSnapshot::found(version, value, now)
            });
            if found.version != version {
                return Ok(found);
            }
            if is_nothing && to.is_none() {
                return Ok(ValueSnapshot::written(next, None));
            }
            let stored = match self.link.set(&key, &text, expires, when).await {
                Ok(stored) => stored,
                Err(error) => self.look_after(&key, next, error).await?,
            };
            match stored {
                Stored::Yes => return Ok(ValueSnapshot::written(next, to)),
                Stored::No => {}
                Stored::Full => return Err(StoreError::Full),
            }
        }
        Err(StoreError::unavailable("too many writers of one value"))
    }

    /// Called after a write that failed with `error`. After a timeout, returns the error. Otherwise reads the item. If
    /// the item has `version`, the failed write has written the item.
    async fn look_after(&self, key: &str, version: u64, error: io::Error) -> Result<Stored, StoreError> {
        if error.kind() == io::ErrorKind::TimedOut {
            return Err(store_error(error));
        }
        let found = self.find_value(key).await?;
        Ok(if found.is_some_and(|(found, ..)| found == version) { Stored::Yes } else { Stored::No })
    }
}
