//! Values that belong to no session. Each value has a separate key, which contains the version, the expiry and the
//! bytes of the value.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};

use super::{record, scripts, shards::Shards};
use crate::{
    store::{StoreError, Value, ValueKey, ValueSnapshot, value::draw_version},
    time::Timestamp,
};

/// The answer of a script: whether the change applied, and the text of the value.
type Found = (bool, Option<Vec<u8>>);

fn decode(text: &[u8], now: Timestamp) -> Option<ValueSnapshot> {
    let mut words = str::from_utf8(text).ok()?.splitn(3, ' ');
    let version = u64::from_str_radix(words.next()?, 16).ok()?;
    let keep_until = Timestamp::from_millis(words.next()?.parse().ok()?);
    let bytes = STANDARD_NO_PAD.decode(words.next()?).ok()?;
    Some(ValueSnapshot::found(version, Value { bytes, keep_until }, now))
}

impl Shards {
    async fn value_script(
        &self,
        script: &scripts::Lua,
        key: &ValueKey,
        args: &[String],
        now: Timestamp,
    ) -> Result<ValueSnapshot, StoreError> {
        let hash = STANDARD_NO_PAD.encode(key.as_bytes());
        let name = format!("value:{hash}");
        let (applied, text): Found = self.shard(&hash)?.script(script, Some(&name), args).await?;
        let Some(text) = text else { return Ok(ValueSnapshot { applied, ..ValueSnapshot::MISSING }) };
        let found = decode(&text, now).ok_or_else(|| StoreError::corrupt("not a value"))?;
        Ok(ValueSnapshot { applied, ..found })
    }

    pub(super) async fn value(&self, key: &ValueKey, now: Timestamp) -> Result<ValueSnapshot, StoreError> {
        self.value_script(&scripts::VALUE, key, &[], now).await
    }

    pub(super) async fn replace_value(
        &self,
        key: &ValueKey,
        version: u64,
        to: Option<Value>,
        now: Timestamp,
    ) -> Result<ValueSnapshot, StoreError> {
        let next = draw_version()?;
        let keep_until = to.as_ref().map(|value| record::time(value.keep_until)).transpose()?;
        let args = [
            record::version(version),
            record::version(next),
            record::time(now)?.to_string(),
            keep_until.map_or(String::new(), |time| time.to_string()),
            to.as_ref().map_or(String::new(), |value| STANDARD_NO_PAD.encode(&value.bytes)),
        ];
        let answer = self.value_script(&scripts::REPLACE_VALUE, key, &args, now).await?;
        Ok(if answer.applied { ValueSnapshot::written(next, to.as_ref()) } else { answer })
    }
}
