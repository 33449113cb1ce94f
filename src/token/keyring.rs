//! The keys of a service: one signs, the others verify until they are retired.

use std::{fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::crypto::{JwtSigner, JwtVerifier};
use zeroize::Zeroizing;

#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
use super::asymmetric;
use super::{
    error::KeyError,
    hmac::{self, HmacKey, VOUCHER},
    key::{AccessKey, Key},
    secret,
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
/// Where several instances share sessions, roll a new key out in three steps. Finish each step on all
/// instances before the next one:
///
/// 1. Let the new key verify: `old.and_verify(new)`.
/// 2. Let the new key sign: `new.and_verify(old)`.
/// 3. Retire the old key: `new`. Wait one absolute timeout before this step, because an idle session keeps
///    its old refresh token until it rotates.
///
/// If a new key signs on one instance before another instance knows it, the other instance cannot verify the
/// new tokens. It answers 503 with `Retry-After` rather than 401 and changes no cookie, so the session goes on
/// where the key is known. To make this possible, tokens list vouchers of other keys in their ring (in the
/// header `vouch`), and both instances must have one of these keys. If no known key vouches for the `kid` of a
/// token, the answer is 401, because anyone can make such a token.
///
/// To revoke every session that a leaked key signed, remove the key at once: with
/// [`Sessions::set_keys`](crate::Sessions::set_keys), or with [`and_retired`](Self::and_retired) and a
/// restart.
#[doc(alias = "key rotation")]
#[derive(Clone)]
pub struct Keyring {
    keys: Arc<[Key]>,
    /// The names of keys that were withdrawn.
    retired: Arc<[String]>,
}

/// The number of keys that vouch for the signing key, at most. Each takes 16 bytes of each token.
const MOST_VOUCHERS: usize = 3;
/// The longest name of a key.
const LONGEST_NAME: usize = 64;

impl Keyring {
    /// A new random key. All sessions end with the process. Use it to try things out, or for a single
    /// instance with the embedded store, whose sessions end with the process too.
    ///
    /// # Errors
    /// [`KeyError::Entropy`] if the operating system returns no random bytes.
    pub fn random() -> Result<Self, KeyError> {
        Self::hs256(Zeroizing::new(id::random::<32>().map_err(|_| KeyError::Entropy)?).as_slice())
    }

    /// HMAC-SHA256 with a secret of at least 32 random bytes.
    ///
    /// # Errors
    /// [`KeyError`] if the secret is short, weak, a key file, or text that ends in a line break.
    pub fn hs256(secret: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let secret = secret.as_ref();
        secret::check(secret)?;
        let kid = hmac::key_id(secret)?;
        let access = AccessKey::hs256(HmacKey::new(secret)?);
        Ok(Self::of(Key::new(kid, access, HmacKey::for_refresh(secret)?)?))
    }

    /// Ed25519 (`EdDSA`, RFC 8037) with a private key in PKCS#8 PEM form: the text, not
    /// the path of its file. Blank lines, indentation, any line ends, a byte order mark, quotes around the
    /// text and `\n` as two characters are accepted.
    ///
    /// # Errors
    /// [`KeyError::Pem`] says what is wrong with the text, and the command that corrects it.
    #[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
    #[cfg_attr(docsrs, doc(cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))))]
    pub fn ed25519_pem(private_key: &str) -> Result<Self, KeyError> {
        asymmetric::ed25519(private_key).map(Self::of)
    }

    /// ES256 (ECDSA on P-256 with SHA-256, RFC 7518) with a private key in PKCS#8 PEM form: the text, not
    /// the path of its file. Blank lines, indentation, any line ends, a byte order mark, quotes around the
    /// text and `\n` as two characters are accepted.
    ///
    /// # Errors
    /// [`KeyError::Pem`] says what is wrong with the text, and the command that corrects it.
    #[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
    #[cfg_attr(docsrs, doc(cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))))]
    pub fn es256_pem(private_key: &str) -> Result<Self, KeyError> {
        asymmetric::es256(private_key).map(Self::of)
    }

    /// A signer and a verifier of your own for access tokens: a key in a KMS or an HSM, or another
    /// algorithm, such as RS256. Both must name the same algorithm.
    ///
    /// `kid` is the key's name in tokens. Refresh tokens stay HS256. A key that is derived from
    /// `refresh_secret`, at least 32 random bytes, signs them. Use another secret for each key.
    ///
    /// The constructor signs one message to check that the signer and the verifier belong together.
    ///
    /// ```
    /// use tower_sliding_sessions::{
    ///     KeyError, Keyring,
    ///     jsonwebtoken::{
    ///         Algorithm,
    ///         crypto::{JwtSigner, JwtVerifier},
    ///         signature::{Error, Signer, Verifier},
    ///     },
    /// };
    /// # #[derive(Clone)]
    /// # struct Kms;
    /// # impl Kms {
    /// #     fn sign(&self, message: &[u8]) -> Result<Vec<u8>, std::io::Error> {
    /// #         use sha2::Digest;
    /// #         Ok(sha2::Sha256::digest(message).to_vec())
    /// #     }
    /// #     fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
    /// #         self.sign(message).is_ok_and(|own| own == signature)
    /// #     }
    /// # }
    ///
    /// #[derive(Clone)]
    /// struct KmsKey(Kms);
    ///
    /// impl Signer<Vec<u8>> for KmsKey {
    ///     fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
    ///         self.0.sign(message).map_err(Error::from_source)
    ///     }
    /// }
    ///
    /// impl JwtSigner for KmsKey {
    ///     fn algorithm(&self) -> Algorithm {
    ///         Algorithm::ES256
    ///     }
    /// }
    ///
    /// impl Verifier<Vec<u8>> for KmsKey {
    ///     fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), Error> {
    ///         if self.0.has_signed(message, signature) { Ok(()) } else { Err(Error::new()) }
    ///     }
    /// }
    ///
    /// impl JwtVerifier for KmsKey {
    ///     fn algorithm(&self) -> Algorithm {
    ///         Algorithm::ES256
    ///     }
    /// }
    ///
    /// # fn main() -> Result<(), KeyError> {
    /// # let (kms, refresh_secret) = (Kms, b"3q2+7wQmV1xK9rT0pLsYzBnH5cJ8uGfE");
    /// let key = KmsKey(kms);
    /// let keys = Keyring::custom("kms-2026", key.clone(), key, refresh_secret)?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Limits
    /// Signing is synchronous and has no deadline. A renewal signs one access token, a sign-in two. A
    /// signer that calls a service over the network must limit the time itself, and must call
    /// `tokio::task::block_in_place`, or other requests wait too. Verification runs for each access token that
    /// is not in the cache: verify in memory, with the public key.
    ///
    /// An access token must fit into a cookie of 3072 bytes. The signature of an RSA key of 4096 bits takes
    /// 683 of them.
    ///
    /// # Errors
    /// [`KeyError::SignerFailed`] if the signer cannot sign, [`KeyError::VerifierMismatch`] if the verifier does
    /// not match it, [`KeyError::BadName`] unless `kid` is 1 to 64 characters of `A-Z a-z 0-9 - _`, and the
    /// errors of [`hs256`](Self::hs256) for `refresh_secret`.
    #[doc(alias = "kms")]
    #[doc(alias = "hsm")]
    pub fn custom(
        kid: &str,
        signer: impl JwtSigner + Send + Sync + 'static,
        verifier: impl JwtVerifier + Send + Sync + 'static,
        refresh_secret: impl AsRef<[u8]>,
    ) -> Result<Self, KeyError> {
        let (kid, secret) = (checked(kid)?.to_owned(), refresh_secret.as_ref());
        secret::check(secret)?;
        Ok(Self::of(Key::new(kid, AccessKey::new(signer, verifier), HmacKey::for_refresh(secret)?)?))
    }

    /// Sets the signing key's name, the `kid` in its tokens. Default: derived from the key. It reveals nothing
    /// of the key.
    ///
    /// # Errors
    /// [`KeyError::BadName`] unless it is 1 to 64 characters of `A-Z a-z 0-9 - _`.
    pub fn with_kid(self, kid: &str) -> Result<Self, KeyError> {
        let named = self.signer().with_kid(checked(kid)?);
        let keys = std::iter::once(named).chain(self.keys.iter().skip(1).cloned()).collect();
        Ok(Self { keys: vouched_for(keys).into(), ..self })
    }

    /// Adds the keys of `others` for verification only.
    ///
    /// # Errors
    /// [`KeyError::DuplicateName`] if one of them has the name of a key of this ring.
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

    /// Names a key that was withdrawn. Its tokens are refused with 401, although a key of this ring may vouch
    /// for it. This is needed only if the withdrawn key was in one ring with a key that stays, and only until
    /// the last of its tokens has expired. It has no effect on a key that is in the ring.
    ///
    /// # Errors
    /// [`KeyError::BadName`] unless it is 1 to 64 characters of `A-Z a-z 0-9 - _`.
    pub fn and_retired(self, kid: &str) -> Result<Self, KeyError> {
        let retired = self.retired.iter().cloned().chain([checked(kid)?.to_owned()]).collect();
        Ok(Self { retired, ..self })
    }

    /// This ring, as the successor of `before`: the keys that are no longer in it are withdrawn.
    pub(super) fn after(self, before: &Self) -> Self {
        let is_here = |kid: &String| self.keys().any(|key| key.kid == *kid);
        let gone = before.keys().map(|key| &key.kid).chain(before.retired.iter());
        let mut retired: Vec<_> =
            self.retired.iter().chain(gone).filter(|kid| !is_here(kid)).cloned().collect();
        retired.sort_unstable();
        retired.dedup();
        Self { retired: retired.into(), ..self }
    }

    /// Whether `vouchers` say that the unknown key named `kid` is in one ring with a key of this ring.
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

fn checked(kid: &str) -> Result<&str, KeyError> {
    if is_name(kid) { Ok(kid) } else { Err(KeyError::BadName(kid.to_owned())) }
}

/// The same keys. The tokens of the first one list vouchers of the others.
fn vouched_for(mut keys: Vec<Key>) -> Vec<Key> {
    if let [signer, others @ ..] = &mut *keys {
        let vouchers = others.iter().take(MOST_VOUCHERS).map(|other| other.refresh.vouch(&signer.kid));
        let vouchers: Vec<_> = vouchers.collect();
        *signer = signer.with_vouchers(&URL_SAFE_NO_PAD.encode(vouchers.as_flattened()));
    }
    keys
}

/// Shows the names of the keys only.
impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys().map(|key| &key.kid)).finish()
    }
}
