//! Seals values with the keys of the ring. Seals by AES-256-GCM, with a different key for each value.
//!
//! A sealed value has these parts: one byte for the version; one byte for the length of the key's name; the name; 20
//! random bytes (the salt); 12 random bytes (the nonce); the encrypted text; 16 bytes (the tag). The key of a value is
//! derived from a key of the ring, the purpose and the salt. So a key of the ring can seal any number of values.

use std::fmt;

use zeroize::Zeroizing;

#[cfg(feature = "aws_lc_rs")]
use super::aws_lc_rs as backend;
use super::keyring::Keyring;
#[cfg(not(feature = "aws_lc_rs"))]
use super::rust_crypto as backend;
use crate::id;

const VERSION: u8 = 1;
const SALT: usize = 20;
const NONCE: usize = 12;
const TAG: usize = 16;

/// Why a value was not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SealError {
    #[error("the operating system's random generator failed")]
    Entropy,
    /// The value is longer than the cipher accepts (64 GiB), or the crypto library failed.
    #[error("the crypto library could not encrypt")]
    Cipher,
}

/// The result of [`open`]. `Debug` does not show the plaintext.
pub(crate) struct Opened {
    pub(crate) plaintext: Zeroizing<Vec<u8>>,
    /// Whether the signing key sealed the value. If `false`, seal the value again, because another key of the ring
    /// sealed it.
    pub(crate) by_signing_key: bool,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("by_signing_key", &self.by_signing_key).finish_non_exhaustive()
    }
}

/// Seals `plaintext` with the signing key of `ring`. The sealed value opens only with the same `purpose` and the same
/// `associated` data.
pub(crate) fn seal(
    ring: &Keyring,
    purpose: &'static str,
    associated: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, SealError> {
    let key = ring.signer();
    let (salt, nonce): ([u8; SALT], [u8; NONCE]) = (random()?, random()?);
    // INVARIANT: a key's name has at most 64 bytes.
    let length = u8::try_from(key.kid.len()).map_err(|_| SealError::Cipher)?;
    let head = [&[VERSION, length], key.kid.as_bytes()].concat();
    let mut text = Zeroizing::new(plaintext.to_vec());
    // INVARIANT: the signing key has a secret.
    let secret = key.refresh.as_ref().ok_or(SealError::Cipher)?.sealing_key(purpose, &salt);
    let tag = backend::encrypt(&secret, &nonce, &[&head, associated].concat(), &mut text);
    Ok([&*head, &salt, &nonce, &text, &tag.ok_or(SealError::Cipher)?].concat())
}

/// Opens a value that [`seal`] made, with any key of `ring`. Returns `None` if no key of the ring sealed the value, if
/// the value was sealed for another purpose or with other associated data, or if any bit of the value differs.
pub(crate) fn open(
    ring: &Keyring,
    purpose: &'static str,
    associated: &[u8],
    sealed: &[u8],
) -> Option<Opened> {
    let [VERSION, length, rest @ ..] = sealed else { return None };
    let (kid, rest) = rest.split_at_checked(usize::from(*length))?;
    let (salt, rest) = rest.split_first_chunk::<SALT>()?;
    let (nonce, rest) = rest.split_first_chunk::<NONCE>()?;
    let (text, tag) = rest.split_last_chunk::<TAG>()?;
    let key = ring.keys().find(|key| key.kid.as_bytes() == kid)?;
    let head = [&[VERSION, *length], kid].concat();
    let secret = key.refresh.as_ref()?.sealing_key(purpose, salt);
    let plaintext = backend::decrypt(&secret, nonce, &[&head, associated].concat(), text, tag)?;
    Some(Opened { plaintext, by_signing_key: key.kid == ring.signer().kid })
}

fn random<const N: usize>() -> Result<[u8; N], SealError> {
    id::random().map_err(|_| SealError::Entropy)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &[u8] = b"9bXc1Vd7Zm0Qw4Er6Ty8Ui2Op5As3DfG";
    const NEW: &[u8] = b"3q2+7wQmV1xK9rT0pLsYzBnH5cJ8uGfE";

    fn ring(secret: &[u8]) -> Keyring {
        Keyring::hs256(secret).expect("a good secret")
    }

    #[test]
    fn sealed_value_opens_for_its_purpose_and_associated_data_only() {
        let ring = ring(NEW);
        let sealed = seal(&ring, "test", b"alice", b"a provider's token").expect("sealed");
        let opened = open(&ring, "test", b"alice", &sealed).expect("opened");
        assert_eq!(**opened.plaintext, *b"a provider's token");
        assert!(opened.by_signing_key);
        assert!(!format!("{opened:?}").contains("provider"));
        assert!(open(&ring, "test", b"bob", &sealed).is_none());
        assert!(open(&ring, "other", b"alice", &sealed).is_none());
        assert!(open(&self::ring(OLD), "test", b"alice", &sealed).is_none());
    }

    #[test]
    fn changed_or_shortened_value_does_not_open() {
        let ring = ring(NEW);
        let sealed = seal(&ring, "test", b"", b"text").expect("sealed");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            if let Some(byte) = changed.get_mut(at) {
                *byte ^= 1;
            }
            assert!(open(&ring, "test", b"", &changed).is_none(), "byte {at}");
            assert!(open(&ring, "test", b"", &sealed[..at]).is_none(), "{at} bytes");
        }
        assert!(open(&ring, "test", b"", &[&*sealed, b"x"].concat()).is_none());
    }

    #[test]
    fn same_value_is_sealed_differently_each_time() {
        let ring = ring(NEW);
        let [one, two] = [(); 2].map(|()| seal(&ring, "test", b"", b"text").expect("sealed"));
        let start = 2 + ring.signer().kid.len();
        assert!(one[start..].iter().zip(&two[start..]).filter(|(a, b)| a == b).count() < 12);
    }

    #[test]
    fn value_opens_with_a_replaced_key_and_says_so() {
        let sealed = seal(&ring(OLD), "test", b"", b"").expect("sealed");
        let rotated = ring(NEW).publish(ring(OLD)).expect("two keys");
        let opened = open(&rotated, "test", b"", &sealed).expect("opened");
        assert!(opened.plaintext.is_empty() && !opened.by_signing_key);
    }

    #[test]
    #[cfg(all(feature = "aws_lc_rs", feature = "rust_crypto"))]
    fn cipher_is_aes_256_gcm() {
        use aes_gcm::{Aes256Gcm, KeyInit as _, aead::AeadInOut as _};

        let (key, nonce, mut text) = ([7; 32], [9; 12], *b"text");
        let tag = backend::encrypt(&key, &nonce, b"associated", &mut text).expect("encrypted");
        let cipher = Aes256Gcm::new((&key).into());
        cipher
            .decrypt_inout_detached((&nonce).into(), b"associated", (&mut text[..]).into(), (&tag).into())
            .expect("another library decrypts it");
        assert_eq!(text, *b"text");
    }
}
