//! Ed25519 and ES256 keys from the text of a private key.

use std::sync::Arc;

use jsonwebtoken::{
    Algorithm,
    crypto::{JwtSigner, JwtVerifier},
};
use pkcs8::{PrivateKeyInfo, der::Decode as _};

#[cfg(feature = "aws_lc_rs")]
use super::aws_lc_rs::{Ed25519, Es256};
#[cfg(not(feature = "aws_lc_rs"))]
use super::rust_crypto::{Ed25519, Es256};
use super::{
    error::{KeyError, PemProblem},
    hmac::{self, HmacKey},
    key::Key,
    pem::{self, Wanted},
};

impl JwtSigner for Ed25519 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

impl JwtVerifier for Ed25519 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

impl JwtSigner for Es256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::ES256
    }
}

impl JwtVerifier for Es256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::ES256
    }
}

pub(super) fn ed25519(text: &str) -> Result<Key, KeyError> {
    let wanted = Wanted::Ed25519;
    let not_pkcs8 = || wanted.error(PemProblem::NotPkcs8);
    let der = pem::der(text, wanted)?;
    let info = PrivateKeyInfo::from_der(&der).map_err(|_| not_pkcs8())?;
    pem::check_kind(&info, wanted)?;
    // RFC 8410, section 7: an octet string of 32 bytes within the private key's octet string.
    let [0x04, 0x20, seed @ ..] = info.private_key else { return Err(not_pkcs8()) };
    key(Ed25519::from_pkcs8(&der).ok_or_else(not_pkcs8)?, seed, wanted)
}

pub(super) fn es256(text: &str) -> Result<Key, KeyError> {
    let wanted = Wanted::P256;
    let not_pkcs8 = || wanted.error(PemProblem::NotPkcs8);
    let der = pem::der(text, wanted)?;
    pem::check_kind(&PrivateKeyInfo::from_der(&der).map_err(|_| not_pkcs8())?, wanted)?;
    let pair = Es256::from_pkcs8(&der).ok_or_else(not_pkcs8)?;
    let scalar = pair.secret().ok_or_else(not_pkcs8)?;
    key(pair, &scalar, wanted)
}

/// The key of `pair`, whose raw 32-byte seed or scalar is `secret`.
fn key(
    pair: impl JwtSigner + JwtVerifier + Send + Sync + 'static,
    secret: &[u8],
    wanted: Wanted,
) -> Result<Key, KeyError> {
    if secret.len() != 32 {
        return Err(wanted.error(PemProblem::NotPkcs8));
    }
    let pair = Arc::new(pair);
    Key::new(hmac::key_id(secret)?, pair.clone(), pair, HmacKey::for_refresh(secret)?)
        .map_err(|_| wanted.error(PemProblem::Inconsistent))
}
