//! Ed25519, ES256 and AES-256-GCM by RustCrypto. A key is parsed once.

#[cfg(feature = "vault")]
use aes_gcm::{Aes256Gcm, KeyInit as _, aead::AeadInOut as _};
use ed25519_dalek::pkcs8::DecodePrivateKey as _;
use jsonwebtoken::{
    Algorithm,
    signature::{Signer as _, Verifier as _},
};
use zeroize::Zeroizing;

use super::key::AccessKey;

pub(super) fn ed25519(pkcs8: &[u8]) -> Option<AccessKey> {
    let private = ed25519_dalek::SigningKey::from_pkcs8_der(pkcs8).ok()?;
    let public = private.verifying_key();
    Some(AccessKey::from_fns(
        Algorithm::EdDSA,
        move |message| Ok(private.try_sign(message)?.to_vec()),
        move |message, signature| public.verify(message, &ed25519_dalek::Signature::from_slice(signature)?),
    ))
}

/// The key, and its private scalar.
pub(super) fn es256(pkcs8: &[u8]) -> Option<(AccessKey, Zeroizing<Vec<u8>>)> {
    use p256::ecdsa::{Signature, SigningKey};

    let private = SigningKey::from_pkcs8_der(pkcs8).ok()?;
    let (public, scalar) = (*private.verifying_key(), Zeroizing::new(private.to_bytes().to_vec()));
    let key = AccessKey::from_fns(
        Algorithm::ES256,
        move |message| {
            let signature: Signature = private.try_sign(message)?;
            Ok(signature.to_vec())
        },
        move |message, signature| public.verify(message, &Signature::from_slice(signature)?),
    );
    Some((key, scalar))
}

/// AES-256-GCM in place; returns the tag. A key and a nonce are used together for one message only.
#[cfg(feature = "vault")]
pub(super) fn encrypt(
    key: &[u8; 32],
    nonce: &[u8; 12],
    associated: &[u8],
    text: &mut [u8],
) -> Option<[u8; 16]> {
    let cipher = Aes256Gcm::new(key.into());
    cipher.encrypt_inout_detached(nonce.into(), associated, text.into()).ok().map(Into::into)
}

/// The reverse of [`encrypt`]. `None` if any part differs.
#[cfg(feature = "vault")]
pub(super) fn decrypt(
    key: &[u8; 32],
    nonce: &[u8; 12],
    associated: &[u8],
    text: &[u8],
    tag: &[u8; 16],
) -> Option<Zeroizing<Vec<u8>>> {
    let mut plain = Zeroizing::new(text.to_vec());
    let cipher = Aes256Gcm::new(key.into());
    cipher.decrypt_inout_detached(nonce.into(), associated, (&mut **plain).into(), tag.into()).ok()?;
    Some(plain)
}
