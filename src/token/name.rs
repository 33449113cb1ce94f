//! The names of keys: the `kid` of tokens.

use super::error::KeyError;

/// The longest name of a key of a ring, in characters.
const LONGEST: usize = 64;

pub(super) fn is_name(kid: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (1..=LONGEST).contains(&kid.len()) && kid.bytes().all(allowed)
}

pub(super) fn checked(kid: &str) -> Result<&str, KeyError> {
    if is_name(kid) { Ok(kid) } else { Err(KeyError::BadName(kid.chars().take(2 * LONGEST).collect())) }
}
