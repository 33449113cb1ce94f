//! Ed25519 and ES256 by AWS-LC. A key is parsed once.

use aws_lc_rs::{
    encoding::AsBigEndian as _,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair,
        KeyPair as _, ParsedPublicKey,
    },
};
use jsonwebtoken::{Algorithm, signature::Error};
use zeroize::Zeroizing;

use super::key::AccessKey;

pub(super) fn ed25519(pkcs8: &[u8]) -> Option<AccessKey> {
    let private = Ed25519KeyPair::from_pkcs8(pkcs8).ok()?;
    let public = ParsedPublicKey::new(&ED25519, private.public_key()).ok()?;
    Some(AccessKey::from_fns(
        Algorithm::EdDSA,
        move |message| Ok(private.try_sign(message).map_err(Error::from_source)?.as_ref().to_vec()),
        move |message, signature| public.verify_sig(message, signature).map_err(|_| Error::new()),
    ))
}

/// The key, and its private scalar.
pub(super) fn es256(pkcs8: &[u8]) -> Option<(AccessKey, Zeroizing<Vec<u8>>)> {
    let private = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).ok()?;
    let public = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, private.public_key()).ok()?;
    let scalar = Zeroizing::new(private.private_key().as_be_bytes().ok()?.as_ref().to_vec());
    let key = AccessKey::from_fns(
        Algorithm::ES256,
        move |message| {
            let signature = private.sign(&SystemRandom::new(), message).map_err(Error::from_source)?;
            Ok(signature.as_ref().to_vec())
        },
        move |message, signature| public.verify_sig(message, signature).map_err(|_| Error::new()),
    );
    Some((key, scalar))
}
