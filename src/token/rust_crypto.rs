//! Ed25519, ES256 and AES-256-GCM by RustCrypto. RS256 and PS256, for verification only. A key is parsed once.
//!
//! The advisory RUSTSEC-2023-0071 of the crate `rsa` is about the timing of operations with a private key. This module
//! gives only public keys to `rsa`.

use aes_gcm::{Aes256Gcm, KeyInit as _, aead::AeadInOut as _};
use ed25519_dalek::pkcs8::DecodePrivateKey as _;
use jsonwebtoken::{
    Algorithm,
    signature::{Signer as _, Verifier as _},
};
use zeroize::Zeroizing;

use super::{
    access_key::{self, AccessKey, DynVerifier},
    public_parts::{LONGEST_RSA_BITS, Parts},
};

/// The verifier of a public key. Returns `None` if the numbers make no key of the algorithm.
pub(super) fn public(algorithm: Algorithm, parts: &Parts) -> Option<DynVerifier> {
    let rsa_key = |n: &[u8], e: &[u8]| {
        let [n, e] = [n, e].map(rsa::BigUint::from_bytes_be);
        rsa::RsaPublicKey::new_with_max_size(n, e, LONGEST_RSA_BITS).ok()
    };
    Some(match (algorithm, parts) {
        (Algorithm::EdDSA, Parts::Ed25519(point)) => {
            let key = ed25519_dalek::VerifyingKey::from_bytes(point).ok()?;
            access_key::verifier(algorithm, move |message, signature| {
                key.verify(message, &ed25519_dalek::Signature::from_slice(signature)?)
            })
        }
        (Algorithm::ES256, Parts::P256 { .. }) => {
            let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&parts.sec1()?).ok()?;
            access_key::verifier(algorithm, move |message, signature| {
                key.verify(message, &p256::ecdsa::Signature::from_slice(signature)?)
            })
        }
        (Algorithm::RS256, Parts::Rsa { n, e }) => {
            let key = rsa::pkcs1v15::VerifyingKey::<rsa::sha2::Sha256>::new(rsa_key(n, e)?);
            access_key::verifier(algorithm, move |message, signature| {
                key.verify(message, &rsa::pkcs1v15::Signature::try_from(signature)?)
            })
        }
        (Algorithm::PS256, Parts::Rsa { n, e }) => {
            let key = rsa::pss::VerifyingKey::<rsa::sha2::Sha256>::new(rsa_key(n, e)?);
            access_key::verifier(algorithm, move |message, signature| {
                key.verify(message, &rsa::pss::Signature::try_from(signature)?)
            })
        }
        _ => return None,
    })
}

/// Reads an Ed25519 key in PKCS#8. Also returns its public numbers.
pub(super) fn ed25519(pkcs8: &[u8]) -> Option<(AccessKey, Parts)> {
    let private = ed25519_dalek::SigningKey::from_pkcs8_der(pkcs8).ok()?;
    let public = private.verifying_key();
    let parts = Parts::Ed25519(public.to_bytes());
    let key = AccessKey::from_fns(
        Algorithm::EdDSA,
        move |message| Ok(private.try_sign(message)?.to_vec()),
        move |message, signature| public.verify(message, &ed25519_dalek::Signature::from_slice(signature)?),
    );
    Some((key, parts))
}

/// Reads a P-256 key in PKCS#8. Also returns its private scalar and its public numbers.
pub(super) fn es256(pkcs8: &[u8]) -> Option<(AccessKey, Zeroizing<Vec<u8>>, Parts)> {
    use p256::ecdsa::{Signature, SigningKey};

    let private = SigningKey::from_pkcs8_der(pkcs8).ok()?;
    let (public, scalar) = (*private.verifying_key(), Zeroizing::new(private.to_bytes().to_vec()));
    let parts = Parts::from_sec1(public.to_encoded_point(false).as_bytes())?;
    let key = AccessKey::from_fns(
        Algorithm::ES256,
        move |message| {
            let signature: Signature = private.try_sign(message)?;
            Ok(signature.to_vec())
        },
        move |message, signature| public.verify(message, &Signature::from_slice(signature)?),
    );
    Some((key, scalar, parts))
}

/// Encrypts `text` in place with AES-256-GCM, and returns the tag. The caller must use a pair of key and nonce for one
/// message only.
pub(super) fn encrypt(
    key: &[u8; 32],
    nonce: &[u8; 12],
    associated: &[u8],
    text: &mut [u8],
) -> Option<[u8; 16]> {
    let cipher = Aes256Gcm::new(key.into());
    cipher.encrypt_inout_detached(nonce.into(), associated, text.into()).ok().map(Into::into)
}

/// Decrypts the result of [`encrypt`]. Returns `None` if any argument differs.
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
