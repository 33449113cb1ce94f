//! One key: how it signs and verifies access tokens, and the HMAC key of its refresh tokens.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, signature::Error};

use super::{
    access_key::AccessKey,
    error::{KeyError, MintError},
    hmac::HmacKey,
};
#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
use super::{name::checked, public_key::PublicKey};
use crate::time::Timestamp;

/// The two kinds of token. A token of one kind is never accepted as the other kind, because `typ`, key and claims
/// differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An access token (RFC 9068, section 2.1).
    Access,
    Refresh,
}

impl Kind {
    pub(super) const fn typ(self) -> &'static str {
        match self {
            Self::Access => "at+jwt",
            Self::Refresh => "rt+jwt",
        }
    }
}

/// The step of a key in a [`Keyring`](crate::Keyring).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyStep {
    /// The key verifies tokens, and does not sign.
    Published,
    /// The key signs. Exactly one key of a ring signs.
    Signing,
    /// The key verifies until the last of its tokens has expired.
    Retired,
}

#[derive(Clone)]
pub(super) struct Key {
    pub(super) kid: String,
    pub(super) step: KeyStep,
    /// When the step began. Before the ring is in force, only a JWK Set with `since` sets this time.
    pub(super) since: Option<Timestamp>,
    access: AccessKey,
    /// `None` for a public key, which verifies access tokens only.
    pub(super) refresh: Option<HmacKey>,
    /// `None` for a secret, and for a custom signer whose public key the application does not name.
    #[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
    public: Option<PublicKey>,
    access_header: String,
    refresh_header: String,
}

impl Key {
    /// Makes a key. Checks that the signer and the verifier belong together. Without this check, the first sign-in
    /// could fail, or every signature could be accepted.
    pub(super) fn new(kid: String, access: AccessKey, refresh: HmacKey) -> Result<Self, KeyError> {
        if let AccessKey { signer: Some(signer), verifier } = &access {
            let signature =
                signer.try_sign(b"a").map_err(|error| KeyError::SignerFailed(error.to_string()))?;
            if signer.algorithm() != verifier.algorithm()
                || verifier.verify(b"a", &signature).is_err()
                || verifier.verify(b"b", &signature).is_ok()
            {
                return Err(KeyError::VerifierMismatch);
            }
        }
        let (access_header, refresh_header) = (String::new(), String::new());
        let (step, since, refresh) = (KeyStep::Signing, None, Some(refresh));
        let key = Self {
            kid,
            step,
            since,
            access,
            refresh,
            #[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
            public: None,
            access_header,
            refresh_header,
        };
        Ok(key.with_vouchers(""))
    }

    /// A key that is a public key. It verifies access tokens only.
    #[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
    pub(super) fn public(public: PublicKey) -> Result<Self, KeyError> {
        let key = Self {
            kid: checked(public.kid())?.to_owned(),
            step: KeyStep::Published,
            since: None,
            access: AccessKey { signer: None, verifier: public.verifier() },
            refresh: None,
            public: Some(public),
            access_header: String::new(),
            refresh_header: String::new(),
        };
        Ok(key.with_vouchers(""))
    }

    /// This key together with its public key. Returns `None` if the public key does not verify what this key signs.
    #[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
    pub(super) fn with_public(self, public: PublicKey) -> Option<Self> {
        let signature = self.access.signer.as_ref()?.try_sign(b"a").ok()?;
        let is_same = public.algorithm() == self.algorithm(Kind::Access) && public.verify(b"a", &signature);
        is_same.then_some(Self { public: Some(public), ..self })
    }

    /// The public key as a JWK, with this key's name.
    #[cfg(all(feature = "jwks", any(feature = "aws_lc_rs", feature = "rust_crypto")))]
    pub(super) fn jwk(&self) -> Option<String> {
        Some(self.public.clone()?.with_kid(&self.kid).ok()?.to_jwk())
    }

    #[cfg(all(feature = "jwks", not(any(feature = "aws_lc_rs", feature = "rust_crypto"))))]
    #[expect(clippy::unused_self, reason = "there are secrets only")]
    pub(super) fn jwk(&self) -> Option<String> {
        None
    }

    /// Values that identify the key without its name. Two keys with a common value are the same key under two names.
    pub(super) fn identity(&self) -> impl Iterator<Item = Vec<u8>> {
        let of_secret =
            self.refresh.as_ref().map(|key| key.sign(b"tower-sliding-sessions identity ").to_vec());
        #[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
        let of_public = self.public.as_ref().map(|key| key.thumbprint().into_bytes());
        #[cfg(not(any(feature = "aws_lc_rs", feature = "rust_crypto")))]
        let of_public = None;
        of_secret.into_iter().chain(of_public)
    }

    /// This key at another step.
    pub(super) fn at_step(&self, step: KeyStep) -> Self {
        Self { step, since: None, ..self.clone() }
    }

    pub(super) fn in_step_since(&self, since: Option<Timestamp>) -> Self {
        Self { since, ..self.clone() }
    }

    pub(super) fn can_sign(&self) -> bool {
        self.access.signer.is_some() && self.refresh.is_some()
    }

    pub(super) fn with_kid(&self, kid: &str) -> Self {
        Self { kid: kid.to_owned(), ..self.clone() }.with_vouchers("")
    }

    /// This key with `vouchers`: its tokens contain the vouchers of other keys for this key.
    pub(super) fn with_vouchers(&self, vouchers: &str) -> Self {
        Self {
            access_header: self.written_header(Kind::Access, vouchers),
            refresh_header: self.written_header(Kind::Refresh, vouchers),
            ..self.clone()
        }
    }

    fn written_header(&self, kind: Kind, vouchers: &str) -> String {
        let vouch = if vouchers.is_empty() { String::new() } else { format!(r#","vouch":"{vouchers}""#) };
        // INVARIANT: nothing here needs escaping. `kid` and `vouchers` are base64url characters, and an algorithm's
        // name is the name of its variant.
        let (alg, kid, typ) = (self.algorithm(kind), &self.kid, kind.typ());
        let json = format!(r#"{{"alg":"{alg:?}","kid":"{kid}","typ":"{typ}"{vouch}}}"#);
        URL_SAFE_NO_PAD.encode(json) + "."
    }

    /// The encoded header of this key's tokens, including the dot after the header.
    pub(super) fn header(&self, kind: Kind) -> &str {
        match kind {
            Kind::Access => &self.access_header,
            Kind::Refresh => &self.refresh_header,
        }
    }

    pub(super) fn algorithm(&self, kind: Kind) -> Algorithm {
        match kind {
            Kind::Access => self.access.verifier.algorithm(),
            Kind::Refresh => Algorithm::HS256,
        }
    }

    pub(super) fn sign_access(&self, message: &[u8]) -> Result<Vec<u8>, MintError> {
        let signer = self.access.signer.as_ref().ok_or_else(is_public)?;
        signer.try_sign(message).map_err(|error| MintError::Signing(Arc::new(error)))
    }

    pub(super) fn sign_refresh(&self, message: &[u8]) -> Result<[u8; 32], MintError> {
        Ok(self.refresh.as_ref().ok_or_else(is_public)?.sign(message))
    }

    /// Verifies an access token's signature. The signature is a `Vec`, because the verifiers of jsonwebtoken take a
    /// `Vec`.
    pub(super) fn verify_access(&self, message: &[u8], signature: &Vec<u8>) -> bool {
        self.access.verifier.verify(message, signature).is_ok()
    }

    pub(super) fn verify_refresh(&self, message: &[u8], signature: &[u8]) -> bool {
        self.refresh.as_ref().is_some_and(|key| key.verify(message, signature))
    }
}

fn is_public() -> MintError {
    MintError::Signing(Arc::new(Error::from_source("it is a public key")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_name_of_each_algorithm_is_its_name_in_jose() {
        use Algorithm::{ES256, ES384, EdDSA, HS256, HS384, HS512, PS256, PS384, PS512, RS256, RS384, RS512};
        for algorithm in [ES256, ES384, EdDSA, HS256, HS384, HS512, PS256, PS384, PS512, RS256, RS384, RS512]
        {
            assert_eq!(format!("{algorithm:?}").parse::<Algorithm>().ok(), Some(algorithm));
        }
    }
}
