//! The key of the client's device in a token: the claim `cnf` (RFC 7800).

use serde::{Deserialize, Serialize};

use crate::protocol::{Binding, Thumbprint};

/// The device key to which a session is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeviceKey {
    /// The thumbprint of the key (RFC 9449, section 6.1).
    jkt: Thumbprint,
    /// Whether the binding was still provisional when the token was minted.
    #[serde(default, skip_serializing_if = "is_false")]
    provisional: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as `serde` calls it")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

impl DeviceKey {
    /// The value with the longest JSON, to measure tokens.
    pub(crate) const LONGEST: Self = Self { jkt: Thumbprint([0; 32]), provisional: true };

    /// Whether a renewal needs a proof of the device key.
    pub(crate) const fn is_confirmed(&self) -> bool {
        !self.provisional
    }
}

impl From<&Binding> for DeviceKey {
    fn from(binding: &Binding) -> Self {
        Self { jkt: binding.key, provisional: !binding.confirmed }
    }
}
