//! Ed25519 and ES256 keys from the text of a private key.

use pkcs8::{PrivateKeyInfo, der::Decode as _};

#[cfg(feature = "aws_lc_rs")]
use super::aws_lc_rs as backend;
#[cfg(not(feature = "aws_lc_rs"))]
use super::rust_crypto as backend;
use super::{
    error::KeyError,
    hmac::{self, HmacKey},
    key::{AccessKey, Key},
    pem::{self, Wanted},
};

pub(super) fn ed25519(text: &str) -> Result<Key, KeyError> {
    let wanted = Wanted::Ed25519;
    let not_pkcs8 = || wanted.error(pem::NOT_PKCS8);
    let der = pem::der(text, wanted)?;
    let info = PrivateKeyInfo::from_der(&der).map_err(|_| not_pkcs8())?;
    pem::check_kind(&info, wanted)?;
    // RFC 8410, section 7: an octet string of 32 bytes within the private key's octet string.
    let [0x04, 0x20, seed @ ..] = info.private_key else { return Err(not_pkcs8()) };
    key(backend::ed25519(&der).ok_or_else(not_pkcs8)?, seed, wanted)
}

pub(super) fn es256(text: &str) -> Result<Key, KeyError> {
    let wanted = Wanted::P256;
    let not_pkcs8 = || wanted.error(pem::NOT_PKCS8);
    let der = pem::der(text, wanted)?;
    pem::check_kind(&PrivateKeyInfo::from_der(&der).map_err(|_| not_pkcs8())?, wanted)?;
    let (access, scalar) = backend::es256(&der).ok_or_else(not_pkcs8)?;
    key(access, &scalar, wanted)
}

/// The key whose raw 32-byte seed or scalar is `secret`.
fn key(access: AccessKey, secret: &[u8], wanted: Wanted) -> Result<Key, KeyError> {
    if secret.len() != 32 {
        return Err(wanted.error(pem::NOT_PKCS8));
    }
    Key::new(hmac::key_id(secret)?, access, HmacKey::for_refresh(secret)?)
        .map_err(|_| wanted.error(pem::INCONSISTENT))
}
