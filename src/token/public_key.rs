//! Public keys that verify tokens: Ed25519, ES256, RS256 and PS256.

use std::{fmt, sync::Arc};

use jsonwebtoken::Algorithm;

#[cfg(feature = "aws_lc_rs")]
use super::aws_lc_rs as backend;
#[cfg(not(feature = "aws_lc_rs"))]
use super::rust_crypto as backend;
use super::{access_key::DynVerifier, error::KeyError, jwk, public_parts::Parts, spki};

/// The longest `kid` in bytes. The names of other issuers may be longer than the names of this crate.
const LONGEST_KID: usize = 256;

/// A public key that verifies tokens: Ed25519 (`EdDSA`), ES256, RS256 or PS256.
///
/// The key is read once, from a JWK (RFC 7517) or from PEM. It has exactly one algorithm (RFC 8725, section 3.1).
///
/// ```
/// # fn main() -> Result<(), tower_sliding_sessions::KeyError> {
/// use tower_sliding_sessions::PublicKey;
///
/// // The example of RFC 8037.
/// let key = PublicKey::from_jwk(
///     r#"{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
/// )?;
/// assert_eq!(key.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct PublicKey {
    kid: Arc<str>,
    algorithm: Algorithm,
    parts: Arc<Parts>,
    verifier: DynVerifier,
}

impl PublicKey {
    /// Reads a public key from a JWK (RFC 7517): `OKP` with `Ed25519`, `EC` with `P-256`, or `RSA`.
    ///
    /// Without `kid`, the key's name is its thumbprint (RFC 7638). Without `alg`, an RSA key is for RS256.
    ///
    /// # Errors
    /// [`KeyError::PublicKey`] in these cases:
    ///
    /// - The text is not a complete JWK, or is longer than 16384 bytes.
    /// - The key is private or symmetric.
    /// - Its kind or algorithm is not supported, or `kid` is not 1 to 256 visible ASCII characters.
    /// - `use` is not `sig`, or `key_ops` does not have `verify`.
    /// - It is an RSA key of less than 2048 bits or more than 8192 bits, or with an unsupported exponent.
    #[doc(alias = "JWK")]
    pub fn from_jwk(json: &str) -> Result<Self, KeyError> {
        Self::read_jwk(json).map_err(|problem| KeyError::PublicKey(problem.into()))
    }

    /// Reads the keys of a JWK Set (RFC 7517, section 5) that can verify tokens. Ignores all other keys: keys of
    /// another kind or for another use, incomplete keys, private keys, and keys with the name and the algorithm of an
    /// earlier key.
    ///
    /// # Errors
    /// [`KeyError::PublicKey`] if the text is not a JWK Set, or has more than 64 keys or more than 65536 bytes.
    #[doc(alias = "JWKS")]
    pub fn from_jwk_set(json: &[u8]) -> Result<Vec<Self>, KeyError> {
        let given = jwk::read_set(json).map_err(|problem| KeyError::PublicKey(problem.into()))?;
        let mut keys: Vec<Self> = Vec::with_capacity(given.len());
        for key in given.iter().filter_map(|key| Self::read_jwk(key.get()).ok()) {
            if !keys.iter().any(|other| (&other.kid, other.algorithm) == (&key.kid, key.algorithm)) {
                keys.push(key);
            }
        }
        Ok(keys)
    }

    pub(super) fn read_jwk(json: &str) -> Result<Self, &'static str> {
        let (kid, algorithm, parts) = jwk::read(json)?;
        Self::new(kid.as_deref(), algorithm, parts)
    }

    /// Reads a public key in PEM form (`BEGIN PUBLIC KEY`, SPKI). Pass the text, not the path of its file. The key's
    /// name is its thumbprint (RFC 7638). An RSA key is for RS256.
    ///
    /// # Errors
    /// [`KeyError::PublicKey`] says what is wrong with the text.
    #[doc(alias = "SPKI")]
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let parts = spki::read(text).map_err(KeyError::PublicKey)?;
        let algorithm = parts.default_algorithm();
        Self::new(None, algorithm, parts).map_err(|problem| KeyError::PublicKey(problem.into()))
    }

    pub(super) fn new(kid: Option<&str>, algorithm: Algorithm, parts: Parts) -> Result<Self, &'static str> {
        parts.check()?;
        let kid: Arc<str> = kid.map_or_else(|| parts.thumbprint().into(), Into::into);
        if !is_kid(&kid) {
            return Err("`kid` must be 1 to 256 visible ASCII characters");
        }
        let verifier = backend::public(algorithm, &parts).ok_or("its numbers make no key of its kind")?;
        Ok(Self { kid, algorithm, parts: Arc::new(parts), verifier })
    }

    /// The same key with another name: the `kid` in the issuer's tokens.
    ///
    /// # Errors
    /// [`KeyError::BadName`] unless `kid` is 1 to 256 visible ASCII characters.
    pub fn with_kid(self, kid: &str) -> Result<Self, KeyError> {
        if !is_kid(kid) {
            return Err(KeyError::BadName(kid.chars().take(LONGEST_KID).collect()));
        }
        Ok(Self { kid: kid.into(), ..self })
    }

    /// The same RSA key for PS256 instead of RS256.
    ///
    /// # Errors
    /// [`KeyError::PublicKey`] if the key is not an RSA key.
    pub fn for_ps256(self) -> Result<Self, KeyError> {
        let verifier = backend::public(Algorithm::PS256, &self.parts)
            .ok_or(KeyError::PublicKey("PS256 needs an RSA key".into()))?;
        Ok(Self { algorithm: Algorithm::PS256, verifier, ..self })
    }

    /// The key's name: the `kid` of the tokens that it verifies.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The algorithm of the tokens that the key verifies. A key has exactly one algorithm.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The thumbprint of the key (RFC 7638, SHA-256, base64url).
    #[must_use]
    pub fn thumbprint(&self) -> String {
        self.parts.thumbprint()
    }

    /// The key as a JWK, with `kid`, `alg` and `use`.
    #[must_use]
    pub fn to_jwk(&self) -> String {
        // INVARIANT: a `kid` is visible ASCII, so only `\` and `"` need escaping.
        let kid = self.kid.replace('\\', "\\\\").replace('"', "\\\"");
        format!(r#"{{{},"kid":"{kid}","alg":"{:?}","use":"sig"}}"#, self.parts.members(), self.algorithm)
    }

    pub(super) fn verifier(&self) -> DynVerifier {
        self.verifier.clone()
    }

    /// Whether this key made `signature` for `message`.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.verifier.verify(message, &signature.to_vec()).is_ok()
    }
}

fn is_kid(kid: &str) -> bool {
    (1..=LONGEST_KID).contains(&kid.len()) && kid.bytes().all(|byte| byte.is_ascii_graphic())
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kid, algorithm, .. } = self;
        f.debug_struct("PublicKey").field("kid", kid).field("algorithm", algorithm).finish_non_exhaustive()
    }
}
