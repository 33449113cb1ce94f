//! The numbers of a public key, and its thumbprint (RFC 7638).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use sha2::{Digest as _, Sha256};

/// The longest RSA modulus, in bits. Verification takes longer with each bit.
pub(super) const LONGEST_RSA_BITS: usize = 8192;
/// The shortest RSA modulus, in bits (RFC 7518, section 3.3).
const SHORTEST_RSA_BITS: usize = 2048;

/// The numbers of a public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Parts {
    Ed25519([u8; 32]),
    P256 {
        x: [u8; 32],
        y: [u8; 32],
    },
    /// The numbers are big-endian, without leading zeros.
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
}

impl Parts {
    /// Makes an RSA key. Its numbers may have leading zeros.
    pub(super) fn rsa(n: &[u8], e: &[u8]) -> Self {
        let trimmed = |number: &[u8]| number.iter().copied().skip_while(|byte| *byte == 0).collect();
        Self::Rsa { n: trimmed(n), e: trimmed(e) }
    }

    /// Reads a P-256 key from an uncompressed point (SEC 1, section 2.3.3).
    pub(super) fn from_sec1(point: &[u8]) -> Option<Self> {
        let (x, y) = point.strip_prefix(&[4])?.split_at_checked(32)?;
        Some(Self::P256 { x: x.try_into().ok()?, y: y.try_into().ok()? })
    }

    /// The inverse of [`from_sec1`](Self::from_sec1).
    pub(super) fn sec1(&self) -> Option<Vec<u8>> {
        match self {
            Self::P256 { x, y } => Some([&[4][..], x, y].concat()),
            Self::Ed25519(_) | Self::Rsa { .. } => None,
        }
    }

    /// The algorithm of a key that names no algorithm. RS256 for RSA.
    pub(super) const fn default_algorithm(&self) -> Algorithm {
        match self {
            Self::Ed25519(_) => Algorithm::EdDSA,
            Self::P256 { .. } => Algorithm::ES256,
            Self::Rsa { .. } => Algorithm::RS256,
        }
    }

    /// Whether the numbers are in the supported ranges.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let Self::Rsa { n, e } = self else { return Ok(()) };
        let is_odd = |number: &[u8]| number.last().is_some_and(|byte| byte % 2 == 1);
        let unused = n.first().map_or(0, |byte| byte.leading_zeros() as usize);
        let bits = (n.len() * 8).saturating_sub(unused);
        if bits < SHORTEST_RSA_BITS {
            return Err("an RSA key must have at least 2048 bits");
        }
        if bits > LONGEST_RSA_BITS {
            return Err("an RSA key can have at most 8192 bits");
        }
        if !is_odd(n) || !is_odd(e) || e.as_slice() == [1] || e.len() > 4 {
            return Err("an RSA exponent must be an odd number of at most 32 bits, and not 1");
        }
        Ok(())
    }

    /// The members that define the key, in the order of RFC 7638, section 3.2.
    pub(super) fn members(&self) -> String {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Ed25519(x) => format!(r#""crv":"Ed25519","kty":"OKP","x":"{}""#, text(x)),
            Self::P256 { x, y } => format!(r#""crv":"P-256","kty":"EC","x":"{}","y":"{}""#, text(x), text(y)),
            Self::Rsa { n, e } => format!(r#""e":"{}","kty":"RSA","n":"{}""#, text(e), text(n)),
        }
    }

    pub(super) fn thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(format!("{{{}}}", self.members())))
    }
}
