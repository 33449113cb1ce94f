//! The check that refuses weak HMAC secrets.

use zeroize::Zeroizing;

use super::error::KeyError;

/// Refuses a secret that is shorter than the hash (RFC 7518, section 3.2), a key file (RFC 8725, section 2.1), text
/// with a line break at its end or with white space or quotes around it, an example from a tutorial, or a pattern.
pub(super) fn check(secret: &[u8]) -> Result<(), KeyError> {
    if secret.len() < 32 {
        return Err(KeyError::TooShort(secret.len()));
    }
    let pem = secret.trim_ascii_start().starts_with(b"-----BEGIN") || secret.starts_with(b"ssh-");
    if pem || is_der(secret) || secret.trim_ascii_start().starts_with(b"{\"kty\"") {
        return Err(KeyError::LooksLikeKeyFile);
    }
    if let Some(text) = as_text(secret) {
        if ends_in_line_break(text) {
            return Err(KeyError::LineBreak);
        }
        if is_surrounded(text) {
            return Err(KeyError::Surrounded);
        }
    }
    if is_pattern(secret) || is_example(secret) { Err(KeyError::Weak) } else { Ok(()) }
}

/// Returns the secret if it is text. One in 128 secrets of random bytes ends in a byte that is a line break in text,
/// but random bytes are not text.
fn as_text(secret: &[u8]) -> Option<&str> {
    let is_of_text = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    str::from_utf8(secret).ok().filter(|text| text.chars().all(is_of_text))
}

/// Whether the text ends in a line break. The two characters `\n` count, too.
fn ends_in_line_break(text: &str) -> bool {
    text.ends_with(['\n', '\r']) || text.ends_with("\\n")
}

/// Whether the text has white space, invisible characters or quotes around it.
fn is_surrounded(text: &str) -> bool {
    let is_outside = |c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}');
    let has_quotes = |quote| text.starts_with(quote) && text.ends_with(quote);
    text.starts_with(is_outside) || text.ends_with(is_outside) || has_quotes('"') || has_quotes('\'')
}

/// Whether the secret has few different bytes, counts up, or repeats its start at its end.
fn is_pattern(secret: &[u8]) -> bool {
    /// In a random secret, a part of this many bytes does not repeat by chance.
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

/// Words that are common in example secrets. If a word contains another word of the list, the longer word comes first.
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

/// Whether too few characters of the secret are left after the common words are removed. This check finds an example, a
/// repeated example and a padded example.
fn is_example(secret: &[u8]) -> bool {
    /// If fewer characters than this are left, an attacker can guess them.
    const FEW: usize = 8;
    let Ok(text) = str::from_utf8(secret) else { return false };
    let letters = text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase);
    let mut left = Zeroizing::new(letters.collect::<String>());
    for word in WORDS {
        left = Zeroizing::new(left.replace(word, " "));
    }
    // An attacker must guess a repeated part only once.
    let mut parts: Vec<&str> = left.split_whitespace().collect();
    parts.sort_unstable();
    parts.dedup();
    parts.iter().map(|part| part.chars().count()).sum::<usize>() < FEW + text.len() / 16
}

/// Whether the bytes are a DER sequence with exactly the length that its header says.
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
    fn weak_secrets_and_key_files_are_refused() {
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
}
