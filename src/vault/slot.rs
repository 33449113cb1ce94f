//! Where tokens are stored: in the record of a session, or as a value of the store for a subject.

use std::sync::Arc;

use super::{
    error::VaultError,
    kept::{Kept, Owner},
};
use crate::{
    claims::Claims,
    engine::Engine,
    store::{SessionKey, SessionRecord, StoreError, Value},
    time::Timestamp,
};

/// What identifies the value that was read. A write compares it with the current value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The sealed bytes. Each write makes different sealed bytes.
    Session(Option<Arc<[u8]>>),
    /// The version of the value.
    Subject(u64),
}

/// The tokens that were read.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) kept: Option<Kept>,
    pub(super) by_signing_key: bool,
    pub(super) seen: Seen,
}

/// The name of a provider's tokens among the values that are attached to a session.
pub(super) fn name(provider: &str) -> String {
    format!("vault:{provider}")
}

fn attached(record: &SessionRecord, provider: &str) -> Option<Arc<[u8]>> {
    record.attached.get(&name(provider)).cloned()
}

fn opened<C: Claims>(
    engine: &Engine<C>,
    owner: &Owner,
    provider: &str,
    sealed: Option<&[u8]>,
    seen: Seen,
) -> Result<Slot, VaultError> {
    let Some(sealed) = sealed else { return Ok(Slot { kept: None, by_signing_key: true, seen }) };
    let ring = engine.tokens.codec();
    let opened = Kept::open(ring.keys(), owner, provider, sealed);
    let (kept, by_signing_key) = opened.ok_or(VaultError::Unreadable)?;
    Ok(Slot { kept: Some(kept), by_signing_key, seen })
}

/// Reads the tokens.
pub(super) async fn read<C: Claims>(
    engine: &Engine<C>,
    owner: &Owner,
    provider: &str,
) -> Result<Slot, VaultError> {
    let now = engine.now();
    match owner {
        Owner::Session(key) => {
            let record = engine.backend.get(key).await?.record.filter(|record| record.is_live(now));
            let record = record.ok_or(VaultError::Ended)?;
            let sealed = attached(&record, provider);
            opened(engine, owner, provider, sealed.as_deref(), Seen::Session(sealed.clone()))
        }
        Owner::Subject(subject) => {
            let found = engine.backend.value(&Owner::value_key(subject, provider), now).await?;
            let sealed = found.value.as_ref().map(|value| &*value.bytes);
            opened(engine, owner, provider, sealed, Seen::Subject(found.version))
        }
    }
}

/// Writes tokens, or removes them if `kept` is `None`. With `seen`, writes only if the stored value is still the value
/// that was `seen`. Without `seen`, writes in any case. Returns the [`Seen`] for a later write, or `None` if the stored
/// value has changed.
pub(super) async fn write<C: Claims>(
    engine: &Engine<C>,
    owner: &Owner,
    provider: &str,
    seen: Option<&Seen>,
    kept: Option<&Kept>,
) -> Result<Option<Seen>, VaultError> {
    let ring = engine.tokens.codec();
    let sealed = kept.map(|kept| kept.sealed(ring.keys(), owner, provider)).transpose()?;
    match owner {
        Owner::Session(key) => write_session(engine, key, provider, seen, sealed).await,
        Owner::Subject(subject) => {
            let keep_until = kept.map(|kept| kept.keep_until).unwrap_or_default();
            let value = sealed.map(|bytes| Value { bytes, keep_until });
            let seen = match seen {
                Some(Seen::Subject(version)) => Some(*version),
                Some(Seen::Session(_)) | None => None,
            };
            let key = Owner::value_key(subject, provider);
            /// How many times a write without `seen` is tried.
            const TRIES: usize = 8;
            let mut version = match seen {
                Some(version) => version,
                None => engine.backend.value(&key, engine.now()).await?.version,
            };
            for _ in 0..TRIES {
                let answer =
                    engine.backend.replace_value(&key, version, value.as_ref(), engine.now()).await?;
                if answer.applied {
                    return Ok(Some(Seen::Subject(answer.version)));
                }
                if seen.is_some() {
                    return Ok(None);
                }
                version = answer.version;
            }
            Err(StoreError::unavailable("the value was changed by others at each of 8 attempts").into())
        }
    }
}

async fn write_session<C: Claims>(
    engine: &Engine<C>,
    key: &SessionKey,
    provider: &str,
    seen: Option<&Seen>,
    sealed: Option<Vec<u8>>,
) -> Result<Option<Seen>, VaultError> {
    let (name, now): (String, Timestamp) = (name(provider), engine.now());
    let is_seen = |record: &SessionRecord| match seen {
        Some(Seen::Session(seen)) => attached(record, provider) == *seen,
        Some(Seen::Subject(_)) | None => true,
    };
    let change = |record: &mut SessionRecord| {
        let applies = record.is_live(now) && is_seen(record);
        if applies {
            record.attached.set(&name, sealed.as_deref());
        }
        applies
    };
    let snapshot = engine.compare_and_set("attach", key, None, None, change).await?;
    if snapshot.applied {
        return Ok(Some(Seen::Session(sealed.map(Into::into))));
    }
    match snapshot.record.filter(|record| record.is_live(now)) {
        Some(_) => Ok(None),
        None => Err(VaultError::Ended),
    }
}
