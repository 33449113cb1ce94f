//! Ed25519, ES256 and AES-256-GCM by AWS-LC. RS256 and PS256, for verification only. A key is parsed once.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, UnboundKey};
use aws_lc_rs::{
    encoding::AsBigEndian as _,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair,
        KeyPair as _, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
        VerificationAlgorithm,
    },
};
use jsonwebtoken::{Algorithm, signature::Error};
use zeroize::Zeroizing;

use super::{
    access_key::{self, AccessKey, DynVerifier},
    public_parts::Parts,
    spki,
};

/// The verifier of a public key. Returns `None` if the numbers make no key of the algorithm.
pub(super) fn public(algorithm: Algorithm, parts: &Parts) -> Option<DynVerifier> {
    let (by, key): (&'static dyn VerificationAlgorithm, _) = match (algorithm, parts) {
        (Algorithm::EdDSA, Parts::Ed25519(point)) => (&ED25519, point.to_vec()),
        (Algorithm::ES256, Parts::P256 { .. }) => (&ECDSA_P256_SHA256_FIXED, parts.sec1()?),
        (Algorithm::RS256, Parts::Rsa { n, e }) => (&RSA_PKCS1_2048_8192_SHA256, spki::pkcs1(n, e)?),
        (Algorithm::PS256, Parts::Rsa { n, e }) => (&RSA_PSS_2048_8192_SHA256, spki::pkcs1(n, e)?),
        _ => return None,
    };
    let key = ParsedPublicKey::new(by, key).ok()?;
    Some(access_key::verifier(algorithm, move |message, signature| {
        key.verify_sig(message, signature).map_err(|_| Error::new())
    }))
}

/// Reads an Ed25519 key in PKCS#8. Also returns its public numbers.
pub(super) fn ed25519(pkcs8: &[u8]) -> Option<(AccessKey, Parts)> {
    let private = Ed25519KeyPair::from_pkcs8(pkcs8).ok()?;
    let public = ParsedPublicKey::new(&ED25519, private.public_key()).ok()?;
    let parts = Parts::Ed25519(private.public_key().as_ref().try_into().ok()?);
    let key = AccessKey::from_fns(
        Algorithm::EdDSA,
        move |message| Ok(private.try_sign(message).map_err(Error::from_source)?.as_ref().to_vec()),
        move |message, signature| public.verify_sig(message, signature).map_err(|_| Error::new()),
    );
    Some((key, parts))
}

/// Reads a P-256 key in PKCS#8. Also returns its private scalar and its public numbers.
pub(super) fn es256(pkcs8: &[u8]) -> Option<(AccessKey, Zeroizing<Vec<u8>>, Parts)> {
    let private = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).ok()?;
    let public = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, private.public_key()).ok()?;
    let parts = Parts::from_sec1(private.public_key().as_ref())?;
    let scalar = Zeroizing::new(private.private_key().as_be_bytes().ok()?.as_ref().to_vec());
    let key = AccessKey::from_fns(
        Algorithm::ES256,
        move |message| {
            let signature = private.sign(&SystemRandom::new(), message).map_err(Error::from_source)?;
            Ok(signature.as_ref().to_vec())
        },
        move |message, signature| public.verify_sig(message, signature).map_err(|_| Error::new()),
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
    let tag = aes_256_gcm(key)?.seal_in_place_separate_tag(nonce.into(), Aad::from(associated), text).ok()?;
    tag.as_ref().try_into().ok()
}

/// Decrypts the result of [`encrypt`]. Returns `None` if any argument differs.
pub(super) fn decrypt(
    key: &[u8; 32],
    nonce: &[u8; 12],
    associated: &[u8],
    text: &[u8],
    tag: &[u8; 16],
) -> Option<Zeroizing<Vec<u8>>> {
    let mut plain = Zeroizing::new(vec![0; text.len()]);
    let nonce = nonce.into();
    aes_256_gcm(key)?.open_separate_gather(nonce, Aad::from(associated), text, tag, &mut plain).ok()?;
    Some(plain)
}

fn aes_256_gcm(key: &[u8; 32]) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, key).ok().map(LessSafeKey::new)
}
