//! The device key that a session's record has, and the settings of device-bound sessions.

#[cfg(feature = "device-bound")]
mod settings;

#[cfg(feature = "device-bound")]
pub use self::settings::{DeviceBound, DeviceBoundError};

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    protocol::{Binding, Thumbprint},
    store::SessionRecord,
    time::Timestamp,
};

/// The name of this part of a record.
const NAME: &str = "device";

/// The device key of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeviceBinding {
    /// The public key as a JWK.
    pub(crate) jwk: String,
    jkt: Thumbprint,
    registered_at: Timestamp,
    confirmed: bool,
}

impl DeviceBinding {
    /// The device key of a record. If it cannot be read, a later version wrote it. Then it counts as confirmed, and no
    /// proof fits it.
    pub(crate) fn of(record: &SessionRecord) -> Option<Self> {
        let bytes = record.attached.get(NAME)?;
        let unreadable = Self {
            jwk: String::new(),
            // No key has it, and it is not the one that stands for other keys.
            jkt: Thumbprint([u8::MAX; 32]),
            registered_at: Timestamp::EPOCH,
            confirmed: true,
        };
        Some(serde_json::from_slice(bytes).unwrap_or(unreadable))
    }

    /// The part of it that decides.
    pub(crate) const fn state(&self) -> Binding {
        Binding { key: self.jkt, registered_at: self.registered_at, confirmed: self.confirmed }
    }
}

#[cfg(feature = "device-bound")]
impl DeviceBinding {
    /// A new one, provisional.
    pub(crate) const fn new(jwk: String, key: Thumbprint, now: Timestamp) -> Self {
        Self { jwk, jkt: key, registered_at: now, confirmed: false }
    }

    pub(crate) fn confirm(self) -> Self {
        Self { confirmed: true, ..self }
    }

    /// Writes it to a record.
    pub(crate) fn attach(&self, record: &mut SessionRecord) {
        // INVARIANT: it has texts for keys, and so it can be written.
        record.attached.set(NAME, Some(&serde_json::to_vec(self).unwrap_or_default()));
    }
}

/// How many seconds before its token a bound access cookie ends, as a part of the token's lifetime. The browser then
/// refreshes, so that no request is on its way with a token that expires meanwhile.
const MARGIN: u32 = 10;

/// How long a bound access cookie lives, whose token expires after `left`.
pub(crate) fn cookie_lifetime(left: Duration, access_ttl: Duration) -> Duration {
    Duration::from_secs(left.saturating_sub(access_ttl / MARGIN).as_secs().max(1))
}
