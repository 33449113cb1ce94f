//! Access and refresh tokens: how they are minted, and what a verified one says.
//!
//! A verified token can only come from here. Whether it is in time is for the protocol to judge:
//! "expired" is a state of a good token, not an error.

mod access;
#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
mod asymmetric;
mod json;
mod jws;
mod key_error;
mod keyring;
#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
mod pem;
mod refresh;
mod secret;

pub(crate) use self::{
    access::{AccessClaims, AccessToken},
    refresh::RefreshClaims,
};
pub use self::{
    jws::{InvalidToken, MintError},
    key_error::{KeyError, PemProblem},
    keyring::Keyring,
};

use std::{sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use crate::time::millis;

/// The application's claims as JSON, as tokens have them: no object names a member twice. And the claims
/// as they are read back from it: what is written and cannot be read would refuse every later request.
pub(crate) fn write_claims<C: Serialize + DeserializeOwned>(claims: &C) -> Result<(String, C), MintError> {
    read_back(serde_json::to_string(claims).map_err(|error| MintError::NotJson(Arc::new(error)))?)
}

/// The same, for claims that must fit into a token. That is found out before anything else is.
pub(crate) fn write_short_claims<C: Serialize + DeserializeOwned>(
    claims: &C,
) -> Result<(String, C), MintError> {
    let json = serde_json::to_string(claims).map_err(|error| MintError::NotJson(Arc::new(error)))?;
    if json.len() > LONGEST_TOKEN {
        return Err(MintError::TooLong(json.len().saturating_mul(4).div_ceil(3)));
    }
    read_back(json)
}

fn read_back<C: DeserializeOwned>(json: String) -> Result<(String, C), MintError> {
    if json.starts_with(['{', '[']) && !json::members_are_unique(&json) {
        return Err(MintError::DuplicateMember);
    }
    let claims = serde_json::from_str(&json).map_err(|error| MintError::NotReadable(Arc::new(error)))?;
    Ok((json, claims))
}

/// Whether this crate can have minted a token that says this: a subject is never empty, and no token
/// ends before it begins.
const fn could_be_ours(subject: &str, iat: u64, exp: u64) -> bool {
    !subject.is_empty() && iat <= exp
}

/// The longest token that is looked at, in bytes.
pub(crate) const LONGEST_TOKEN: usize = 4096;

/// Mints and verifies the tokens of one realm.
#[derive(Clone, Debug)]
pub(crate) struct TokenCodec {
    ring: Keyring,
    realm: Arc<str>,
    audience: Arc<str>,
    issuer: Option<Arc<str>>,
    access_ttl: Duration,
    /// From `iat` to `exp`, at most, in milliseconds.
    longest_access: u64,
}

impl TokenCodec {
    /// TokenCodec leave within `write_window` of when their session was read.
    pub(crate) fn new(ring: Keyring, realm: Arc<str>, access_ttl: Duration, write_window: Duration) -> Self {
        let longest_access = millis(access_ttl).saturating_add(millis(write_window));
        Self { ring, audience: realm.clone(), realm, issuer: None, access_ttl, longest_access }
    }

    /// `aud` of access tokens.
    #[cfg(feature = "axum")]
    pub(crate) fn audience(&self) -> &str {
        &self.audience
    }

    /// `iss` of access tokens.
    #[cfg(feature = "axum")]
    pub(crate) fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    pub(crate) fn with_audience(self, audience: Arc<str>) -> Self {
        Self { audience, ..self }
    }

    pub(crate) fn with_issuer(self, issuer: Arc<str>) -> Self {
        Self { issuer: Some(issuer), ..self }
    }

    /// The same, with other keys. What the ring of before had and this one has not is gone for good.
    pub(crate) fn with_keys(&self, ring: Keyring) -> Self {
        Self { ring: ring.after(&self.ring), ..self.clone() }
    }
}
