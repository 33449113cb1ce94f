//! Re-authentication after the sign-in, as access tokens contain it.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Whether the user re-authenticated after the sign-in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum StepUp {
    /// The user did not re-authenticate: the sign-in is the last authentication.
    #[default]
    None,
    /// The user re-authenticated at this time, by these methods.
    Done {
        #[serde(with = "in_seconds")]
        at: Timestamp,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        amr: Vec<String>,
    },
    /// No authentication counts until the next one. Causes: the session is used from another origin, the time of the
    /// last re-authentication is unknown, or a token for another service has no `auth_time`.
    Required,
}

impl StepUp {
    pub(super) fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// The same value with its time in whole seconds, as in a token.
    pub(crate) fn in_whole_seconds(&self) -> Self {
        match self {
            Self::Done { at, amr } => Self::Done { at: Timestamp::from_secs(at.as_secs()), amr: amr.clone() },
            other => other.clone(),
        }
    }
}

mod in_seconds {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::time::Timestamp;

    pub(super) fn serialize<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(time.as_secs())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        u64::deserialize(from).map(Timestamp::from_secs)
    }
}
