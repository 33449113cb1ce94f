//! Compact JWS (RFC 7515). This module accepts only tokens that this crate mints.

use std::{borrow::Cow, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use memchr::memrchr;
use serde::{Deserialize, Serialize};

use super::{
    error::{InvalidToken, MintError},
    key::{Key, Kind},
    keyring::Keyring,
};
use crate::time::Timestamp;

/// The longest token that is read, in bytes.
pub(crate) const LONGEST_TOKEN: usize = 4096;

/// Signs `claims` with the ring's first key.
pub(super) fn mint(ring: &Keyring, kind: Kind, claims: &impl Serialize) -> Result<String, MintError> {
    // A ring of public keys may be empty.
    let Some(key) = ring.keys.first() else {
        return Err(MintError::Signing(Arc::new(jsonwebtoken::signature::Error::new())));
    };
    let mut json = Vec::with_capacity(512);
    serde_json::to_writer(&mut json, claims).map_err(|error| MintError::NotJson(Arc::new(error)))?;
    let mut token = Vec::with_capacity(key.header(kind).len() + encoded(json.len()) + encoded(64) + 1);
    token.extend_from_slice(key.header(kind).as_bytes());
    encode(&json, &mut token);
    let (access, refresh);
    let signature: &[u8] = match kind {
        Kind::Access => {
            access = key.sign_access(&token)?;
            &access
        }
        Kind::Refresh => {
            refresh = key.sign_refresh(&token)?;
            &refresh
        }
    };
    token.push(b'.');
    encode(signature, &mut token);
    // INVARIANT: all bytes of the token are ASCII.
    String::from_utf8(token).map_err(|error| MintError::Signing(Arc::new(error.utf8_error())))
}

/// The largest length of `bytes` bytes in base64url.
const fn encoded(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4
}

/// Appends `bytes` in base64url. This is faster than `encode_string`, which writes in chunks.
fn encode(bytes: &[u8], text: &mut Vec<u8>) {
    let start = text.len();
    text.resize(start + encoded(bytes.len()), 0);
    // INVARIANT: the buffer has room for the encoded bytes.
    let written = text.get_mut(start..).and_then(|room| URL_SAFE_NO_PAD.encode_slice(bytes, room).ok());
    text.truncate(start + written.unwrap_or_default());
}

/// Verifies `token`, and passes its payload to `read`. No claim is trusted before the signature is verified (RFC 8725,
/// section 3.3). There is one exception: for a token of a new key, the unverified `exp` decides between two errors.
pub(super) fn verify<R>(
    ring: &Keyring,
    kind: Kind,
    token: &[u8],
    read: impl FnOnce(&[u8]) -> Result<R, InvalidToken>,
) -> Result<R, InvalidToken> {
    if token.len() > LONGEST_TOKEN {
        return Err(InvalidToken::TooLong);
    }
    let dot = |part: &[u8]| memrchr(b'.', part).ok_or(InvalidToken::Malformed);
    let (message, signature) = token.split_at(dot(token)?);
    let (head, payload) = message.split_at(dot(message)?);
    let ([b'.', payload @ ..], [b'.', signature @ ..]) = (payload, signature) else {
        return Err(InvalidToken::Malformed);
    };

    let key = find_key(ring, kind, head).map_err(|invalid| match invalid {
        InvalidToken::NewKey if has_expired(ring, payload) => InvalidToken::UnknownKey,
        other => other,
    })?;
    let is_valid = match kind {
        Kind::Access => {
            let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| InvalidToken::Malformed)?;
            key.verify_access(message, &signature)
        }
        Kind::Refresh => key.verify_refresh(message, decode(signature, &mut [0; 48])?),
    };
    if !is_valid {
        return Err(InvalidToken::Signature);
    }
    // Most tokens are short, so they use a short buffer: clearing a buffer for the longest token takes time.
    let (mut short, mut long);
    let payload_buffer: &mut [u8] = if payload.len() <= 1024 {
        short = [0; 1024 / 4 * 3];
        &mut short
    } else {
        long = [0; LONGEST_TOKEN / 4 * 3];
        &mut long
    };
    read(decode(payload, payload_buffer)?)
}

/// Whether an unverified token says that it has expired, or has no expiry. No instance accepts such a token.
#[cold]
fn has_expired(ring: &Keyring, payload: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Expiry {
        exp: u64,
    }
    let mut buffer = [0; LONGEST_TOKEN / 4 * 3];
    let expiry = decode(payload, &mut buffer).ok().and_then(object::<Expiry>);
    expiry.is_none_or(|Expiry { exp }| ring.has_passed(Timestamp::from_secs(exp)))
}

/// The members of a header. All other members are refused, such as `crit`, `b64`, `zip`, `enc`, `cty`, keys, and the
/// addresses of keys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    #[serde(borrow)]
    kid: Cow<'a, str>,
    #[serde(borrow)]
    typ: Cow<'a, str>,
    #[serde(borrow, default)]
    vouch: Cow<'a, str>,
}

impl Header<'_> {
    /// Whether any instance can sign tokens of this kind with the header's algorithm.
    fn has_algorithm_for(&self, kind: Kind) -> bool {
        let algorithm = self.alg.parse().ok();
        match kind {
            Kind::Access => algorithm.is_some(),
            Kind::Refresh => algorithm == Some(Algorithm::HS256),
        }
    }
}

/// Finds the key by `kid`. The key fixes the algorithm. A header that is equal to the key's own header, byte by byte,
/// is not parsed. A header with another spelling of the same members is parsed.
///
/// If no key has the `kid`, the vouchers decide between [`InvalidToken::NewKey`] and [`InvalidToken::UnknownKey`].
/// Without the key, the signature over the vouchers cannot be verified. So the vouchers decide only whether the client
/// must try again or sign in.
fn find_key<'r>(ring: &'r Keyring, kind: Kind, head: &[u8]) -> Result<&'r Key, InvalidToken> {
    let wrote_it = |key: &&Key| key.header(kind).as_bytes().strip_suffix(b".") == Some(head);
    if let Some(key) = ring.keys().find(wrote_it) {
        return Ok(key);
    }
    let mut buffer = [0; 384];
    let header: Header<'_> = object(decode(head, &mut buffer)?).ok_or(InvalidToken::Header)?;
    if header.typ != kind.typ() {
        return Err(InvalidToken::Header);
    }
    let Some(key) = ring.keys().find(|key| key.kid == header.kid) else {
        let is_new = header.has_algorithm_for(kind) && ring.vouches_for(&header.kid, &header.vouch);
        return Err(if is_new { InvalidToken::NewKey } else { InvalidToken::UnknownKey });
    };
    if header.alg.parse().ok() != Some(key.algorithm(kind)) {
        return Err(InvalidToken::Header);
    }
    Ok(key)
}

/// The vouchers in the tokens that `key` signs.
#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
pub(super) fn vouchers(key: &Key) -> String {
    let mut buffer = [0; 384];
    let head = key.header(Kind::Refresh).trim_end_matches('.').as_bytes();
    let header = decode(head, &mut buffer).ok().and_then(object::<Header<'_>>);
    header.map(|header| header.vouch.into_owned()).unwrap_or_default()
}

/// Decodes canonical base64url only: no padding, no stray bits, no other characters.
pub(super) fn decode<'b>(text: &[u8], buffer: &'b mut [u8]) -> Result<&'b [u8], InvalidToken> {
    let len = URL_SAFE_NO_PAD.decode_slice(text, buffer).map_err(|_| InvalidToken::Malformed)?;
    buffer.get(..len).ok_or(InvalidToken::Malformed)
}

/// Reads claims. Refuses a claim that has the wrong type, comes twice or is unknown.
pub(super) fn claims<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, InvalidToken> {
    object(json).ok_or(InvalidToken::Claims)
}

/// Reads a JSON object. An array is refused, because derived readers would fill members from the array by position.
/// UTF-8 is checked once for the whole text, because this is faster than a check of each string.
pub(super) fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Option<T> {
    let json = str::from_utf8(json).ok()?;
    if json.trim_ascii_start().starts_with('{') { serde_json::from_str(json).ok() } else { None }
}
