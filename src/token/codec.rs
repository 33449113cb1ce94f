//! The keys and settings for minting and verifying tokens.

use std::{sync::Arc, time::Duration};

use super::{
    keyring::{KeyTerm, Keyring},
    steps::KeyChange,
};
use crate::time::{Clock, millis};

/// Mints and verifies the tokens of one realm.
#[derive(Clone, Debug)]
pub(crate) struct TokenCodec {
    pub(super) ring: Keyring,
    pub(super) realm: Arc<str>,
    pub(super) audience: Arc<str>,
    pub(super) issuer: Option<Arc<str>>,
    /// The longest time from `iat` to `exp` of an access token, in milliseconds.
    pub(super) longest_access: u64,
    /// `aud` of tokens for this service. Set only in a layer that only verifies.
    #[cfg(feature = "verify")]
    pub(super) service: Option<Arc<str>>,
    /// Whether access tokens of sessions are accepted.
    #[cfg(feature = "verify")]
    pub(super) sessions: bool,
}

impl TokenCodec {
    /// `longest_access`: the longest time from `iat` to `exp` of an access token.
    pub(crate) fn new(ring: Keyring, realm: Arc<str>, longest_access: Duration) -> Self {
        Self {
            ring,
            audience: realm.clone(),
            realm,
            issuer: None,
            longest_access: millis(longest_access),
            #[cfg(feature = "verify")]
            service: None,
            #[cfg(feature = "verify")]
            sessions: true,
        }
    }

    /// The `aud` of access tokens.
    #[cfg(feature = "oauth")]
    pub(crate) fn audience(&self) -> &str {
        &self.audience
    }

    /// The `iss` of access tokens.
    #[cfg(any(feature = "jwks", feature = "oauth"))]
    pub(crate) fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// The keys in force.
    #[cfg(any(feature = "oidc", feature = "vault"))]
    pub(crate) fn keys(&self) -> &Keyring {
        &self.ring
    }

    pub(crate) fn with_audience(self, audience: Arc<str>) -> Self {
        Self { audience, ..self }
    }

    pub(crate) fn with_issuer(self, issuer: Arc<str>) -> Self {
        Self { issuer: Some(issuer), ..self }
    }

    /// Puts the keys in force, by this clock. `longest` is the longest lifetime of a token: one absolute timeout and
    /// one grace period.
    pub(crate) fn with_term(self, clock: Arc<dyn Clock>, longest: Duration) -> Self {
        let (ring, _) = self.ring.clone().in_force(&self.ring, &KeyTerm { clock, longest });
        Self { ring, ..self }
    }

    /// Replaces the keys. Keys that are not in `ring` are pulled.
    pub(crate) fn with_keys(&self, ring: Keyring) -> (Self, KeyChange) {
        let (ring, change) = match &self.ring.term {
            Some(term) => ring.in_force(&self.ring, term),
            None => (ring, KeyChange::default()),
        };
        (Self { ring, ..self.clone() }, change)
    }

    /// The keys in force.
    pub(crate) fn ring(&self) -> &Keyring {
        &self.ring
    }
}

/// Whether this crate may have minted a token with these claims. In tokens of this crate, the subject is never empty,
/// and the expiry is never before the time of issue.
pub(super) const fn could_be_ours(subject: &str, iat: u64, exp: u64) -> bool {
    !subject.is_empty() && iat <= exp
}
