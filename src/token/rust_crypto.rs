//! Ed25519 and ES256 by RustCrypto. A key is parsed once.

use ed25519_dalek::pkcs8::DecodePrivateKey as _;
use jsonwebtoken::signature::{Error, Signer, Verifier};
use zeroize::Zeroizing;

pub(super) struct Ed25519(ed25519_dalek::SigningKey);

impl Ed25519 {
    pub(super) fn from_pkcs8(der: &[u8]) -> Option<Self> {
        ed25519_dalek::SigningKey::from_pkcs8_der(der).ok().map(Self)
    }
}

impl Signer<Vec<u8>> for Ed25519 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.0.try_sign(message)?.to_vec())
    }
}

impl Verifier<Vec<u8>> for Ed25519 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), Error> {
        self.0.verifying_key().verify(message, &ed25519_dalek::Signature::from_slice(signature)?)
    }
}

pub(super) struct Es256 {
    private: p256::ecdsa::SigningKey,
    public: p256::ecdsa::VerifyingKey,
}

impl Es256 {
    pub(super) fn from_pkcs8(der: &[u8]) -> Option<Self> {
        let private = p256::ecdsa::SigningKey::from_pkcs8_der(der).ok()?;
        Some(Self { public: *private.verifying_key(), private })
    }

    /// The private scalar.
    pub(super) fn secret(&self) -> Option<Zeroizing<Vec<u8>>> {
        Some(Zeroizing::new(self.private.to_bytes().to_vec()))
    }
}

impl Signer<Vec<u8>> for Es256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature: p256::ecdsa::Signature = self.private.try_sign(message)?;
        Ok(signature.to_vec())
    }
}

impl Verifier<Vec<u8>> for Es256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), Error> {
        self.public.verify(message, &p256::ecdsa::Signature::from_slice(signature)?)
    }
}
