//! Compact JWS (RFC 7515), as strict as a format can be whose every token we mint ourselves.

use std::{error::Error, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use memchr::memrchr;
use serde::Deserialize;

use super::{
    LONGEST_TOKEN,
    keyring::{Key, Keyring},
};

/// The longest signature of any algorithm here, in bytes.
const LONGEST_SIGNATURE: usize = 64;

/// The two kinds of token. They never pass for each other: `typ`, key and claims all differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// RFC 9068, section 2.1.
    Access,
    Refresh,
}

impl Kind {
    const fn typ(self) -> &'static str {
        match self {
            Self::Access => "at+jwt",
            Self::Refresh => "rt+jwt",
        }
    }

    /// Whether any key there is signs such tokens by this algorithm.
    fn allows(self, algorithm: &str) -> bool {
        match self {
            Self::Access => matches!(algorithm, "HS256" | "EdDSA" | "ES256"),
            Self::Refresh => algorithm == "HS256",
        }
    }
}

/// Why a token was not accepted. For operators: whoever sent it gets one answer for all of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidToken {
    /// Longer than 4096 bytes.
    #[error("too long")]
    TooLong,
    /// Not three parts of canonical base64url.
    #[error("malformed")]
    Malformed,
    /// The header has other members than `alg`, `kid` and `typ`, or another `typ` or `alg`.
    #[error("unacceptable header")]
    Header,
    /// No key of the ring has this `kid`.
    #[error("unknown key")]
    UnknownKey,
    /// No key of the ring has this `kid`, but one of them vouches for it: another instance signs with a
    /// key that this one has not been given yet. What the token is worth is not known here.
    #[error("a new key that is not known here yet")]
    NewKey,
    /// The signature does not fit.
    #[error("wrong signature")]
    Signature,
    /// A claim is missing, has the wrong type, is unknown or comes twice.
    #[error("unacceptable claims")]
    Claims,
    /// The application's claims in a well signed access token cannot be read as its type: another version
    /// of the application has written them. A session is then renewed by its refresh token.
    #[error("claims of another version of the application")]
    Unreadable,
    /// It is for somebody else, or from somebody else.
    #[error("other audience or issuer")]
    Audience,
}

/// Why a token or a cookie could not be written.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MintError {
    /// It would have at least this many bytes, and browsers would drop its cookie. The limit is 3072.
    #[error("the token would have {0} bytes or more, but only 3072 are sure to fit into a cookie")]
    TooLong(usize),
    /// The claims cannot be written as JSON, as the source says.
    #[error("the claims cannot be written as JSON")]
    NotJson(#[source] Arc<dyn Error + Send + Sync>),
    /// An object in the claims names a member twice: two readers could see two values. So do a
    /// flattened map and a field that have a name in common.
    #[error("an object in the claims names a member twice")]
    DuplicateMember,
    /// The claims are written as JSON that cannot be read back as the application's type, as the source
    /// says. Not a number (`NaN`) is written as `null`, and `serde_json/arbitrary_precision`, which any
    /// crate of a build can turn on, keeps numbers in flattened and internally tagged types from being
    /// read.
    #[error("the claims are written as JSON that cannot be read back as their type")]
    NotReadable(#[source] Arc<dyn Error + Send + Sync>),
    /// What the readable cookie is to show cannot be written as JSON, as the source says.
    #[error("the readable cookie cannot be written as JSON")]
    Readable(#[source] Arc<dyn Error + Send + Sync>),
    /// The key cannot sign; it is for verification only, or its backend failed.
    #[error("the key could not sign")]
    Signing,
}

/// The encoded header of a key's tokens, with its dot. `vouchers` are of the other keys of its ring.
pub(super) fn header(algorithm: &str, kid: &str, kind: Kind, vouchers: &str) -> String {
    // INVARIANT: `kid` and `vouchers` are base64url (see `Key`), so nothing here needs escaping.
    let vouch = if vouchers.is_empty() { String::new() } else { format!(r#","vouch":"{vouchers}""#) };
    let json = format!(r#"{{"alg":"{algorithm}","kid":"{kid}","typ":"{}"{vouch}}}"#, kind.typ());
    let mut header = URL_SAFE_NO_PAD.encode(json);
    header.push('.');
    header
}

/// Signs what `write` writes with the ring's first key.
pub(super) fn mint(
    ring: &Keyring,
    kind: Kind,
    write: impl FnOnce(&mut Vec<u8>) -> serde_json::Result<()>,
) -> Result<String, MintError> {
    let key = ring.signer();
    let mut json = Vec::with_capacity(512);
    write(&mut json).map_err(|error| MintError::NotJson(Arc::new(error)))?;
    let mut token = Vec::with_capacity(key.header(kind).len() + encoded(json.len()) + encoded(64) + 1);
    token.extend_from_slice(key.header(kind).as_bytes());
    encode(&json, &mut token);
    let signature = key.sign(kind, &token)?;
    token.push(b'.');
    encode(signature.as_ref(), &mut token);
    // INVARIANT: all of it is ASCII.
    String::from_utf8(token).map_err(|_| MintError::Signing)
}

/// How many characters of base64url so many bytes are, at most.
const fn encoded(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4
}

/// Adds `bytes` in base64url, without the detours of an encoder that knows not how much is to come.
fn encode(bytes: &[u8], text: &mut Vec<u8>) {
    let start = text.len();
    text.resize(start + encoded(bytes.len()), 0);
    // INVARIANT: there is room.
    let written = text.get_mut(start..).and_then(|room| URL_SAFE_NO_PAD.encode_slice(bytes, room).ok());
    text.truncate(start + written.unwrap_or_default());
}

/// Verifies `token` and hands its payload to `read`. Nothing in it is used before its signature
/// has proved good (RFC 8725, section 3.3).
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

    let key = find_key(ring, kind, head)?;
    let mut signature_buffer = [0; LONGEST_SIGNATURE];
    if !key.verify(kind, message, decode(signature, &mut signature_buffer)?) {
        return Err(InvalidToken::Signature);
    }
    // Most tokens are short, and clearing a buffer for the longest takes time.
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

/// The `kid` picks the key, and the key fixes the algorithm. Tokens come with the very header
/// that the key writes; another spelling of the same members is read, anything else is not:
/// no `crit`, `b64`, `zip`, `enc`, `cty` and no keys or addresses of keys.
///
/// A `kid` that is not known here is told apart by its vouchers. They are not signed by the key itself, so
/// all that they decide is whether the sender is told to come back, or to sign in.
fn find_key<'r>(ring: &'r Keyring, kind: Kind, head: &[u8]) -> Result<&'r Key, InvalidToken> {
    let ours = |key: &&Key| key.header(kind).as_bytes().strip_suffix(b".") == Some(head);
    if let Some(key) = ring.keys().find(ours) {
        return Ok(key);
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Header<'a> {
        #[serde(borrow)]
        alg: std::borrow::Cow<'a, str>,
        #[serde(borrow)]
        kid: std::borrow::Cow<'a, str>,
        #[serde(borrow)]
        typ: std::borrow::Cow<'a, str>,
        #[serde(borrow, default)]
        vouch: std::borrow::Cow<'a, str>,
    }

    let mut buffer = [0; 384];
    let json = decode(head, &mut buffer)?;
    let header: Header<'_> = object(json).ok_or(InvalidToken::Header)?;
    if header.typ != kind.typ() {
        return Err(InvalidToken::Header);
    }
    let Some(key) = ring.keys().find(|key| key.kid() == header.kid) else {
        let is_new = kind.allows(&header.alg) && ring.vouches_for(&header.kid, &header.vouch);
        return Err(if is_new { InvalidToken::NewKey } else { InvalidToken::UnknownKey });
    };
    if header.alg != key.algorithm(kind) {
        return Err(InvalidToken::Header);
    }
    Ok(key)
}

/// Canonical base64url only: no padding, no stray bits, no other characters.
fn decode<'b>(text: &[u8], buffer: &'b mut [u8]) -> Result<&'b [u8], InvalidToken> {
    let len = URL_SAFE_NO_PAD.decode_slice(text, buffer).map_err(|_| InvalidToken::Malformed)?;
    buffer.get(..len).ok_or(InvalidToken::Malformed)
}

/// Reads claims: their types exact, no member twice, none unknown.
pub(super) fn claims<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, InvalidToken> {
    object(json).ok_or(InvalidToken::Claims)
}

/// Reads a JSON object, and no array: derived readers would fill members from one by position. It is
/// UTF-8 as a whole, which costs less to find out than for each text in it.
fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Option<T> {
    let json = str::from_utf8(json).ok()?;
    if json.trim_ascii_start().starts_with('{') { serde_json::from_str(json).ok() } else { None }
}
