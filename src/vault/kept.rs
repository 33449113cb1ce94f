//! What is stored: the tokens and the state of their renewal, sealed for their owner.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    error::{Lost, VaultError},
    tokens::TokenSet,
};
use crate::{
    store::{SessionKey, Subject, ValueKey},
    time::Timestamp,
    token::{Keyring, open, seal},
};

/// The longest form, before it is sealed.
const LONGEST: usize = 64 * 1024;
const PURPOSE: &str = "vault";

/// Whose tokens they are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Owner {
    Session(SessionKey),
    Subject(Subject),
}

impl Owner {
    pub(super) fn subject(&self) -> &Subject {
        match self {
            Self::Session(key) => &key.subject,
            Self::Subject(subject) => subject,
        }
    }

    /// What the sealed value is bound to, so that it opens for this owner and this provider only.
    fn associated(&self, provider: &str) -> Vec<u8> {
        let Subject { realm, name } = self.subject();
        let (kind, id) = match self {
            Self::Session(key) => (&b"session"[..], &key.id.as_bytes()[..]),
            Self::Subject(_) => (&b"subject"[..], &[][..]),
        };
        let parts = [kind, realm.as_bytes(), name.as_bytes(), id, provider.as_bytes()];
        parts.iter().flat_map(|part| [&(part.len() as u64).to_be_bytes()[..], part].concat()).collect()
    }

    /// Where the tokens of a subject are.
    pub(super) fn value_key(subject: &Subject, provider: &str) -> ValueKey {
        ValueKey::new(&subject.realm, "vault", &[&subject.name, provider])
    }
}

/// Where the renewal of tokens stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum State {
    #[serde(rename = "r")]
    Ready,
    /// An instance renews them, and the others wait until then.
    #[serde(rename = "l")]
    Leased { until: Timestamp },
    /// The provider failed. It is not asked before then.
    #[serde(rename = "p")]
    Paused { until: Timestamp },
    /// The refresh token is void. The access token may be valid for a while.
    #[serde(rename = "x")]
    Refused,
    /// The same, after a renewal that was interrupted.
    #[serde(rename = "i")]
    Interrupted,
}

/// The tokens as they are stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    #[serde(rename = "t")]
    pub(super) tokens: TokenSet,
    #[serde(rename = "s")]
    pub(super) state: State,
    /// When the tokens came from the provider.
    #[serde(rename = "o")]
    pub(super) obtained_at: Timestamp,
    /// Which answer of the provider they are. Drawn at random for each.
    #[serde(rename = "n")]
    pub(super) answer: u64,
    /// Whether a lease has expired without a result since these tokens came.
    #[serde(rename = "u", default)]
    pub(super) interrupted: bool,
    /// When the tokens of a subject are forgotten because of their age.
    #[serde(rename = "k", default)]
    pub(super) keep_until: Timestamp,
}

impl Kept {
    /// Whether the access token is used as it is: it stays valid for `margin`, or for half of its lifetime if that is
    /// shorter.
    pub(super) fn is_fresh(&self, now: Timestamp, margin: Duration) -> bool {
        let margin = |end: Timestamp| margin.min(end.since(self.obtained_at) / 2);
        self.tokens.expiry().is_none_or(|end| now + margin(end) < end)
    }

    /// Why the tokens cannot be renewed any more, if so.
    pub(super) fn lost(&self) -> Option<Lost> {
        match self.state {
            State::Refused => Some(Lost::Refused),
            State::Interrupted => Some(Lost::Interrupted),
            State::Ready | State::Leased { .. } | State::Paused { .. } => None,
        }
    }

    pub(super) fn sealed(
        &self,
        ring: &Keyring,
        owner: &Owner,
        provider: &str,
    ) -> Result<Vec<u8>, VaultError> {
        // Written into place, so that no copy of a part is left behind.
        let mut text = Zeroizing::new(Vec::with_capacity(2 * LONGEST));
        serde_json::to_writer(&mut *text, self).map_err(|_| VaultError::TooLong)?;
        if text.len() > LONGEST {
            return Err(VaultError::TooLong);
        }
        seal(ring, PURPOSE, &owner.associated(provider), &text).map_err(|_| VaultError::Sealing)
    }

    /// The tokens, and whether the signing key sealed them.
    pub(super) fn open(ring: &Keyring, owner: &Owner, provider: &str, sealed: &[u8]) -> Option<(Self, bool)> {
        let opened = open(ring, PURPOSE, &owner.associated(provider), sealed)?;
        Some((serde_json::from_slice(&opened.plaintext).ok()?, opened.by_signing_key))
    }
}
