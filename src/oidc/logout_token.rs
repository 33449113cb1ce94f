//! Logout tokens (OpenID Connect Back-Channel Logout 1.0, section 2.4). They are verified as section 2.6 requires.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use openidconnect::{
    JsonWebKey as _, JsonWebKeyAlgorithm, JsonWebKeyUse as _, JwsSigningAlgorithm as _,
    core::{CoreJsonWebKey, CoreJwsSigningAlgorithm},
};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value};
use std::time::Duration;

use super::{
    provider::Provider,
    verify::{SKEW, is_name},
};
use crate::time::Timestamp;

/// The maximum length of a logout token, in bytes.
const LONGEST: usize = 8 * 1024;
/// The maximum age of a logout token. The provider may retry for some time.
pub(super) const LONGEST_AGE: Duration = Duration::from_secs(10 * 60);
/// The maximum length of `jti`, in bytes.
const LONGEST_ID: usize = 512;
/// The maximum number of keys that a token is verified with. Any key may have signed a token without `kid`.
const MOST_KEYS: usize = 8;
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Why a logout token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Malformed,
    Algorithm,
    Type,
    /// No key of the provider has this `kid`. The provider may have new keys.
    UnknownKey,
    Signature,
    Claims,
    Issuer,
    Audience,
    Time,
    Event,
    Nonce,
    Replayed,
}

impl Refused {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Algorithm => "algorithm",
            Self::Type => "type",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Claims => "claims",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Time => "time",
            Self::Event => "event",
            Self::Nonce => "nonce",
            Self::Replayed => "replayed",
        }
    }
}

/// The claims of a verified logout token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LogoutToken {
    pub(super) id: String,
    /// `iat`, by the provider's clock.
    pub(super) issued: Timestamp,
    pub(super) subject: Option<String>,
    pub(super) session: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    typ: Option<String>,
    /// Extensions that must be understood. No extension is supported (RFC 7515, section 4.1.11).
    #[serde(default)]
    crit: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    iat: f64,
    exp: f64,
    jti: String,
    events: Map<String, Value>,
    #[serde(default)]
    sub: Option<String>,
    #[serde(default)]
    sid: Option<String>,
    /// Whether the token has a `nonce`, even `null`. A logout token must have none.
    #[serde(default, deserialize_with = "is_present")]
    nonce: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Some(Vec<String>),
}

fn is_present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(from).map(|_| true)
}

/// Verifies a logout token. Does not check whether the token was used before.
pub(super) fn verify(
    token: &str,
    provider: &Provider,
    issuer: &str,
    client_id: &str,
    now: Timestamp,
) -> Result<LogoutToken, Refused> {
    let (signed, signature) = token.rsplit_once('.').ok_or(Refused::Malformed)?;
    let (header, payload) = signed.split_once('.').ok_or(Refused::Malformed)?;
    if token.len() > LONGEST || payload.contains('.') {
        return Err(Refused::Malformed);
    }
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Refused::Malformed);
    let (header, payload, signature) = (decode(header)?, decode(payload)?, decode(signature)?);
    let header: Header = serde_json::from_slice(&header).map_err(|_| Refused::Malformed)?;
    if header.crit.is_some() {
        return Err(Refused::Malformed);
    }
    if header.typ.as_deref().is_some_and(|kind| !is_logout_type(kind)) {
        return Err(Refused::Type);
    }
    let algorithm = serde_json::from_value(Value::String(header.alg)).map_err(|_| Refused::Algorithm)?;
    if !provider.algorithms.contains(&algorithm) {
        return Err(Refused::Algorithm);
    }
    let kid = header.kid.as_deref();
    let keys = provider.keys.keys().iter().filter(|key| is_for(key, kid, &algorithm));
    let mut keys = keys.take(MOST_KEYS).peekable();
    if keys.peek().is_none() {
        return Err(Refused::UnknownKey);
    }
    if !keys.any(|key| key.verify_signature(&algorithm, signed.as_bytes(), &signature).is_ok()) {
        return Err(Refused::Signature);
    }
    check(serde_json::from_slice(&payload).map_err(|_| Refused::Claims)?, issuer, client_id, now)
}

/// Whether `typ` may be the type of a logout token. Some providers send the general type `JWT`. Then the event
/// distinguishes the logout token from an ID token.
fn is_logout_type(kind: &str) -> bool {
    let kind = kind
        .get(.."application/".len())
        .filter(|start| start.eq_ignore_ascii_case("application/"))
        .map_or(kind, |start| kind.get(start.len()..).unwrap_or_default());
    ["logout+jwt", "jwt"].iter().any(|known| kind.eq_ignore_ascii_case(known))
}

fn is_for(key: &CoreJsonWebKey, kid: Option<&str>, algorithm: &CoreJwsSigningAlgorithm) -> bool {
    kid.is_none_or(|kid| key.key_id().is_some_and(|id| id.as_str() == kid))
        && key.key_use().is_none_or(|usage| usage.allows_signature())
        && algorithm.key_type().as_ref() == Some(key.key_type())
        && match key.signing_alg() {
            JsonWebKeyAlgorithm::Unspecified => true,
            JsonWebKeyAlgorithm::Unsupported => false,
            JsonWebKeyAlgorithm::Algorithm(only) => only == algorithm,
        }
}

fn check(claims: Claims, issuer: &str, client_id: &str, now: Timestamp) -> Result<LogoutToken, Refused> {
    if claims.iss != issuer {
        return Err(Refused::Issuer);
    }
    let is_ours = match &claims.aud {
        Audience::One(one) => one == client_id,
        // As for ID tokens, no other audience is trusted.
        Audience::Some(all) => !all.is_empty() && all.iter().all(|one| one == client_id),
    };
    if !is_ours {
        return Err(Refused::Audience);
    }
    let (issued, expires) = (time(claims.iat)?, time(claims.exp)?);
    if issued > now + SKEW || now.since(issued) > LONGEST_AGE || expires + SKEW <= now {
        return Err(Refused::Time);
    }
    if !claims.events.get(EVENT).is_some_and(Value::is_object) {
        return Err(Refused::Event);
    }
    if claims.nonce {
        return Err(Refused::Nonce);
    }
    let Claims { jti: id, sub: subject, sid: session, .. } = claims;
    let are_names = subject.iter().chain(&session).all(|name| is_name(name));
    if id.is_empty() || id.len() > LONGEST_ID || !are_names || (subject.is_none() && session.is_none()) {
        return Err(Refused::Claims);
    }
    Ok(LogoutToken { id, issued, subject, session })
}

/// Reads a `NumericDate`, which may have a fraction.
fn time(seconds: f64) -> Result<Timestamp, Refused> {
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) => Ok(Timestamp::EPOCH + time),
        Err(_) => Err(Refused::Time),
    }
}
