//! Ed25519 and ES256 by AWS-LC. A key is parsed once.

use aws_lc_rs::{
    encoding::AsBigEndian as _,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair,
        KeyPair as _, ParsedPublicKey,
    },
};
use jsonwebtoken::signature::{Error, Signer, Verifier};
use zeroize::Zeroizing;

pub(super) struct Ed25519 {
    private: Ed25519KeyPair,
    public: ParsedPublicKey,
}

impl Ed25519 {
    pub(super) fn from_pkcs8(der: &[u8]) -> Option<Self> {
        let private = Ed25519KeyPair::from_pkcs8(der).ok()?;
        let public = ParsedPublicKey::new(&ED25519, private.public_key()).ok()?;
        Some(Self { private, public })
    }
}

impl Signer<Vec<u8>> for Ed25519 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.private.try_sign(message).map_err(Error::from_source)?.as_ref().to_vec())
    }
}

impl Verifier<Vec<u8>> for Ed25519 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), Error> {
        self.public.verify_sig(message, signature).map_err(|_| Error::new())
    }
}

pub(super) struct Es256 {
    private: EcdsaKeyPair,
    public: ParsedPublicKey,
}

impl Es256 {
    pub(super) fn from_pkcs8(der: &[u8]) -> Option<Self> {
        let private = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).ok()?;
        let public = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, private.public_key()).ok()?;
        Some(Self { private, public })
    }

    /// The private scalar.
    pub(super) fn secret(&self) -> Option<Zeroizing<Vec<u8>>> {
        Some(Zeroizing::new(self.private.private_key().as_be_bytes().ok()?.as_ref().to_vec()))
    }
}

impl Signer<Vec<u8>> for Es256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature = self.private.sign(&SystemRandom::new(), message).map_err(Error::from_source)?;
        Ok(signature.as_ref().to_vec())
    }
}

impl Verifier<Vec<u8>> for Es256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), Error> {
        self.public.verify_sig(message, signature).map_err(|_| Error::new())
    }
}
