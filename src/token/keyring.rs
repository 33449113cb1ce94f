//! The keys: one signs, the others verify until they are retired.

use std::{fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::{
    KeyError, MintError,
    jws::{self, Kind},
    secret::{self, MacKey, VOUCHER},
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
/// Where several instances share sessions, roll a new key out in three steps, each on all instances before
/// the next: let it verify (`old.and_verify(new)`), let it sign (`new.and_verify(old)`), and retire the old
/// one (`new`) no sooner than one absolute timeout later: an idle session keeps its old refresh token until
/// it rotates.
///
/// If a new key signs on one instance before another knows it, that other one cannot tell what its tokens
/// are worth. It answers 503 with `Retry-After` rather than 401, and touches no cookie: the session goes
/// on where the key is known. For that, tokens name the keys of their ring that vouch for the key that
/// signs (in the header `vouch`), so the rings of both instances must have a key in common. A token whose
/// `kid` no known key vouches for is refused with 401, as any stranger could have made it.
///
/// To revoke every session that a leaked key signed, drop it at once: with
/// [`Sessions::set_keys`](crate::Sessions::set_keys), or with [`and_retired`](Self::and_retired) and a
/// restart.
#[derive(Clone)]
pub struct Keyring {
    keys: Arc<[Key]>,
    /// The names of keys that are gone for good.
    retired: Arc<[String]>,
}

/// How many keys vouch for the one that signs, at most: each takes 16 bytes of each token.
const MOST_VOUCHERS: usize = 3;
/// The longest name of a key.
const LONGEST_NAME: usize = 64;

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
        if !is_name(kid) {
            return Err(KeyError::BadName(kid.to_owned()));
        }
        let named = |key: &Key| Key::new(kid.to_owned(), key.access.clone(), key.refresh.clone());
        let rest = self.keys.iter().skip(1).cloned();
        let keys = std::iter::once(named(self.signer())).chain(rest).collect();
        Ok(Self { keys: vouched_for(keys).into(), ..self })
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
        let keys = vouched_for(self.keys().chain(others.keys()).cloned().collect()).into();
        let retired = self.retired.iter().chain(others.retired.iter()).cloned().collect();
        Ok(Self { keys, retired })
    }

    /// Says that the key named `kid` was withdrawn: tokens that it signed are refused with 401, although
    /// a key of this ring may vouch for it. Needed only if a key is withdrawn that signed beside one that
    /// stays, and only until the last of its tokens has run out. A key that is in the ring is not retired.
    ///
    /// # Errors
    /// [`KeyError::BadName`] unless it is 1 to 64 characters of `A-Z a-z 0-9 - _`.
    pub fn and_retired(self, kid: &str) -> Result<Self, KeyError> {
        if !is_name(kid) {
            return Err(KeyError::BadName(kid.to_owned()));
        }
        let retired = self.retired.iter().cloned().chain([kid.to_owned()]).collect();
        Ok(Self { retired, ..self })
    }

    /// This ring, as the successor of `before`: what is gone is gone for good.
    pub(super) fn after(self, before: &Self) -> Self {
        let is_here = |kid: &String| self.keys().any(|key| key.kid == *kid);
        let gone = before.keys().map(|key| &key.kid).chain(before.retired.iter());
        let mut retired: Vec<_> =
            self.retired.iter().chain(gone).filter(|kid| !is_here(kid)).cloned().collect();
        retired.sort_unstable();
        retired.dedup();
        Self { retired: retired.into(), ..self }
    }

    /// Whether `vouchers` say that the key named `kid`, which is not known here, is of the same ring as
    /// one that is.
    pub(super) fn vouches_for(&self, kid: &str, vouchers: &str) -> bool {
        if !is_name(kid) || self.retired.iter().any(|retired| retired == kid) {
            return false;
        }
        let mut decoded = [[0; VOUCHER]; MOST_VOUCHERS];
        let flat = decoded.as_flattened_mut();
        let Ok(length) = URL_SAFE_NO_PAD.decode_slice(vouchers, flat) else { return false };
        let vouchers = decoded.iter().take(length / VOUCHER);
        vouchers.into_iter().any(|voucher| self.keys().any(|key| key.refresh.has_vouched(kid, voucher)))
    }

    fn of(key: Key) -> Self {
        Self { keys: Arc::new([key]), retired: Arc::default() }
    }

    #[expect(clippy::expect_used, reason = "see the invariant")]
    pub(super) fn signer(&self) -> &Key {
        // INVARIANT: every constructor makes a ring of one key, and keys are only ever added.
        self.keys.first().expect("a ring has a key")
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter()
    }
}

fn is_name(kid: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (1..=LONGEST_NAME).contains(&kid.len()) && kid.bytes().all(allowed)
}

/// The same keys, the first of which says in its tokens which others vouch for it.
fn vouched_for(mut keys: Vec<Key>) -> Vec<Key> {
    if let [signer, others @ ..] = &mut *keys {
        let vouchers = others.iter().take(MOST_VOUCHERS).map(|other| other.refresh.vouch(&signer.kid));
        let vouchers: Vec<_> = vouchers.collect();
        *signer = signer.with_vouchers(&URL_SAFE_NO_PAD.encode(vouchers.as_flattened()));
    }
    keys
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
        let (access_header, refresh_header) = (String::new(), String::new());
        Self { kid, access, refresh, access_header, refresh_header }.with_vouchers("")
    }

    /// This key, whose tokens say that others vouch for it.
    fn with_vouchers(&self, vouchers: &str) -> Self {
        Self {
            access_header: jws::header(self.access.algorithm(), &self.kid, Kind::Access, vouchers),
            refresh_header: jws::header("HS256", &self.kid, Kind::Refresh, vouchers),
            ..self.clone()
        }
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
