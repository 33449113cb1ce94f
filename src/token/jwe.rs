//! Encrypted cookies: a signed token in a compact JWE (RFC 7516), with `dir` and `A256GCM`.
//!
//! The initialization vector is a MAC of the token. The content key is derived from a key of the ring and the vector.
//! So every instance makes the same cookie from the same token, and a pair of key and vector never encrypts two
//! different messages.

use std::{borrow::Cow, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::signature::Error;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

#[cfg(feature = "aws_lc_rs")]
use super::aws_lc_rs as backend;
#[cfg(not(feature = "aws_lc_rs"))]
use super::rust_crypto as backend;
use super::{
    codec::TokenCodec,
    error::{InvalidToken, MintError},
    hmac::HmacKey,
    json::not_null,
    jws::{self, LONGEST_TOKEN},
    key::Kind,
    keyring::Keyring,
};
use crate::time::Timestamp;

/// The start of every encrypted cookie. It is the encoded form of `{"alg":"dir"`.
const START: &[u8] = b"eyJhbGciOiJkaXIi";

/// The start of the texts from which the vector and the content key are made. These texts contain a space, and tokens
/// contain none. So none of these texts is a token.
const VECTOR: &[u8] = b"tower-sliding-sessions cookie vector v1 ";
const KEY: &[u8] = b"tower-sliding-sessions cookie key v1 ";

const DAY: u64 = 86_400;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    #[serde(borrow)]
    enc: Cow<'a, str>,
    #[serde(borrow)]
    kid: Cow<'a, str>,
    /// The `typ` of the encrypted token.
    #[serde(borrow)]
    cty: Cow<'a, str>,
    /// The vouchers, as in the header of a signed token. Only a refresh cookie has vouchers: an access cookie of an
    /// unknown key is ignored, and then the refresh cookie decides.
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    vouch: Cow<'a, str>,
    /// The end of the day on which the token expires, in seconds since 1970. From then on, a cookie of an unknown key
    /// gets 401 instead of 503.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    exp: Option<u64>,
}

impl TokenCodec {
    /// The value of the access cookie for this token.
    pub(crate) fn encrypt_access(&self, token: &str) -> Result<String, MintError> {
        seal(&self.ring, Kind::Access, token, None)
    }

    /// The value of the refresh cookie for this token. The token expires at `expires`.
    pub(crate) fn encrypt_refresh(&self, token: &str, expires: Timestamp) -> Result<String, MintError> {
        seal(&self.ring, Kind::Refresh, token, Some(expires))
    }
}

/// Encrypts `token` with the signing key of `ring`.
fn seal(ring: &Keyring, kind: Kind, token: &str, expires: Option<Timestamp>) -> Result<String, MintError> {
    let failed = |why: &'static str| MintError::Signing(Arc::new(Error::from_source(why)));
    let key = ring.signer();
    let secret = key.refresh.as_ref().ok_or_else(|| failed("it is a public key"))?;
    let vouch = expires.map(|_| jws::vouchers(key)).unwrap_or_default();
    let header = Header {
        alg: "dir".into(),
        enc: "A256GCM".into(),
        kid: (&*key.kid).into(),
        cty: kind.typ().into(),
        vouch: vouch.into(),
        exp: expires.map(|at| at.as_secs().div_ceil(DAY).saturating_mul(DAY)),
    };
    let header = serde_json::to_vec(&header).map_err(|error| MintError::NotJson(Arc::new(error)))?;
    let mut cookie = URL_SAFE_NO_PAD.encode(header);
    let vector = vector(secret, kind, token);
    let mut text = Zeroizing::new(token.as_bytes().to_vec());
    let tag = backend::encrypt(&content_key(secret, kind, &vector), &vector, cookie.as_bytes(), &mut text)
        .ok_or_else(|| failed("the crypto library could not encrypt"))?;
    // With `dir`, the part for the encrypted key is empty.
    cookie.push('.');
    for part in [&vector[..], &text, &tag] {
        cookie.push('.');
        URL_SAFE_NO_PAD.encode_string(part, &mut cookie);
    }
    Ok(cookie)
}

fn vector(secret: &HmacKey, kind: Kind, token: &str) -> [u8; 12] {
    let mac = secret.sign(&[VECTOR, kind.typ().as_bytes(), b" ", token.as_bytes()].concat());
    let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = mac;
    [a, b, c, d, e, f, g, h, i, j, k, l]
}

fn content_key(secret: &HmacKey, kind: Kind, vector: &[u8; 12]) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(secret.sign(&[KEY, kind.typ().as_bytes(), b" ", vector].concat()))
}

/// The same as [`jws::verify`], for a signed token or an encrypted cookie.
pub(super) fn verify<R>(
    ring: &Keyring,
    kind: Kind,
    token: &[u8],
    read: impl FnOnce(&[u8]) -> Result<R, InvalidToken>,
) -> Result<R, InvalidToken> {
    if token.starts_with(START) {
        return jws::verify(ring, kind, &open(ring, kind, token)?, read);
    }
    jws::verify(ring, kind, token, read)
}

/// Decrypts the token in an encrypted cookie. The token is not verified yet.
#[cold]
fn open(ring: &Keyring, kind: Kind, cookie: &[u8]) -> Result<Zeroizing<Vec<u8>>, InvalidToken> {
    if cookie.len() > LONGEST_TOKEN {
        return Err(InvalidToken::TooLong);
    }
    let mut parts = cookie.split(|b| *b == b'.');
    let (Some(head), Some([]), Some(vector), Some(text), Some(tag), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(InvalidToken::Malformed);
    };
    let mut buffer = [0; 384];
    let header: Header<'_> = jws::object(jws::decode(head, &mut buffer)?).ok_or(InvalidToken::Header)?;
    if (&*header.alg, &*header.enc, &*header.cty) != ("dir", "A256GCM", kind.typ()) {
        return Err(InvalidToken::Header);
    }
    let Some(key) = ring.keys().find(|key| key.kid == header.kid) else {
        let lives = header.exp.is_some_and(|exp| !ring.has_passed(Timestamp::from_secs(exp)));
        let is_new = kind == Kind::Refresh && lives && ring.vouches_for(&header.kid, &header.vouch);
        return Err(if is_new { InvalidToken::NewKey } else { InvalidToken::UnknownKey });
    };
    let secret = key.refresh.as_ref().ok_or(InvalidToken::UnknownKey)?;
    let (vector, tag) = (exactly::<12>(vector)?, exactly::<16>(tag)?);
    let text = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidToken::Malformed)?;
    backend::decrypt(&content_key(secret, kind, &vector), &vector, head, &text, &tag)
        .ok_or(InvalidToken::Signature)
}

fn exactly<const N: usize>(text: &[u8]) -> Result<[u8; N], InvalidToken> {
    let mut bytes = [0; N];
    match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
        Ok(length) if length == N => Ok(bytes),
        _ => Err(InvalidToken::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: &[u8] = b"3q2+7wQmV1xK9rT0pLsYzBnH5cJ8uGfE";
    const OLD: &[u8] = b"9bXc1Vd7Zm0Qw4Er6Ty8Ui2Op5As3DfG";

    fn ring(secret: &[u8]) -> Keyring {
        Keyring::hs256(secret).expect("a good secret")
    }

    #[test]
    fn cookie_of_one_token_is_the_same_each_time_and_that_of_another_token_differs() {
        let [one, two, other] = ["a.b.c", "a.b.c", "a.b.d"]
            .map(|token| seal(&ring(NEW), Kind::Access, token, None).expect("sealed"));
        assert_eq!(one, two);
        assert!(one.as_bytes().starts_with(START));
        let parts = |cookie: &str| cookie.split('.').map(str::to_owned).collect::<Vec<_>>();
        let (one, other) = (parts(&one), parts(&other));
        assert_eq!((one[0].as_str(), one[1].as_str()), (other[0].as_str(), ""));
        assert!(one[2] != other[2] && one[3] != other[3] && one[4] != other[4]);
    }

    #[test]
    fn cookie_opens_with_a_key_of_the_ring_and_as_its_kind_only() {
        let cookie = seal(&ring(OLD), Kind::Access, "a.b.c", None).expect("sealed");
        let rotated = ring(NEW).publish(ring(OLD)).expect("two keys");
        for keys in [ring(OLD), rotated] {
            let opened = open(&keys, Kind::Access, cookie.as_bytes()).expect("opened");
            assert_eq!(opened.as_slice(), b"a.b.c");
            assert_eq!(open(&keys, Kind::Refresh, cookie.as_bytes()).err(), Some(InvalidToken::Header));
        }
        let unknown = open(&ring(NEW), Kind::Access, cookie.as_bytes());
        assert_eq!(unknown.err(), Some(InvalidToken::UnknownKey));
    }

    #[test]
    fn changed_cookie_does_not_open() {
        let cookie = seal(&ring(NEW), Kind::Access, "a.b.c", None).expect("sealed").into_bytes();
        for at in 0..cookie.len() {
            let mut changed = cookie.clone();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert!(open(&ring(NEW), Kind::Access, &changed).is_err(), "byte {at}");
            assert!(open(&ring(NEW), Kind::Access, &cookie[..at]).is_err(), "{at} bytes");
        }
        assert!(open(&ring(NEW), Kind::Access, &[&*cookie, b"."].concat()).is_err());
    }
}
