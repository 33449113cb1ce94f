//! Signers and verifiers of access tokens.

use std::sync::Arc;

use jsonwebtoken::{
    Algorithm,
    crypto::{JwtSigner, JwtVerifier},
    signature::{Error, Signer, Verifier},
};

use super::hmac::HmacKey;

pub(super) type DynVerifier = Arc<dyn JwtVerifier + Send + Sync>;

/// A verifier made of a function.
#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
pub(super) fn verifier(
    algorithm: Algorithm,
    verify: impl Fn(&[u8], &[u8]) -> Result<(), Error> + Send + Sync + 'static,
) -> DynVerifier {
    Arc::new(FromFn(algorithm, verify))
}

/// How a key signs and verifies access tokens.
#[derive(Clone)]
pub(super) struct AccessKey {
    /// `None` for a public key.
    pub(super) signer: Option<Arc<dyn JwtSigner + Send + Sync>>,
    pub(super) verifier: DynVerifier,
}

impl AccessKey {
    pub(super) fn new(
        signer: impl JwtSigner + Send + Sync + 'static,
        verifier: impl JwtVerifier + Send + Sync + 'static,
    ) -> Self {
        Self { signer: Some(Arc::new(signer)), verifier: Arc::new(verifier) }
    }

    pub(super) fn hs256(key: HmacKey) -> Self {
        let verifier = key.clone();
        Self::from_fns(
            Algorithm::HS256,
            move |message| Ok(key.sign(message).to_vec()),
            move |message, signature| {
                verifier.verify(message, signature).then_some(()).ok_or_else(Error::new)
            },
        )
    }

    pub(super) fn from_fns(
        algorithm: Algorithm,
        sign: impl Fn(&[u8]) -> Result<Vec<u8>, Error> + Send + Sync + 'static,
        verify: impl Fn(&[u8], &[u8]) -> Result<(), Error> + Send + Sync + 'static,
    ) -> Self {
        Self::new(FromFn(algorithm, sign), FromFn(algorithm, verify))
    }
}

/// A signer or a verifier made of a function.
struct FromFn<F>(Algorithm, F);

impl<F: Fn(&[u8]) -> Result<Vec<u8>, Error>> Signer<Vec<u8>> for FromFn<F> {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.1(message)
    }
}

impl<F: Fn(&[u8], &[u8]) -> Result<(), Error>> Verifier<Vec<u8>> for FromFn<F> {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), Error> {
        self.1(message, signature)
    }
}

impl<F: Fn(&[u8]) -> Result<Vec<u8>, Error>> JwtSigner for FromFn<F> {
    fn algorithm(&self) -> Algorithm {
        self.0
    }
}

impl<F: Fn(&[u8], &[u8]) -> Result<(), Error>> JwtVerifier for FromFn<F> {
    fn algorithm(&self) -> Algorithm {
        self.0
    }
}
