//! Values that belong to no session: named byte strings, each with an expiry.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::time::Timestamp;

/// The key of a value: a hash of the kind of the value, the realm, and names, such as a subject's name. So the keys in
/// a store show no name of a subject.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueKey([u8; 32]);

impl ValueKey {
    /// The key of the value of this kind for these names.
    #[cfg_attr(
        not(any(test, feature = "conformance", feature = "oidc", feature = "vault")),
        expect(dead_code, reason = "only some features keep values")
    )]
    pub(crate) fn new(realm: &str, kind: &'static str, names: &[&str]) -> Self {
        let mut hash = Sha256::new().chain_update(b"tower-sliding-sessions value v1");
        for part in [realm, kind].iter().chain(names) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// The 32 bytes under which a store keeps the value.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for ValueKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "ValueKey(#{:08x})", u32::from_be_bytes([a, b, c, d]))
    }
}

/// A value that belongs to no session, and its expiry. The `Debug` output does not show the bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Value {
    /// The bytes. A store returns them exactly as they were given.
    pub bytes: Vec<u8>,
    /// From this time on, the value is missing.
    pub keep_until: Timestamp,
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (length, keep_until) = (self.bytes.len(), self.keep_until);
        f.debug_struct("Value").field("length", &length).field("keep_until", &keep_until).finish()
    }
}

/// A value, in its state after an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueSnapshot {
    /// The version of the value, for [`replace_value`](super::SessionStore::replace_value): a random number below 2^63.
    /// Zero if the value is missing.
    pub version: u64,
    /// The value. `None` if the value is missing.
    pub value: Option<Value>,
    /// Whether this operation wrote or removed the value.
    pub applied: bool,
}

impl ValueSnapshot {
    /// The snapshot of a missing value. Nothing was written.
    pub const MISSING: Self = Self { version: 0, value: None, applied: false };

    /// The snapshot at `now` of a value that a store holds. An expired value is missing.
    #[must_use]
    pub fn found(version: u64, value: Value, now: Timestamp) -> Self {
        if now < value.keep_until {
            Self { version, value: Some(value), applied: false }
        } else {
            Self::MISSING
        }
    }

    /// The snapshot after `value` was written with this version or, if `value` is `None`, after the value was removed.
    #[must_use]
    pub fn written(version: u64, value: Option<&Value>) -> Self {
        let version = if value.is_some() { version } else { 0 };
        Self { version, value: value.cloned(), applied: true }
    }
}

/// Draws a random version for the next write: never zero, and below 2^63.
pub(super) fn draw_version() -> Result<u64, super::StoreError> {
    Ok((u64::from_be_bytes(crate::id::random()?) >> 1).max(1))
}
