//! The keys of a service, and their constructors.

use std::{fmt, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::crypto::{JwtSigner, JwtVerifier};
use zeroize::Zeroizing;

#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
use super::asymmetric;
use super::{
    access_key::AccessKey,
    error::KeyError,
    hmac::{self, HmacKey, VOUCHER},
    key::{Key, KeyStep},
    name::{checked, is_name},
    secret,
};
use crate::{
    id,
    time::{Clock, Timestamp},
};

/// The keys of a service. One key signs tokens, and the other keys verify tokens. A key ring is immutable and cheap to
/// clone.
///
/// A key goes through four steps. Finish each step on all instances before you start the next step:
///
/// | step | the key |
/// |---|---|
/// | [`publish`](Self::publish) | verifies, and does not sign yet |
/// | [`promote`](Self::promote) | signs. The key that signed before verifies from now on |
/// | [`retire`](Self::retire) | verifies until the last of its tokens has expired, and is then removed automatically |
/// | [`pull`](Self::pull) | is void at once. Use this step for a leaked key |
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use tower_sliding_sessions::{Keyring, Sessions};
/// # let old_secret = b"9bXc1Vd7Zm0Qw4Er6Ty8Ui2Op5As3DfG";
/// # let new_secret = b"3q2+7wQmV1xK9rT0pLsYzBnH5cJ8uGfE";
/// let old = Keyring::hs256(old_secret)?.with_kid("2026")?;
/// let new = Keyring::hs256(new_secret)?.with_kid("2027")?;
/// let sessions: Sessions = Sessions::builder(old).build()?;
///
/// sessions.set_keys(sessions.keys().publish(new)?);
/// sessions.set_keys(sessions.keys().promote("2027")?);
/// sessions.set_keys(sessions.keys().retire("2026")?);
/// # Ok(()) }
/// ```
///
/// To start with a ring in which a new key signs and an old key verifies, use
/// `Keyring::hs256(new_secret)?.publish(Keyring::hs256(old_secret)?)?`.
///
/// Suppose that a new key signs on one instance, and that another instance does not have this key yet. The other
/// instance cannot verify the new tokens. It answers 503 with `Retry-After` instead of 401, and changes no cookie. So
/// the session continues on the instances that have the key.
///
/// This works by *vouchers*. A token contains vouchers of up to three other keys of its ring, in the header `vouch`.
/// The keys that signed last come first. The other instance accepts a voucher if it has the key that made the voucher.
/// So an instance may be three promotions behind. The answer is 401 if no known key vouches for the `kid` of the token,
/// or if the token says that it has expired, because anyone can make such a token.
#[doc(alias = "key rotation")]
#[derive(Clone)]
pub struct Keyring {
    /// The first key signs, and the other keys only verify. In a ring of public keys, no key signs, and the ring may be
    /// empty.
    pub(super) keys: Arc<[Key]>,
    pub(super) pulled: Arc<[PulledKey]>,
    /// `None` before the ring is in force.
    pub(super) term: Option<KeyTerm>,
}

/// The name of a key that was pulled.
#[derive(Clone)]
pub(super) struct PulledKey {
    pub(super) kid: String,
    /// When the key was pulled. Before the ring is in force, only a JWK Set with `since` sets this time.
    pub(super) since: Option<Timestamp>,
}

/// How long a retired key verifies.
#[derive(Clone)]
pub(super) struct KeyTerm {
    pub(super) clock: Arc<dyn Clock>,
    /// The longest lifetime of a token: one absolute timeout and one grace period.
    pub(super) longest: Duration,
}

/// The largest number of keys that vouch for the signing key. The voucher of each key takes 16 bytes of each token.
const MOST_VOUCHERS: usize = 3;

impl Keyring {
    /// Makes a new random key. After a restart of the process, the key is lost, and all sessions are invalid. Use a
    /// random key for experiments, or for a single instance with the memory store. The memory store loses its sessions
    /// at a restart anyway.
    ///
    /// # Errors
    /// [`KeyError::Entropy`] if the operating system returns no random bytes.
    pub fn random() -> Result<Self, KeyError> {
        Self::hs256(Zeroizing::new(id::random::<32>().map_err(|_| KeyError::Entropy)?).as_slice())
    }

    /// Makes an HMAC-SHA256 key from a secret of at least 32 random bytes.
    ///
    /// # Errors
    /// [`KeyError`] if the secret is too short or weak, or is a key file, or is text that ends in a line break or has
    /// white space or quotes around it.
    pub fn hs256(secret: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let secret = secret.as_ref();
        secret::check(secret)?;
        let kid = hmac::key_id(secret)?;
        let access = AccessKey::hs256(HmacKey::new(secret)?);
        Ok(Self::of(Key::new(kid, access, HmacKey::for_refresh(secret)?)?))
    }

    /// Makes an Ed25519 key (`EdDSA`, RFC 8037) from a private key in PKCS#8 PEM form. Pass the text, not the path of
    /// its file. The function accepts blank lines, indentation, any line ends, a byte order mark, quotes around the
    /// text, and `\n` as two characters.
    ///
    /// # Errors
    /// [`KeyError::Pem`] says what is wrong with the text, and how to correct it.
    #[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
    #[cfg_attr(docsrs, doc(cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))))]
    pub fn ed25519_pem(private_key: &str) -> Result<Self, KeyError> {
        asymmetric::ed25519(private_key).map(Self::of)
    }

    /// Makes an ES256 key (ECDSA on P-256 with SHA-256, RFC 7518) from a private key in PKCS#8 PEM form. Pass the text,
    /// not the path of its file. The function accepts blank lines, indentation, any line ends, a byte order mark,
    /// quotes around the text, and `\n` as two characters.
    ///
    /// # Errors
    /// [`KeyError::Pem`] says what is wrong with the text, and how to correct it.
    #[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
    #[cfg_attr(docsrs, doc(cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))))]
    pub fn es256_pem(private_key: &str) -> Result<Self, KeyError> {
        asymmetric::es256(private_key).map(Self::of)
    }

    /// Uses your own signer and verifier for access tokens. Examples: a key in a KMS or an HSM, or another algorithm,
    /// such as RS256. The signer and the verifier must name the same algorithm.
    ///
    /// `kid` is the key's name in tokens. Refresh tokens stay HS256: they are signed with a key that is derived from
    /// `refresh_secret`. `refresh_secret` must have at least 32 random bytes. Use a different secret for each key.
    ///
    /// The constructor signs one message, to check that the signer and the verifier belong together.
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
    /// Signing is synchronous and has no deadline. A renewal signs one access token, and a sign-in signs two. A signer
    /// that calls a service over the network must limit the time itself. Such a signer must also call
    /// `tokio::task::block_in_place`, because otherwise other requests wait too. The verifier runs for each access
    /// token that is not in the cache. So verify in memory, with the public key.
    ///
    /// An access token must fit into a cookie of 3072 bytes. The signature of an RSA key of 4096 bits takes 683 of
    /// these bytes.
    ///
    /// # Errors
    /// - [`KeyError::SignerFailed`] if the signer cannot sign.
    /// - [`KeyError::VerifierMismatch`] if the verifier does not match the signer.
    /// - [`KeyError::BadName`] unless `kid` is 1 to 64 characters of `A-Z a-z 0-9 - _`.
    /// - The errors of [`hs256`](Self::hs256) for `refresh_secret`.
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

    /// Sets the signing key's name, which is the `kid` in its tokens. Default: a name that is derived from the key. The
    /// default name reveals nothing about the secret or private key.
    ///
    /// # Errors
    /// [`KeyError::BadName`] unless `kid` is 1 to 64 characters of `A-Z a-z 0-9 - _`, and [`KeyError::DuplicateName`]
    /// if another key of the ring has this name.
    pub fn with_kid(self, kid: &str) -> Result<Self, KeyError> {
        if self.keys.iter().skip(1).any(|key| key.kid == kid) {
            return Err(KeyError::DuplicateName(kid.to_owned()));
        }
        let named = self.signer().with_kid(checked(kid)?);
        let keys = std::iter::once(named).chain(self.keys.iter().skip(1).cloned()).collect();
        Ok(self.with_keys(keys))
    }

    /// The signing key's name.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.signer().kid
    }

    /// Whether a key of this ring vouches for the unknown key named `kid`: one of `vouchers` says that both keys are in
    /// the same ring.
    pub(super) fn vouches_for(&self, kid: &str, vouchers: &str) -> bool {
        if !is_name(kid) || self.pulled.iter().any(|pulled| pulled.kid == kid) {
            return false;
        }
        let mut decoded = [[0; VOUCHER]; MOST_VOUCHERS];
        let flat = decoded.as_flattened_mut();
        let Ok(length) = URL_SAFE_NO_PAD.decode_slice(vouchers, flat) else { return false };
        let vouchers = decoded.iter().take(length / VOUCHER);
        let has_vouched =
            |key: &Key, voucher| key.refresh.as_ref().is_some_and(|it| it.has_vouched(kid, voucher));
        vouchers.into_iter().any(|voucher| self.keys().any(|key| has_vouched(key, voucher)))
    }

    pub(super) fn of(key: Key) -> Self {
        Self { keys: Arc::new([key]), pulled: Arc::default(), term: None }
    }

    /// This ring with other keys. The tokens of the first key contain vouchers of the other keys.
    pub(super) fn with_keys(self, mut keys: Vec<Key>) -> Self {
        if let [signer, others @ ..] = &mut *keys {
            let vouching = others.iter().filter_map(|other| other.refresh.as_ref());
            let vouchers: Vec<_> =
                vouching.take(MOST_VOUCHERS).map(|other| other.vouch(&signer.kid)).collect();
            *signer = signer.with_vouchers(&URL_SAFE_NO_PAD.encode(vouchers.as_flattened()));
        }
        Self { keys: keys.into(), ..self }
    }

    #[expect(clippy::expect_used, reason = "see the invariant")]
    pub(super) fn signer(&self) -> &Key {
        // INVARIANT: every public constructor makes a ring of one key, and no step removes the first key. A ring of
        // public keys stays within the layer that only verifies, and that layer asks for no signer.
        self.keys.first().expect("a ring has a key")
    }

    /// The keys that verify. Retired keys whose tokens have all expired are left out.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(|key| !self.is_gone(key))
    }

    /// When the last token of a retired key has expired. `None` for a key that is not retired, and before the ring is
    /// in force.
    pub(super) fn gone_at(&self, key: &Key) -> Option<Timestamp> {
        let (KeyStep::Retired, Some(since), Some(term)) = (key.step, key.since, &self.term) else {
            return None;
        };
        Some(since + term.longest)
    }

    fn is_gone(&self, key: &Key) -> bool {
        self.gone_at(key).is_some_and(|gone_at| self.has_passed(gone_at))
    }

    /// Whether the current time is `time` or later. `false` before the ring is in force.
    pub(super) fn has_passed(&self, time: Timestamp) -> bool {
        self.term.as_ref().is_some_and(|term| term.clock.now() >= time)
    }
}

/// Shows only the names of the keys and their steps.
impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.keys().map(|key| (&key.kid, key.step))).finish()
    }
}
