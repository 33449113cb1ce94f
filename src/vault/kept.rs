//! The stored value: the tokens and the state of their renewal, sealed for their owner.

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

/// The longest JSON of the tokens and their state, in bytes, before it is sealed.
const LONGEST: usize = 64 * 1024;
const PURPOSE: &str = "vault";

/// The session or the subject that the tokens belong to.
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

    /// The associated data of the sealed value. It binds the value to this owner and this provider: the value does not
    /// open for others.
    fn associated(&self, provider: &str) -> Vec<u8> {
        let Subject { realm, name } = self.subject();
        let (kind, id) = match self {
            Self::Session(key) => (&b"session"[..], &key.id.as_bytes()[..]),
            Self::Subject(_) => (&b"subject"[..], &[][..]),
        };
        let parts = [kind, realm.as_bytes(), name.as_bytes(), id, provider.as_bytes()];
        parts.iter().flat_map(|part| [&(part.len() as u64).to_be_bytes()[..], part].concat()).collect()
    }

    /// The key in the store for the tokens of a subject.
    pub(super) fn value_key(subject: &Subject, provider: &str) -> ValueKey {
        ValueKey::new(&subject.realm, "vault", &[&subject.name, provider])
    }
}

/// The state of the renewal of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum State {
    #[serde(rename = "r")]
    Ready,
    /// An instance is renewing the tokens. Other instances wait until this time.
    #[serde(rename = "l")]
    Leased { until: Timestamp },
    /// The provider failed. Do not ask the provider before this time.
    #[serde(rename = "p")]
    Paused { until: Timestamp },
    /// The provider refused the refresh token. The access token may still be valid for a while.
    #[serde(rename = "x")]
    Refused,
    /// The provider refused the refresh token after an interrupted renewal.
    #[serde(rename = "i")]
    Interrupted,
}

/// The tokens as they are stored, with the state of their renewal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    #[serde(rename = "t")]
    pub(super) tokens: TokenSet,
    #[serde(rename = "s")]
    pub(super) state: State,
    /// When the vault got the tokens, from the provider or from the application.
    #[serde(rename = "o")]
    pub(super) obtained_at: Timestamp,
    /// A random number that identifies the provider's answer with these tokens. Each answer has another number.
    #[serde(rename = "n")]
    pub(super) answer: u64,
    /// Whether a renewal of these tokens was interrupted: a lease expired without a result, or the provider did not
    /// answer.
    #[serde(rename = "u", default)]
    pub(super) interrupted: bool,
    /// When tokens that are kept with a subject are deleted because of their age.
    #[serde(rename = "k", default)]
    pub(super) keep_until: Timestamp,
}

impl Kept {
    /// Whether the access token need not be renewed: it stays valid for longer than `margin`, or than half of its
    /// lifetime if this is shorter.
    pub(super) fn is_fresh(&self, now: Timestamp, margin: Duration) -> bool {
        let margin = |end: Timestamp| margin.min(end.since(self.obtained_at) / 2);
        self.tokens.expiry().is_none_or(|end| now + margin(end) < end)
    }

    /// Why the tokens cannot be renewed any more. `None` if they can be renewed.
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
        // The JSON is written directly into this buffer, which is large enough. So no copy of a part stays in memory.
        let mut text = Zeroizing::new(Vec::with_capacity(2 * LONGEST));
        serde_json::to_writer(&mut *text, self).map_err(|_| VaultError::TooLong)?;
        if text.len() > LONGEST {
            return Err(VaultError::TooLong);
        }
        seal(ring, PURPOSE, &owner.associated(provider), &text).map_err(|_| VaultError::Sealing)
    }

    /// Opens a sealed value. Also returns whether the signing key sealed the value.
    pub(super) fn open(ring: &Keyring, owner: &Owner, provider: &str, sealed: &[u8]) -> Option<(Self, bool)> {
        let opened = open(ring, PURPOSE, &owner.associated(provider), sealed)?;
        Some((serde_json::from_slice(&opened.plaintext).ok()?, opened.by_signing_key))
    }
}
