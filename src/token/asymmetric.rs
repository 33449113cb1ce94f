//! Ed25519 and ES256 keys from the text or the numbers of a private key.

use pkcs8::{PrivateKeyInfo, der::Decode as _};
use zeroize::Zeroizing;

#[cfg(feature = "aws_lc_rs")]
use super::aws_lc_rs as backend;
#[cfg(not(feature = "aws_lc_rs"))]
use super::rust_crypto as backend;
use super::{
    access_key::AccessKey,
    error::KeyError,
    hmac::HmacKey,
    key::Key,
    pem::{self, Wanted},
    public_key::PublicKey,
    public_parts::Parts,
};

pub(super) fn ed25519(text: &str) -> Result<Key, KeyError> {
    let wanted = Wanted::Ed25519;
    let not_pkcs8 = || wanted.error(pem::NOT_PKCS8);
    let der = pem::der(text, wanted)?;
    let info = PrivateKeyInfo::from_der(&der).map_err(|_| not_pkcs8())?;
    pem::check_kind(&info, wanted)?;
    // RFC 8410, section 7: the private key's octet string contains an octet string of 32 bytes, the seed.
    let [0x04, 0x20, seed @ ..] = info.private_key else { return Err(not_pkcs8()) };
    let (access, parts) = backend::ed25519(&der).ok_or_else(not_pkcs8)?;
    key(access, seed, parts).ok_or_else(|| wanted.error(pem::INCONSISTENT))
}

pub(super) fn es256(text: &str) -> Result<Key, KeyError> {
    let wanted = Wanted::P256;
    let not_pkcs8 = || wanted.error(pem::NOT_PKCS8);
    let der = pem::der(text, wanted)?;
    pem::check_kind(&PrivateKeyInfo::from_der(&der).map_err(|_| not_pkcs8())?, wanted)?;
    let (access, scalar, parts) = backend::es256(&der).ok_or_else(not_pkcs8)?;
    key(access, &scalar, parts).ok_or_else(|| wanted.error(pem::INCONSISTENT))
}

/// The start of an Ed25519 key in PKCS#8 (RFC 8410, section 7), up to its seed.
const ED25519: &[u8] = &[0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
/// The start of a P-256 key in PKCS#8 (RFC 5915), up to its scalar.
const P256: &[u8] = &[
    0x30, 0x81, 0x87, 2, 1, 0, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48,
    0xce, 0x3d, 3, 1, 7, 4, 0x6d, 0x30, 0x6b, 2, 1, 1, 4, 0x20,
];
/// The bytes of the P-256 key between the scalar and the public point.
const P256_POINT: &[u8] = &[0xa1, 0x44, 3, 0x42, 0, 4];

/// Makes the Ed25519 key with this seed. Returns `None` if `x` is not the public key of the seed.
pub(super) fn ed25519_of(seed: &[u8; 32], x: &[u8; 32]) -> Option<Key> {
    let der = Zeroizing::new([ED25519, seed].concat());
    let (access, parts) = backend::ed25519(&der)?;
    if parts == Parts::Ed25519(*x) { key(access, seed, parts) } else { None }
}

/// Makes the P-256 key with this scalar. Returns `None` if `x` and `y` are not the public key of the scalar.
pub(super) fn es256_of(scalar: &[u8; 32], x: &[u8; 32], y: &[u8; 32]) -> Option<Key> {
    let der = Zeroizing::new([P256, scalar, P256_POINT, x, y].concat());
    let (access, _, parts) = backend::es256(&der)?;
    if parts == (Parts::P256 { x: *x, y: *y }) { key(access, scalar, parts) } else { None }
}

/// Makes the key whose raw seed or scalar of 32 bytes is `secret`. The key's name is the thumbprint of its public key.
fn key(access: AccessKey, secret: &[u8], parts: Parts) -> Option<Key> {
    let secret = <&[u8; 32]>::try_from(secret).ok()?;
    let public = PublicKey::new(None, parts.default_algorithm(), parts).ok()?;
    let refresh = HmacKey::for_refresh(secret).ok()?;
    Key::new(public.kid().to_owned(), access, refresh).ok()?.with_public(public)
}
