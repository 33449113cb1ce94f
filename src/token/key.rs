//! One key: how it signs and verifies access tokens, and the HMAC key of its refresh tokens.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm,
    crypto::{JwtSigner, JwtVerifier},
};

use super::{
    error::{KeyError, MintError},
    hmac::HmacKey,
};

/// The two kinds of token. One is never accepted in place of the other: `typ`, key and claims differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// RFC 9068, section 2.1.
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

pub(super) type AccessSigner = Arc<dyn JwtSigner + Send + Sync>;
pub(super) type AccessVerifier = Arc<dyn JwtVerifier + Send + Sync>;

#[derive(Clone)]
pub(super) struct Key {
    pub(super) kid: String,
    signer: AccessSigner,
    verifier: AccessVerifier,
    pub(super) refresh: HmacKey,
    access_header: String,
    refresh_header: String,
}

impl Key {
    /// A key, once its signer and its verifier have proved to belong together. Otherwise the first sign-in
    /// would fail, or every signature would be accepted.
    pub(super) fn new(
        kid: String,
        signer: AccessSigner,
        verifier: AccessVerifier,
        refresh: HmacKey,
    ) -> Result<Self, KeyError> {
        let signature = signer.try_sign(b"a").map_err(|error| KeyError::SignerFailed(error.to_string()))?;
        if signer.algorithm() != verifier.algorithm()
            || verifier.verify(b"a", &signature).is_err()
            || verifier.verify(b"b", &signature).is_ok()
        {
            return Err(KeyError::VerifierMismatch);
        }
        let (access_header, refresh_header) = (String::new(), String::new());
        Ok(Self { kid, signer, verifier, refresh, access_header, refresh_header }.with_vouchers(""))
    }

    pub(super) fn with_kid(&self, kid: &str) -> Self {
        Self { kid: kid.to_owned(), ..self.clone() }.with_vouchers("")
    }

    /// This key, whose tokens name the keys that vouch for it.
    pub(super) fn with_vouchers(&self, vouchers: &str) -> Self {
        Self {
            access_header: self.written_header(Kind::Access, vouchers),
            refresh_header: self.written_header(Kind::Refresh, vouchers),
            ..self.clone()
        }
    }

    fn written_header(&self, kind: Kind, vouchers: &str) -> String {
        let vouch = if vouchers.is_empty() { String::new() } else { format!(r#","vouch":"{vouchers}""#) };
        // INVARIANT: `kid` and `vouchers` are base64url and an algorithm's name is that of its variant, so
        // nothing here needs escaping.
        let (alg, kid, typ) = (self.algorithm(kind), &self.kid, kind.typ());
        let json = format!(r#"{{"alg":"{alg:?}","kid":"{kid}","typ":"{typ}"{vouch}}}"#);
        URL_SAFE_NO_PAD.encode(json) + "."
    }

    /// The encoded header of this key's tokens, with its dot.
    pub(super) fn header(&self, kind: Kind) -> &str {
        match kind {
            Kind::Access => &self.access_header,
            Kind::Refresh => &self.refresh_header,
        }
    }

    pub(super) fn algorithm(&self, kind: Kind) -> Algorithm {
        self.signer(kind).algorithm()
    }

    pub(super) fn sign(&self, kind: Kind, message: &[u8]) -> Result<Vec<u8>, MintError> {
        self.signer(kind).try_sign(message).map_err(|error| MintError::Signing(Arc::new(error)))
    }

    pub(super) fn verify(&self, kind: Kind, message: &[u8], signature: &Vec<u8>) -> bool {
        match kind {
            Kind::Access => self.verifier.verify(message, signature).is_ok(),
            Kind::Refresh => {
                jsonwebtoken::signature::Verifier::verify(&self.refresh, message, signature).is_ok()
            }
        }
    }

    fn signer(&self, kind: Kind) -> &dyn JwtSigner {
        match kind {
            Kind::Access => &*self.signer,
            Kind::Refresh => &self.refresh,
        }
    }
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
