//! The device key in a session's record, and the settings of device-bound sessions.

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

/// The name under which a record has the device key.
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
    /// The device key of a record. If a later version of this crate wrote the device key, it may be unreadable. An
    /// unreadable key counts as confirmed, and no proof is valid for it.
    pub(crate) fn of(record: &SessionRecord) -> Option<Self> {
        let bytes = record.attached.get(NAME)?;
        let unreadable = Self {
            jwk: String::new(),
            // No key has this thumbprint. It also differs from the thumbprint that stands for other keys.
            jkt: Thumbprint([u8::MAX; 32]),
            registered_at: Timestamp::EPOCH,
            confirmed: true,
        };
        Some(serde_json::from_slice(bytes).unwrap_or(unreadable))
    }

    /// The state of the device key, for the decisions of `protocol`.
    pub(crate) const fn state(&self) -> Binding {
        Binding { key: self.jkt, registered_at: self.registered_at, confirmed: self.confirmed }
    }
}

#[cfg(feature = "device-bound")]
impl DeviceBinding {
    /// A new device key. Its binding is provisional.
    pub(crate) const fn new(jwk: String, key: Thumbprint, now: Timestamp) -> Self {
        Self { jwk, jkt: key, registered_at: now, confirmed: false }
    }

    pub(crate) fn confirm(self) -> Self {
        Self { confirmed: true, ..self }
    }

    /// Writes the device key into a record.
    pub(crate) fn attach(&self, record: &mut SessionRecord) {
        // INVARIANT: all names of members are text, so JSON can represent the device key.
        record.attached.set(NAME, Some(&serde_json::to_vec(self).unwrap_or_default()));
    }
}

/// A bound access cookie ends before its token. The difference is the lifetime of an access token, divided by this
/// number. The browser then refreshes in time, so that no request is in transit with a token that expires on the way.
const MARGIN: u32 = 10;

/// The lifetime of a bound access cookie. `left` is the time until its token expires.
pub(crate) fn cookie_lifetime(left: Duration, access_ttl: Duration) -> Duration {
    Duration::from_secs(left.saturating_sub(access_ttl / MARGIN).as_secs().max(1))
}
