//! Ed25519 and ES256 signatures. The only file that names the JWT crate.
//!
//! That crate asks the process for a crypto backend, and panics where Cargo's feature unification
//! has turned on two. So the backend is chosen here, and handed over explicitly.

use std::fmt;

#[cfg(feature = "aws_lc_rs")]
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER as BACKEND;
#[cfg(not(feature = "aws_lc_rs"))]
use jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER as BACKEND;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, jwk::EllipticCurve};
use pkcs8::{PrivateKeyInfo, der::Decode as _};
use zeroize::Zeroizing;

use super::{
    KeyError, MintError, PemProblem,
    pem::{self, Wanted},
};

/// The key within `der`, if it is of the kind that is wanted.
fn private_key(der: &[u8], wanted: Wanted) -> Result<PrivateKeyInfo<'_>, KeyError> {
    let info = PrivateKeyInfo::from_der(der).map_err(|_| wanted.error(PemProblem::NotPkcs8))?;
    pem::check_kind(&info, wanted)?;
    Ok(info)
}

/// A private key and its public key. Prints nothing of itself; both are wiped when dropped.
#[derive(Clone)]
pub(super) struct KeyPair {
    algorithm: Algorithm,
    private: EncodingKey,
    public: DecodingKey,
    /// The raw 32-byte seed (Ed25519) or scalar (P-256).
    secret: Zeroizing<Vec<u8>>,
}

impl KeyPair {
    pub(super) fn ed25519(pem: &str) -> Result<Self, KeyError> {
        let wanted = Wanted::Ed25519;
        let wrong = || wanted.error(PemProblem::NotPkcs8);
        let der = pem::der(pem, wanted)?;
        let info = private_key(&der, wanted)?;
        // RFC 8410, section 7: an octet string of 32 bytes within the private key's octet string.
        let [0x04, 0x20, secret @ ..] = info.private_key else { return Err(wrong()) };
        let secret = Zeroizing::new(secret.to_vec());
        let public = (BACKEND.key_utils.ed_pub_components_from_private_key)(&der, &EllipticCurve::Ed25519);
        Self {
            algorithm: Algorithm::EdDSA,
            private: EncodingKey::from_ed_der(&der),
            public: DecodingKey::from_ed_der(&public.map_err(|_| wrong())?),
            secret,
        }
        .proved(wanted)
    }

    pub(super) fn es256(pem: &str) -> Result<Self, KeyError> {
        let wanted = Wanted::P256;
        let wrong = || wanted.error(PemProblem::NotPkcs8);
        let der = pem::der(pem, wanted)?;
        let info = private_key(&der, wanted)?;
        let inner = sec1::EcPrivateKey::from_der(info.private_key).map_err(|_| wrong())?;
        let secret = Zeroizing::new(inner.private_key.to_vec());
        let public = (BACKEND.key_utils.ec_pub_components_from_private_key)(&der, Algorithm::ES256);
        let (_, x, y) = public.map_err(|_| wrong())?;
        Self {
            algorithm: Algorithm::ES256,
            private: EncodingKey::from_ec_der(&der),
            public: DecodingKey::from_ec_der(&[&[0x04][..], &x, &y].concat()),
            secret,
        }
        .proved(wanted)
    }

    /// A key that cannot verify what it signed is found out at start, not at the first request.
    fn proved(self, wanted: Wanted) -> Result<Self, KeyError> {
        let wrong = || wanted.error(PemProblem::Inconsistent);
        let signature = self.sign(b"proof").map_err(|_| wrong())?;
        if self.secret.len() == 32 && self.verify(b"proof", &signature) { Ok(self) } else { Err(wrong()) }
    }

    pub(super) fn secret(&self) -> &[u8] {
        &self.secret
    }

    pub(super) fn algorithm(&self) -> &'static str {
        match self.algorithm {
            Algorithm::ES256 => "ES256",
            _ => "EdDSA",
        }
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, MintError> {
        let signer =
            (BACKEND.signer_factory)(&self.algorithm, &self.private).map_err(|_| MintError::Signing)?;
        signer.try_sign(message).map_err(|_| MintError::Signing)
    }

    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        (BACKEND.verifier_factory)(&self.algorithm, &self.public)
            .is_ok_and(|verifier| verifier.verify(message, &signature.to_vec()).is_ok())
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair({}, ..)", self.algorithm())
    }
}
