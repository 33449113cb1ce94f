//! Values that belong to no session: named byte strings, each with an expiry.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::time::Timestamp;

/// The key of a value: a hash of the kind of value, the realm, and the names that it is about. So the keys of a store
/// show no name of a subject.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueKey([u8; 32]);

impl ValueKey {
    /// The value that is `kind`, about these names.
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

/// A value that belongs to no session, and when it expires. Its `Debug` does not show the bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Value {
    /// The bytes. They come back as they were given.
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

/// A value as it is after an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueSnapshot {
    /// The version of the value, for [`replace_value`](super::SessionStore::replace_value): random, below 2^63, and
    /// zero if the value is missing.
    pub version: u64,
    /// The value; none if it is missing.
    pub value: Option<Value>,
    /// Whether this operation wrote it.
    pub applied: bool,
}

impl ValueSnapshot {
    /// The value is missing, and nothing was written.
    pub const MISSING: Self = Self { version: 0, value: None, applied: false };

    /// What a store holds at `now`.
    #[must_use]
    pub fn found(version: u64, value: Value, now: Timestamp) -> Self {
        if now < value.keep_until {
            Self { version, value: Some(value), applied: false }
        } else {
            Self::MISSING
        }
    }

    /// After `value` was written with this version, or removed.
    #[must_use]
    pub fn written(version: u64, value: Option<&Value>) -> Self {
        let version = if value.is_some() { version } else { 0 };
        Self { version, value: value.cloned(), applied: true }
    }
}

/// A version for the next write: never zero, and below 2^63.
pub(super) fn draw_version() -> Result<u64, super::StoreError> {
    Ok((u64::from_be_bytes(crate::id::random()?) >> 1).max(1))
}
