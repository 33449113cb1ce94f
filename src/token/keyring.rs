//! The keys: one signs, the others verify until they are retired.

use std::{fmt, sync::Arc};

use zeroize::Zeroizing;

use super::{
    KeyError, MintError,
    jws::{self, Kind},
    secret::{self, MacKey},
};
use crate::id;

/// The keys of a service: the first signs, all verify.
///
/// To change keys without signing anyone out, put the new one first and keep the old one:
///
/// ```
/// # fn main() -> Result<(), tower_sliding_sessions::KeyError> {
/// use tower_sliding_sessions::Keyring;
/// # let new_secret = b"3q2+7wQmV1xK9rT0pLsYzBnH5cJ8uGfE";
/// # let old_secret = b"9bXc1Vd7Zm0Qw4Er6Ty8Ui2Op5As3DfG";
/// let keys = Keyring::hs256(new_secret)?.and_verify(Keyring::hs256(old_secret)?)?;
/// # Ok(()) }
/// ```
///
/// Retire the old key no sooner than one absolute timeout after it stopped signing: an idle
/// session keeps its old refresh token until it rotates. To end every session that a leaked key
/// signed, drop it at once.
#[derive(Clone)]
pub struct Keyring(Arc<[Key]>);

impl Keyring {
    /// A key that is drawn now and ends with the process, and all sessions with it: for trying things
    /// out, and for a single instance with the embedded store, whose sessions end with it anyway.
    ///
    /// # Errors
    /// [`KeyError::Entropy`] if the operating system has no random bytes to give.
    pub fn random() -> Result<Self, KeyError> {
        Self::hs256(Zeroizing::new(id::random::<32>()?).as_slice())
    }

    /// HMAC-SHA256 with a secret of at least 32 random bytes.
    ///
    /// # Errors
    /// [`KeyError`] if the secret is short, weak, a key file, or text that ends in a line break.
    pub fn hs256(secret: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let secret = secret.as_ref();
        secret::check(secret)?;
        let kid = secret::key_id(secret)?;
        let access = AccessKey::Hs256(MacKey::new(secret)?);
        Ok(Self::of(Key::new(kid, access, MacKey::for_refresh(secret)?)))
    }

    /// Ed25519 (`EdDSA`, RFC 8037) with a private key in PKCS#8 PEM form: the text, not
    /// the path of its file. Blank lines, indentation, any line ends, a byte order mark, quotes around it
    /// and `\n` as two characters do no harm.
    ///
    /// # Errors
    /// [`KeyError::Pem`] says what the text is instead, and the command that mends it.
    #[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
    #[cfg_attr(docsrs, doc(cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))))]
    pub fn ed25519_pem(private_key: &str) -> Result<Self, KeyError> {
        Self::asymmetric(super::asymmetric::KeyPair::ed25519(private_key)?)
    }

    /// ES256 (ECDSA on P-256 with SHA-256, RFC 7518) with a private key in PKCS#8 PEM form: the text, not
    /// the path of its file. Blank lines, indentation, any line ends, a byte order mark, quotes around it
    /// and `\n` as two characters do no harm.
    ///
    /// # Errors
    /// [`KeyError::Pem`] says what the text is instead, and the command that mends it.
    #[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
    #[cfg_attr(docsrs, doc(cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))))]
    pub fn es256_pem(private_key: &str) -> Result<Self, KeyError> {
        Self::asymmetric(super::asymmetric::KeyPair::es256(private_key)?)
    }

    #[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
    fn asymmetric(pair: super::asymmetric::KeyPair) -> Result<Self, KeyError> {
        let (kid, refresh) = (secret::key_id(pair.secret())?, MacKey::for_refresh(pair.secret())?);
        Ok(Self::of(Key::new(kid, AccessKey::Asymmetric(pair), refresh)))
    }

    /// Names the signing key, for `kid`. Default: derived from the key, which tells nothing of it.
    ///
    /// # Errors
    /// [`KeyError::BadName`] unless it is 1 to 64 characters of `A-Z a-z 0-9 - _`.
    pub fn with_kid(self, kid: &str) -> Result<Self, KeyError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if !(1..=64).contains(&kid.len()) || !kid.bytes().all(allowed) {
            return Err(KeyError::BadName(kid.to_owned()));
        }
        let named = |key: &Key| Key::new(kid.to_owned(), key.access.clone(), key.refresh.clone());
        let rest = self.0.iter().skip(1).cloned();
        Ok(Self(std::iter::once(named(self.signer())).chain(rest).collect()))
    }

    /// Adds the keys of `others` for verification only.
    ///
    /// # Errors
    /// [`KeyError::DuplicateName`] if one of them has the name of a key that is here already.
    #[expect(clippy::needless_pass_by_value, reason = "a ring is built in one expression")]
    pub fn and_verify(self, others: Self) -> Result<Self, KeyError> {
        for other in others.keys() {
            if self.keys().any(|key| key.kid == other.kid) {
                return Err(KeyError::DuplicateName(other.kid.clone()));
            }
        }
        Ok(Self(self.0.iter().chain(others.0.iter()).cloned().collect()))
    }

    fn of(key: Key) -> Self {
        Self(Arc::new([key]))
    }

    #[expect(clippy::expect_used, reason = "see the invariant")]
    pub(super) fn signer(&self) -> &Key {
        // INVARIANT: every constructor makes a ring of one key, and keys are only ever added.
        self.0.first().expect("a ring has a key")
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.0.iter()
    }
}

/// Shows the names of the keys, and nothing else of them.
impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys().map(Key::kid)).finish()
    }
}

/// One key: what it signs access tokens with, and what is derived from it for refresh tokens.
#[derive(Clone)]
pub(super) struct Key {
    kid: String,
    access: AccessKey,
    refresh: MacKey,
    access_header: String,
    refresh_header: String,
}

#[derive(Clone)]
enum AccessKey {
    Hs256(MacKey),
    #[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
    Asymmetric(super::asymmetric::KeyPair),
}

impl AccessKey {
    fn algorithm(&self) -> &'static str {
        match self {
            Self::Hs256(_) => "HS256",
            #[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
            Self::Asymmetric(pair) => pair.algorithm(),
        }
    }
}

impl Key {
    fn new(kid: String, access: AccessKey, refresh: MacKey) -> Self {
        let access_header = jws::header(access.algorithm(), &kid, Kind::Access);
        let refresh_header = jws::header("HS256", &kid, Kind::Refresh);
        Self { kid, access, refresh, access_header, refresh_header }
    }

    pub(super) fn kid(&self) -> &str {
        &self.kid
    }

    /// The encoded header of this key's tokens, with its dot.
    pub(super) fn header(&self, kind: Kind) -> &str {
        match kind {
            Kind::Access => &self.access_header,
            Kind::Refresh => &self.refresh_header,
        }
    }

    pub(super) fn algorithm(&self, kind: Kind) -> &'static str {
        match kind {
            Kind::Access => self.access.algorithm(),
            Kind::Refresh => "HS256",
        }
    }

    pub(super) fn sign(&self, kind: Kind, message: &[u8]) -> Result<Signature, MintError> {
        match (kind, &self.access) {
            (Kind::Refresh, _) => Ok(Signature::Mac(self.refresh.sign(message))),
            (Kind::Access, AccessKey::Hs256(key)) => Ok(Signature::Mac(key.sign(message))),
            #[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
            (Kind::Access, AccessKey::Asymmetric(pair)) => pair.sign(message).map(Signature::Long),
        }
    }

    pub(super) fn verify(&self, kind: Kind, message: &[u8], signature: &[u8]) -> bool {
        match (kind, &self.access) {
            (Kind::Refresh, _) => self.refresh.verify(message, signature),
            (Kind::Access, AccessKey::Hs256(key)) => key.verify(message, signature),
            #[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
            (Kind::Access, AccessKey::Asymmetric(pair)) => pair.verify(message, signature),
        }
    }
}

/// A signature's bytes.
pub(super) enum Signature {
    Mac([u8; 32]),
    #[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
    Long(Vec<u8>),
}

impl AsRef<[u8]> for Signature {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Mac(bytes) => bytes,
            #[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
            Self::Long(bytes) => bytes,
        }
    }
}
