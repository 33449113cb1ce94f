//! A key ring as a JWK Set (RFC 7517): private, secret and public keys, with the step of each.
//!
//! Reading is strict, because a mistake in the set signs users out. An error names the key by its place in the set, and
//! never shows a value of the key.

use std::{borrow::Cow, cmp::Reverse};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::{error::Category, value::RawValue};
use zeroize::Zeroizing;

#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
use super::{asymmetric, public_key::PublicKey};
use super::{
    error::KeyError,
    key::{Key, KeyStep},
    keyring::{Keyring, PulledKey},
    name::checked,
};
use crate::time::Timestamp;

/// The longest JWK Set that is read, in bytes.
pub(crate) const LONGEST_KEY_SET: usize = 64 * 1024;
/// The largest number of keys in a JWK Set.
const MOST_KEYS: usize = 64;

type Problem = Cow<'static, str>;

#[derive(Deserialize)]
struct Set<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

/// The members of a JWK that are read. Other members are ignored (RFC 7517, section 4). If one of these members comes
/// twice, the JWK is refused.
#[derive(Deserialize)]
struct Jwk {
    kty: Option<String>,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    x: Option<String>,
    #[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
    y: Option<String>,
    #[serde(default, deserialize_with = "hidden")]
    d: Option<Zeroizing<String>>,
    #[serde(default, deserialize_with = "hidden")]
    k: Option<Zeroizing<String>>,
    n: Option<IgnoredAny>,
    step: Option<String>,
    since: Option<u64>,
}

fn hidden<'de, D: Deserializer<'de>>(text: D) -> Result<Option<Zeroizing<String>>, D::Error> {
    String::deserialize(text).map(|text| Some(Zeroizing::new(text)))
}

/// A key of the set. `step` is `None` if the set names no step for the key, or if the key is pulled.
struct Entry {
    kid: String,
    step: Option<KeyStep>,
    pulled: bool,
    since: Option<Timestamp>,
    /// `None` for a pulled key if the set contains only its name.
    key: Option<Key>,
}

impl Keyring {
    /// Reads the keys from a JWK Set (RFC 7517, section 5). Pass the text, not the path of its file.
    /// [`KeyFile`](crate::KeyFile) reads a file, and follows its changes.
    ///
    /// | `kty` | members | the key |
    /// |---|---|---|
    /// | `oct` | `k` | an HS256 secret of at least 32 random bytes |
    /// | `OKP` | `crv: "Ed25519"`, `x`, `d` | signs by `EdDSA` |
    /// | `EC` | `crv: "P-256"`, `x`, `y`, `d` | signs by ES256 |
    /// | `OKP`, `EC`, `RSA` | without `d` | verifies access tokens only. For `RSA`, `alg` is `RS256` or `PS256` |
    ///
    /// Keys other than `oct` need the feature `aws_lc_rs` or `rust_crypto`. `kid` is the key's name. Without `kid`, the
    /// name is the thumbprint (RFC 7638). For an `oct` key without `kid`, the name is derived from the secret. `alg`,
    /// `use` and `key_ops` are optional. If they are present, they must fit the key.
    ///
    /// Two members of each key are specific to this crate:
    ///
    /// - `step`: `"published"` (the default), `"signing"`, `"retired"` or `"pulled"`. Exactly one key must be
    ///   `"signing"`. If only one key of the set is not pulled, its default is `"signing"`. A pulled key needs no other
    ///   member than `kid`.
    /// - `since`: when the step began, in seconds since 1970. This time matters for a retired key. Default: the time at
    ///   which an instance first has the key at this step. After a restart of the instance, this time starts again.
    ///
    /// ```
    /// # fn main() -> Result<(), tower_sliding_sessions::KeyError> {
    /// use tower_sliding_sessions::Keyring;
    ///
    /// let keys = Keyring::from_jwks(r#"{"keys": [
    ///     {"kty": "oct", "kid": "2027", "k": "M3EyKzd3UW1WMXhLOXJUMHBMc1l6Qm5INWNKOHVHZkU", "step": "signing"},
    ///     {"kty": "oct", "kid": "2026", "k": "OWJYYzFWZDdabTBRdzRFcjZUeThVaTJPcDVBczNEZkc", "step": "retired",
    ///      "since": 1798761600}
    /// ]}"#)?;
    /// assert_eq!(keys.kid(), "2027");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`KeyError::KeySet`] names the key and the mistake, and never shows a value.
    #[doc(alias = "JWK")]
    pub fn from_jwks(json: &str) -> Result<Self, KeyError> {
        ring(json).map_err(KeyError::KeySet)
    }

    /// The public keys of this ring that verify, as a JWK Set. The set never contains a secret.
    #[cfg(feature = "jwks")]
    pub(crate) fn jwk_set(&self) -> String {
        let keys: Vec<_> = self.keys().filter_map(Key::jwk).collect();
        format!(r#"{{"keys":[{}]}}"#, keys.join(","))
    }

    /// Whether the signing key has a public key, so that other services can verify its tokens.
    #[cfg(feature = "jwks")]
    pub(crate) fn signer_is_public(&self) -> bool {
        self.signer().jwk().is_some()
    }

    /// Publishes a public key, for example a key whose private half no longer exists. The public key verifies access
    /// tokens only, and cannot be [promoted](Self::promote). RS256 and PS256 keys can be used in this way.
    ///
    /// # Errors
    /// [`KeyError::DuplicateName`] if a key of the ring has the same name, and [`KeyError::BadName`] unless the name is
    /// 1 to 64 characters of `A-Z a-z 0-9 - _`.
    #[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
    #[cfg_attr(docsrs, doc(cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))))]
    pub fn publish_public(self, key: PublicKey) -> Result<Self, KeyError> {
        let key = Key::public(key)?;
        if self.keys().any(|other| other.kid == key.kid) {
            return Err(KeyError::DuplicateName(key.kid));
        }
        let pulled = self.pulled.iter().filter(|pulled| pulled.kid != key.kid).cloned().collect();
        let keys = self.keys().cloned().chain([key]).collect();
        Ok(Self { pulled, ..self }.with_keys(keys))
    }

    /// Sets the public key of the signing key, for a signing key of [`custom`](Self::custom). The routes of the feature
    /// `jwks` then show this public key.
    ///
    /// # Errors
    /// [`KeyError::VerifierMismatch`] if the public key does not verify what the signer signs.
    #[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
    #[cfg_attr(docsrs, doc(cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))))]
    pub fn with_public_key(self, key: PublicKey) -> Result<Self, KeyError> {
        let signer = self.signer().clone().with_public(key).ok_or(KeyError::VerifierMismatch)?;
        let keys = std::iter::once(signer).chain(self.keys.iter().skip(1).cloned()).collect();
        Ok(self.with_keys(keys))
    }
}

fn ring(json: &str) -> Result<Keyring, Problem> {
    if json.len() > LONGEST_KEY_SET {
        return Err(format!("it is longer than {LONGEST_KEY_SET} bytes").into());
    }
    let raw = object::<Set<'_>>(json)?.keys;
    if raw.len() > MOST_KEYS {
        return Err(format!("it has more than {MOST_KEYS} keys").into());
    }
    let mut entries: Vec<Entry> = Vec::with_capacity(raw.len());
    for (index, raw) in raw.iter().enumerate() {
        let named = |problem: Problem| Problem::from(format!("key {}: {problem}", index + 1));
        let entry = entry(raw.get()).map_err(named)?;
        if let Some(twin) = entries.iter().position(|other| is_twin(other, &entry)) {
            return Err(named(format!("it has the name or the numbers of key {}", twin + 1).into()));
        }
        entries.push(entry);
    }
    assemble(entries)
}

/// Whether two entries have the same name or are the same key. If one of two such entries were pulled, the other would
/// stay valid.
fn is_twin(one: &Entry, other: &Entry) -> bool {
    let is_same = |one: &Key, other: &Key| one.identity().any(|id| other.identity().any(|other| id == other));
    one.kid == other.kid || one.key.as_ref().zip(other.key.as_ref()).is_some_and(|(a, b)| is_same(a, b))
}

fn assemble(entries: Vec<Entry>) -> Result<Keyring, Problem> {
    let (pulled, live): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| entry.pulled);
    let is_alone = live.len() == 1;
    let mut keys: Vec<Key> = Vec::with_capacity(live.len());
    for Entry { key, step, since, .. } in live {
        let step = step.unwrap_or(if is_alone { KeyStep::Signing } else { KeyStep::Published });
        keys.extend(key.map(|key| key.at_step(step).in_step_since(since)));
    }
    // The signing key comes first. The keys that may have signed last come next, because they vouch for the signing
    // key.
    keys.sort_by_key(|key| match key.step {
        KeyStep::Signing => (0, None),
        KeyStep::Published => (1, None),
        KeyStep::Retired => (2, Some(Reverse(key.since))),
    });
    match keys.iter().filter(|key| key.step == KeyStep::Signing).count() {
        1 => {}
        0 if keys.is_empty() => return Err("it has no key that verifies".into()),
        0 => return Err("no key has `\"step\": \"signing\"`".into()),
        _ => return Err("more than one key has `\"step\": \"signing\"`".into()),
    }
    let signer = keys.first().filter(|key| key.can_sign());
    let ring = signer.map(|key| Keyring::of(key.clone())).ok_or("the signing key is a public key")?;
    let pulled = pulled.into_iter().map(|Entry { kid, since, .. }| PulledKey { kid, since }).collect();
    Ok(Keyring { pulled, ..ring.with_keys(keys) })
}

fn entry(json: &str) -> Result<Entry, Problem> {
    let jwk: Jwk = object(json)?;
    let (step, pulled) = match jwk.step.as_deref() {
        None => (None, false),
        Some("published") => (Some(KeyStep::Published), false),
        Some("signing") => (Some(KeyStep::Signing), false),
        Some("retired") => (Some(KeyStep::Retired), false),
        Some("pulled") => (None, true),
        Some(_) => return Err("its `step` is not `published`, `signing`, `retired` or `pulled`".into()),
    };
    let since = jwk.since.map(Timestamp::from_secs);
    let has_numbers = jwk.k.is_some() || jwk.d.is_some() || jwk.x.is_some() || jwk.n.is_some();
    if let Some(kid) = jwk.kid.as_deref().filter(|_| pulled && !has_numbers) {
        let kid = checked(kid).map_err(in_words)?.to_owned();
        return Ok(Entry { kid, step, pulled, since, key: None });
    }
    let key = key(&jwk, json)?;
    let key = match &jwk.kid {
        Some(kid) => key.with_kid(checked(kid).map_err(in_words)?),
        None => key,
    };
    Ok(Entry { kid: key.kid.clone(), step, pulled, since, key: Some(key) })
}

fn key(jwk: &Jwk, json: &str) -> Result<Key, Problem> {
    let kty = jwk.kty.as_deref().ok_or("its `kty` is missing")?;
    if kty != "oct" && jwk.d.is_none() {
        return public(json);
    }
    if jwk.usage.as_deref().is_some_and(|usage| usage != "sig") {
        return Err("its `use` is not `sig`".into());
    }
    if let Some(operations) = &jwk.key_ops {
        let count = |operation: &str| operations.iter().filter(|other| *other == operation).count();
        if count("sign") != 1 || count("verify") > 1 || operations.len() != count("sign") + count("verify") {
            return Err("its `key_ops` are not `sign`, or `sign` and `verify`".into());
        }
    }
    let is_for = |algorithms: &[&str]| jwk.alg.as_deref().is_none_or(|alg| algorithms.contains(&alg));
    match (kty, jwk.crv.as_deref()) {
        ("oct", _) if !is_for(&["HS256"]) => Err("its `alg` is not `HS256`".into()),
        ("oct", _) => {
            let secret = bytes(jwk.k.as_ref().ok_or("its `k` is missing")?)?;
            Keyring::hs256(secret).map(|ring| ring.signer().clone()).map_err(in_words)
        }
        ("OKP", Some("Ed25519")) if !is_for(&["EdDSA", "Ed25519"]) => Err("its `alg` is not `EdDSA`".into()),
        ("EC", Some("P-256")) if !is_for(&["ES256"]) => Err("its `alg` is not `ES256`".into()),
        ("OKP", Some("Ed25519")) | ("EC", Some("P-256")) => private(jwk),
        ("RSA", _) => Err("RSA keys are for verification only: leave the public members".into()),
        _ => Err("its kind or curve is not supported: \
                  it must be `oct`, `OKP` with `Ed25519`, `EC` with `P-256`, or a public `RSA` key"
            .into()),
    }
}

#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
fn private(jwk: &Jwk) -> Result<Key, Problem> {
    let number = |text: Option<&str>| {
        let bytes = bytes(text.ok_or("one of its numbers is missing")?)?;
        let number = <[u8; 32]>::try_from(&**bytes).map(Zeroizing::new);
        number.map_err(|_| Problem::from("one of its numbers does not have 32 bytes"))
    };
    let (d, x) = (number(jwk.d.as_deref().map(|d| &**d))?, number(jwk.x.as_deref())?);
    let key = match jwk.crv.as_deref() {
        Some("P-256") => asymmetric::es256_of(&d, &x, &*number(jwk.y.as_deref())?),
        _ => asymmetric::ed25519_of(&d, &x),
    };
    key.ok_or_else(|| "its private and its public numbers do not belong together".into())
}

#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
fn public(json: &str) -> Result<Key, Problem> {
    Key::public(PublicKey::read_jwk(json)?).map_err(in_words)
}

#[cfg(not(any(feature = "aws_lc_rs", feature = "rust_crypto")))]
const NO_BACKEND: &str = "keys other than `oct` need the feature `aws_lc_rs` or `rust_crypto` of this crate";

#[cfg(not(any(feature = "aws_lc_rs", feature = "rust_crypto")))]
fn private(_: &Jwk) -> Result<Key, Problem> {
    Err(NO_BACKEND.into())
}

#[cfg(not(any(feature = "aws_lc_rs", feature = "rust_crypto")))]
fn public(_: &str) -> Result<Key, Problem> {
    Err(NO_BACKEND.into())
}

#[expect(clippy::needless_pass_by_value, reason = "an argument of `map_err`")]
fn in_words(error: KeyError) -> Problem {
    error.to_string().into()
}

fn bytes(text: &str) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let decoded = URL_SAFE_NO_PAD.decode(text).map(Zeroizing::new);
    decoded.map_err(|_| "one of its values is not base64url without padding".into())
}

/// Reads a JSON object. An array is refused, because a derived reader would fill members from an array. The reasons of
/// `serde_json` are not shown, because they contain values.
fn object<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, Problem> {
    if !json.trim_ascii_start().starts_with('{') {
        return Err("it is not a JSON object".into());
    }
    serde_json::from_str(json).map_err(|error| {
        let why = match error.classify() {
            Category::Eof => "it ends too early: it is not written to its end",
            Category::Data => "a member is missing, comes twice, or has another type",
            Category::Syntax | Category::Io => "it is not JSON",
        };
        format!("{why} (line {}, column {})", error.line(), error.column()).into()
    })
}
