//! Ed25519 and ES256 by RustCrypto. A key is parsed once.

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
