//! HMAC-SHA256 keys, and values that are derived from a secret.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::error::KeyError;

/// The label of the key that signs refresh tokens (HKDF of RFC 5869, no salt).
const REFRESH: &[u8] = b"tower-sliding-sessions refresh v1";
/// The label of a key's name. The name reveals nothing of the secret.
const KEY_ID: &[u8] = b"tower-sliding-sessions kid v1";

/// The start of the text that a vouching key signs (see [`HmacKey::vouch`]). This text contains a space, and tokens
/// contain none. So no token's signature is a voucher.
const VOUCH: &[u8] = b"tower-sliding-sessions vouch v1 ";
/// The start of the text from which the key of a sealed value is made. This text contains a space, and tokens contain
/// none. So no token's signature is the key of a sealed value.
#[cfg(any(feature = "oidc", feature = "vault"))]
const SEAL: &[u8] = b"tower-sliding-sessions seal v1 ";
/// The start of the text that the signature of a device's challenge covers. This text contains a space, and tokens
/// contain none. So no token's signature is the signature of a challenge.
#[cfg(feature = "device-bound")]
const CHALLENGE: &[u8] = b"tower-sliding-sessions challenge v1 ";
/// The length of a voucher in bytes. A voucher may be this short, because an attacker can only guess it online.
pub(super) const VOUCHER: usize = 9;

/// A prepared HMAC-SHA256 key. `Debug` does not show the key, and its memory is wiped when it is dropped.
#[derive(Clone)]
pub(super) struct HmacKey(Hmac<Sha256>);

impl HmacKey {
    pub(super) fn new(secret: &[u8]) -> Result<Self, KeyError> {
        Hmac::new_from_slice(secret).map(Self).map_err(|_| KeyError::TooShort(secret.len()))
    }

    /// The key for refresh tokens. Only a holder of `secret` can mint refresh tokens. A public key, or access to a
    /// signing service, is not enough.
    pub(super) fn for_refresh(secret: &[u8]) -> Result<Self, KeyError> {
        Self::new(derive::<32>(secret, REFRESH)?.as_slice())
    }

    /// Makes a voucher. It says that the key named `kid` is in the same ring as this key. A voucher proves nothing
    /// about the sender, because every holder of a token can read the token's vouchers.
    pub(super) fn vouch(&self, kid: &str) -> [u8; VOUCHER] {
        let [a, b, c, d, e, f, g, h, i, ..] = self.sign(&[VOUCH, kid.as_bytes()].concat());
        [a, b, c, d, e, f, g, h, i]
    }

    /// Whether this key made `voucher` for `kid`. The comparison takes constant time.
    pub(super) fn has_vouched(&self, kid: &str, voucher: &[u8; VOUCHER]) -> bool {
        let mac = self.0.clone().chain_update(VOUCH).chain_update(kid);
        mac.verify_truncated_left(voucher).is_ok()
    }

    /// The key that seals one value. Each value has a different `salt`. The salt has a fixed length, so two different
    /// pairs of purpose and salt never make the same text.
    ///
    /// HMAC-SHA256 with this key is a pseudorandom function, so its output can be a key. The steps of HKDF (RFC 5869)
    /// are not needed, because this key is itself derived from the secret.
    #[cfg(any(feature = "oidc", feature = "vault"))]
    pub(super) fn sealing_key(&self, purpose: &str, salt: &[u8; 20]) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.sign(&[SEAL, purpose.as_bytes(), b" ", salt].concat()))
    }

    /// Signs the content of a challenge.
    #[cfg(feature = "device-bound")]
    pub(super) fn challenge(&self, content: &[u8]) -> [u8; 32] {
        self.sign(&[CHALLENGE, content].concat())
    }

    /// Whether this key signed a challenge with this content. The comparison takes constant time.
    #[cfg(feature = "device-bound")]
    pub(super) fn has_challenged(&self, content: &[u8], signature: &[u8]) -> bool {
        self.verify(&[CHALLENGE, content].concat(), signature)
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 32] {
        self.0.clone().chain_update(message).finalize().into_bytes().into()
    }

    /// Whether this key signed `message`. The comparison takes constant time.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0.clone().chain_update(message).verify_slice(signature).is_ok()
    }
}

impl fmt::Debug for HmacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HmacKey(..)")
    }
}

/// A name for the key with this secret. The name reveals nothing about the secret.
pub(super) fn key_id(secret: &[u8]) -> Result<String, KeyError> {
    Ok(URL_SAFE_NO_PAD.encode(derive::<9>(secret, KEY_ID)?))
}

fn derive<const N: usize>(secret: &[u8], label: &[u8]) -> Result<Zeroizing<[u8; N]>, KeyError> {
    let mut key = Zeroizing::new([0; N]);
    Hkdf::<Sha256>::new(None, secret)
        .expand(label, key.as_mut_slice())
        .map_err(|_| KeyError::TooShort(secret.len()))?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refresh_key_is_the_documented_derivation() {
        // HKDF-SHA256 of 32 bytes 0x0b without a salt, computed here by HMACs (RFC 5869, section 2).
        let secret = [0x0b; 32];
        let prk = HmacKey::new(&[0; 32]).expect("any length").sign(&secret);
        let okm = HmacKey::new(&prk).expect("any length").sign(&[REFRESH, &[1]].concat());
        let by_hand = HmacKey::new(&okm).expect("any length").sign(b"message");
        let derived = HmacKey::for_refresh(&secret).expect("any length");
        assert!(derived.verify(b"message", &by_hand));
        assert_eq!(format!("{derived:?}"), "HmacKey(..)");
    }
}
