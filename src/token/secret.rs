//! Secrets for HMAC-SHA256: which are refused, and what is derived from one.

use std::fmt;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::KeyError;

/// The key of an HMAC-SHA256 that refresh tokens are signed with (RFC 5869, no salt).
const REFRESH: &[u8] = b"tower-sliding-sessions refresh v1";
/// The name of a secret: derived, so that it tells nothing of the secret.
const KEY_ID: &[u8] = b"tower-sliding-sessions kid v1";

/// What a vouching key says of another (see `vouch`). No token's signature is over a text with a space.
const VOUCH: &[u8] = b"tower-sliding-sessions vouch v1 ";
/// How many bytes of an HMAC vouch for a key: enough, for they are only ever guessed by asking.
pub(super) const VOUCHER: usize = 9;

/// A prepared HMAC-SHA256 key. Prints nothing of itself, and is wiped when dropped.
#[derive(Clone)]
pub(super) struct MacKey(Hmac<Sha256>);

impl MacKey {
    pub(super) fn new(secret: &[u8]) -> Result<Self, KeyError> {
        Hmac::new_from_slice(secret).map(Self).map_err(|_| KeyError::TooShort(secret.len()))
    }

    /// The key for refresh tokens that goes with `secret`: whatever signs access tokens, nobody
    /// who can verify or sign one can make a refresh token without the secret itself.
    pub(super) fn for_refresh(secret: &[u8]) -> Result<Self, KeyError> {
        Self::new(derive::<32>(secret, REFRESH)?.as_slice())
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 32] {
        self.0.clone().chain_update(message).finalize().into_bytes().into()
    }

    /// Says that the key named `kid` is of the same ring as this one. It proves nothing else: whoever was
    /// handed a token has seen it.
    pub(super) fn vouch(&self, kid: &str) -> [u8; VOUCHER] {
        let [a, b, c, d, e, f, g, h, i, ..] = self.sign(&[VOUCH, kid.as_bytes()].concat());
        [a, b, c, d, e, f, g, h, i]
    }

    /// Whether this key said so. In constant time.
    pub(super) fn has_vouched(&self, kid: &str, voucher: &[u8; VOUCHER]) -> bool {
        let mac = self.0.clone().chain_update(VOUCH).chain_update(kid);
        mac.verify_truncated_left(voucher).is_ok()
    }

    /// In constant time.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0.clone().chain_update(message).verify_slice(signature).is_ok()
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey(..)")
    }
}

/// A name for `secret` that tells nothing of it.
pub(super) fn key_id(secret: &[u8]) -> Result<String, KeyError> {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    Ok(URL_SAFE_NO_PAD.encode(derive::<9>(secret, KEY_ID)?))
}

fn derive<const N: usize>(secret: &[u8], info: &[u8]) -> Result<Zeroizing<[u8; N]>, KeyError> {
    let mut key = Zeroizing::new([0; N]);
    Hkdf::<Sha256>::new(None, secret)
        .expand(info, key.as_mut_slice())
        .map_err(|_| KeyError::TooShort(secret.len()))?;
    Ok(key)
}

/// Refuses what is no secret: shorter than the hash (RFC 7518, section 3.2), a key file mistaken for a
/// secret (RFC 8725, section 2.1), text with a line break at its end, an example from a tutorial, or a
/// pattern.
pub(super) fn check(secret: &[u8]) -> Result<(), KeyError> {
    if secret.len() < 32 {
        return Err(KeyError::TooShort(secret.len()));
    }
    let pem = secret.trim_ascii_start().starts_with(b"-----BEGIN") || secret.starts_with(b"ssh-");
    if pem || is_der(secret) || secret.trim_ascii_start().starts_with(b"{\"kty\"") {
        return Err(KeyError::LooksLikeKeyFile);
    }
    if ends_in_line_break(secret) {
        return Err(KeyError::LineBreak);
    }
    if is_pattern(secret) || is_example(secret) { Err(KeyError::Weak) } else { Ok(()) }
}

/// Whether it is text, and its last character a line break. One in 256 secrets of random bytes ends in
/// such a byte, but none is text.
fn ends_in_line_break(secret: &[u8]) -> bool {
    let is_of_text = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    secret.ends_with(b"\n") && str::from_utf8(secret).is_ok_and(|text| text.chars().all(is_of_text))
}

/// Few different bytes, bytes that count up, or an end that repeats the beginning.
fn is_pattern(secret: &[u8]) -> bool {
    /// So many bytes of a random secret do not repeat by chance.
    const LONG: usize = 8;
    let mut seen = [false; 256];
    for byte in secret {
        if let Some(seen) = seen.get_mut(usize::from(*byte)) {
            *seen = true;
        }
    }
    let distinct = seen.iter().filter(|seen| **seen).count();
    let counts = secret.windows(2).all(|pair| matches!(pair, [a, b] if b.wrapping_sub(*a) == 1));
    let repeats = |period: usize| secret.iter().zip(secret.iter().skip(period)).all(|(a, b)| a == b);
    distinct < 8 || counts || (1..=secret.len().saturating_sub(LONG)).any(repeats)
}

/// Words that examples of secrets are made of, none within another that comes later.
#[rustfmt::skip]
const WORDS: [&str; 74] = [
    "correcthorsebatterystaple", "insecure", "changeit", "changeme", "replaceme", "replacethis", "keyboardcat",
    "development", "production", "environment", "characters", "authentication", "application", "something",
    "1234567890", "0123456789", "123456789", "12345678", "87654321", "1234567", "123456", "abcdefghijklmnopqrstuvwxyz",
    "abcdefgh", "minimum", "password", "passphrase", "passwd", "qwerty", "letmein", "default", "example", "sessions",
    "session", "signing", "private", "sample", "secret", "secure", "random", "string", "cookie", "please", "should",
    "tokens", "token", "change", "access", "refresh", "testing", "hs256", "hmac", "sha256", "super", "least", "bytes",
    "valid", "admin", "hello", "world", "never", "share", "your", "this", "long", "very", "test", "demo", "auth",
    "bits", "that", "which", "with", "jwt", "key",
];

/// Whether hardly anything is left of it without the words that examples are made of: of one, of one
/// that is repeated, and of one that is padded.
fn is_example(secret: &[u8]) -> bool {
    /// So few characters are guessed.
    const FEW: usize = 8;
    let Ok(text) = str::from_utf8(secret) else { return false };
    let letters = text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase);
    let mut left = Zeroizing::new(letters.collect::<String>());
    for word in WORDS {
        left = Zeroizing::new(left.replace(word, " "));
    }
    // What is left and repeated is guessed once.
    let mut parts: Vec<&str> = left.split_whitespace().collect();
    parts.sort_unstable();
    parts.dedup();
    parts.iter().map(|part| part.chars().count()).sum::<usize>() < FEW + text.len() / 16
}

/// A DER sequence that is exactly as long as it says.
fn is_der(bytes: &[u8]) -> bool {
    match bytes {
        [0x30, 0x82, high, low, rest @ ..] => rest.len() == usize::from(u16::from_be_bytes([*high, *low])),
        [0x30, 0x81, len, rest @ ..] => rest.len() == usize::from(*len),
        [0x30, len @ ..=0x7f, rest @ ..] => rest.len() == usize::from(*len),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_secret_is_refused() {
        let der = [&[0x30, 0x2e][..], &[7; 46]].concat();
        let counted: Vec<u8> = (0..64).collect();
        for weak in [
            &b""[..],
            b"secret",
            b"0123456789abcdef0123456789abcde",
            &[0; 32],
            &b"secret".repeat(8),
            &b"your-256-bit-secret".repeat(2),
            b"a-string-secret-at-least-256-bits-long",
            b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----",
            &der,
            &counted,
        ] {
            assert!(check(weak).is_err(), "{:?}", String::from_utf8_lossy(weak));
        }
        assert!(check(b"3q2+7wQmV1xK9rT0pLsYzBnH5cJ8uGfE").is_ok());
    }

    #[test]
    fn the_refresh_key_is_the_documented_derivation() {
        // HKDF-SHA256 of 32 bytes 0x0b.., no salt, done by hand with two HMACs (RFC 5869, section 2).
        let secret = [0x0b; 32];
        let prk = MacKey::new(&[0; 32]).expect("any length").sign(&secret);
        let okm = MacKey::new(&prk).expect("any length").sign(&[REFRESH, &[1]].concat());
        let by_hand = MacKey::new(&okm).expect("any length").sign(b"message");
        let derived = MacKey::for_refresh(&secret).expect("any length");
        assert!(derived.verify(b"message", &by_hand));
        assert_eq!(format!("{derived:?}"), "MacKey(..)");
    }
}
