//! Public keys as JSON Web Keys (RFC 7517, RFC 7518, RFC 8037).

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use super::public_parts::Parts;

/// The longest JWK that is read, in bytes. A public RSA key of 8192 bits takes 1400 bytes. A certificate chain takes
/// more.
const LONGEST_JWK: usize = 16 * 1024;
/// The longest set that is read, in bytes.
const LONGEST_SET: usize = 64 * 1024;

/// The members of a JWK that are read. Other members, such as certificates, are ignored (RFC 7517, section 4). If one
/// of these members comes twice, the JWK is refused.
#[derive(Deserialize)]
struct Jwk<'a> {
    #[serde(borrow)]
    kty: Cow<'a, str>,
    #[serde(borrow)]
    kid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    alg: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "use")]
    usage: Option<Cow<'a, str>>,
    key_ops: Option<Vec<String>>,
    #[serde(borrow)]
    crv: Option<Cow<'a, str>>,
    #[serde(borrow)]
    x: Option<Cow<'a, str>>,
    #[serde(borrow)]
    y: Option<Cow<'a, str>>,
    #[serde(borrow)]
    n: Option<Cow<'a, str>>,
    #[serde(borrow)]
    e: Option<Cow<'a, str>>,
    // Members of private and symmetric keys. A JWK with one of them is refused.
    d: Option<IgnoredAny>,
    p: Option<IgnoredAny>,
    q: Option<IgnoredAny>,
    dp: Option<IgnoredAny>,
    dq: Option<IgnoredAny>,
    qi: Option<IgnoredAny>,
    oth: Option<IgnoredAny>,
    k: Option<IgnoredAny>,
}

const OTHER_KIND: &str =
    "its kind or curve is not supported: it must be `OKP` with `Ed25519`, `EC` with `P-256`, or `RSA`";

/// Reads one public key. Returns its name (if it has one), its algorithm and its numbers.
pub(super) fn read(json: &str) -> Result<(Option<Cow<'_, str>>, Algorithm, Parts), &'static str> {
    if json.len() > LONGEST_JWK {
        return Err("the JWK is longer than 16384 bytes");
    }
    // Without this check, a derived reader would fill members from an array.
    if !json.trim_ascii_start().starts_with('{') {
        return Err("it is not a JSON object");
    }
    let jwk: Jwk<'_> = serde_json::from_str(json)
        .map_err(|_| "a member is missing, has another type or comes twice, or it is not JSON")?;
    let private = [&jwk.d, &jwk.p, &jwk.q, &jwk.dp, &jwk.dq, &jwk.qi, &jwk.oth];
    if private.iter().any(|member| member.is_some()) {
        return Err("it is a private key: pass its public members only");
    }
    if jwk.kty == "oct" || jwk.k.is_some() {
        return Err("it is a symmetric key, which is no public key");
    }
    if jwk.usage.as_deref().is_some_and(|usage| usage != "sig") {
        return Err("its `use` is not `sig`");
    }
    if jwk.key_ops.as_ref().is_some_and(|operations| !operations.iter().any(|one| one == "verify")) {
        return Err("its `key_ops` do not have `verify`");
    }
    let parts = match (&*jwk.kty, jwk.crv.as_deref()) {
        ("OKP", Some("Ed25519")) => Parts::Ed25519(coordinate(jwk.x.as_deref())?),
        ("EC", Some("P-256")) => {
            Parts::P256 { x: coordinate(jwk.x.as_deref())?, y: coordinate(jwk.y.as_deref())? }
        }
        ("RSA", _) => Parts::rsa(&number(jwk.n.as_deref())?, &number(jwk.e.as_deref())?),
        _ => return Err(OTHER_KIND),
    };
    let algorithm = match (jwk.alg.as_deref(), &parts) {
        (None, _) => parts.default_algorithm(),
        // `EdDSA` is the name in RFC 8037. `Ed25519` is the newer name in RFC 9864.
        (Some("EdDSA" | "Ed25519"), Parts::Ed25519(_)) => Algorithm::EdDSA,
        (Some("ES256"), Parts::P256 { .. }) => Algorithm::ES256,
        (Some("RS256"), Parts::Rsa { .. }) => Algorithm::RS256,
        (Some("PS256"), Parts::Rsa { .. }) => Algorithm::PS256,
        _ => return Err("its `alg` is not supported, or is not for its kind of key"),
    };
    Ok((jwk.kid, algorithm, parts))
}

fn number(text: Option<&str>) -> Result<Vec<u8>, &'static str> {
    let text = text.ok_or("one of its numbers is missing")?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| "one of its numbers is not base64url")
}

/// Reads a coordinate. It must have the full length for its curve, with leading zeros (RFC 7518, section 6.2.1.2).
fn coordinate(text: Option<&str>) -> Result<[u8; 32], &'static str> {
    number(text)?.try_into().map_err(|_| "a coordinate does not have 32 bytes")
}

#[derive(Deserialize)]
struct Set<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

/// The largest number of keys in a set.
const MOST_KEYS: usize = 64;

/// Reads the JWKs of a set. The keys may be of any kind.
pub(super) fn read_set(json: &[u8]) -> Result<Vec<&RawValue>, &'static str> {
    if json.len() > LONGEST_SET {
        return Err("the set is longer than 65536 bytes");
    }
    let json = str::from_utf8(json).map_err(|_| "it is not UTF-8")?;
    let set: Option<Set<'_>> = match json.trim_ascii_start().starts_with('{') {
        true => serde_json::from_str(json).ok(),
        false => None,
    };
    let keys = set.ok_or("it is not a JSON object with an array `keys`")?.keys;
    if keys.len() > MOST_KEYS { Err("it has more than 64 keys") } else { Ok(keys) }
}
