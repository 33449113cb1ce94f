//! Security Event Tokens (RFC 8417) by push delivery (RFC 8935): the event `session-revoked` of CAEP 1.0.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use super::{LONGEST, Signals, SubjectId, has_type};
use crate::{claims::Claims, protocol::LEEWAY, time::Timestamp, token::PublicKey};

const SESSION_REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

/// The maximum age of an event. After an outage of this application, a transmitter may retry for some time.
const OLDEST: Duration = Duration::from_secs(86_400);

/// A sender whose events are accepted. It has an issuer, keys, and the audience that stands for this application. Cheap
/// to clone. All clones share the keys.
#[derive(Clone)]
pub struct Transmitter {
    issuer: Arc<str>,
    audience: Arc<str>,
    keys: Arc<RwLock<Vec<PublicKey>>>,
}

impl Transmitter {
    /// Accepts events from `issuer` (`iss`) for `audience` (`aud`) that one of `keys` signed.
    pub fn new(
        issuer: impl Into<String>,
        audience: impl Into<String>,
        keys: impl IntoIterator<Item = PublicKey>,
    ) -> Self {
        let keys = Arc::new(RwLock::new(keys.into_iter().collect()));
        Self { issuer: issuer.into().into(), audience: audience.into().into(), keys }
    }

    /// Replaces the keys. Call this method after the transmitter has changed its JWK Set.
    pub fn set_keys(&self, keys: impl IntoIterator<Item = PublicKey>) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys.into_iter().collect();
    }

    /// Whether a key of the transmitter signed `message`. Returns `None` if no key has this `kid` and algorithm.
    fn has_signed(&self, head: &Head, message: &[u8], signature: &[u8]) -> Option<bool> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let is_named =
            |key: &&PublicKey| key.kid() == head.kid && format!("{:?}", key.algorithm()) == head.alg;
        let mut named = keys.iter().filter(is_named).peekable();
        named.peek()?;
        Some(named.any(|key| key.verify(message, signature)))
    }
}

impl fmt::Debug for Transmitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { issuer, audience, .. } = self;
        f.debug_struct("Transmitter")
            .field("issuer", issuer)
            .field("audience", audience)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Head {
    alg: String,
    kid: String,
    typ: String,
    /// Extensions that the receiver must understand. No extension is supported, so a token with `crit` is refused.
    crit: Option<Value>,
}

/// The claims that are read (RFC 8417, section 2.2).
#[derive(Deserialize)]
struct Claim {
    iss: String,
    aud: Audience,
    iat: u64,
    jti: String,
    sub_id: Option<Value>,
    events: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// An error code of RFC 8935, section 2.4, and a description of the error.
type Refused = (&'static str, &'static str);

const MALFORMED: Refused = ("invalid_request", "the body is not a Security Event Token");

impl<C: Claims> Signals<C> {
    pub(super) async fn receive(self: Arc<Self>, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let outcome = match to_bytes(body, LONGEST).await {
            Ok(token) if has_type(&parts.headers, "application/secevent+jwt") => self.event(&token),
            _ => Err(MALFORMED),
        };
        let mut response = Response::new(Body::empty());
        *response.status_mut() = match outcome {
            Err((err, description)) => {
                let text = json!({ "err": err, "description": description }).to_string();
                *response.body_mut() = Body::from(text);
                let headers = response.headers_mut();
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
                headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static("en"));
                StatusCode::BAD_REQUEST
            }
            Ok(None) => StatusCode::ACCEPTED,
            Ok(Some((subject, before))) => match self.revoke(subject, Some(before)).await {
                Ok(_) => StatusCode::ACCEPTED,
                Err(_) => {
                    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
                    StatusCode::SERVICE_UNAVAILABLE
                }
            },
        };
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    /// The subject whose sessions are revoked, and the time: sessions that began before this time are revoked. Returns
    /// `None` for other events.
    fn event(&self, token: &[u8]) -> Result<Option<(SubjectId, Timestamp)>, Refused> {
        let claims = self.verified(token)?;
        let now = self.engine.now();
        let issued = Timestamp::from_secs(claims.iat);
        if claims.jti.is_empty() || issued > now + LEEWAY || issued + OLDEST < now {
            return Err(("invalid_request", "`jti` is empty, or `iat` is too old or in the future"));
        }
        let Some(event) = claims.events.get(SESSION_REVOKED) else { return Ok(None) };
        // Before CAEP 1.0, the subject was a member of the event.
        let subject = claims.sub_id.or_else(|| event.get("subject").cloned()).and_then(SubjectId::of);
        let subject = subject.ok_or(("invalid_request", "`sub_id` is not a subject identifier"))?;
        let happened = event.get("event_timestamp").and_then(Value::as_u64).map(Timestamp::from_secs);
        // A token is issued after its event. So if the event's time is later than `iat`, `iat` is used. Otherwise an
        // event with a time in the future, or in milliseconds, would revoke later sessions each time that the event
        // arrives. The times are whole seconds, so the sessions of that whole second are revoked, too.
        let before = happened.unwrap_or(issued).min(issued) + Duration::from_secs(1);
        Ok(Some((subject, before.min(now))))
    }

    /// The claims of a token that is for this application and has a valid signature.
    fn verified(&self, token: &[u8]) -> Result<Claim, Refused> {
        let token = str::from_utf8(token).map_err(|_| MALFORMED)?;
        let (message, signature) = token.rsplit_once('.').ok_or(MALFORMED)?;
        let (head, payload) = message.split_once('.').ok_or(MALFORMED)?;
        let head: Head = object(head)?;
        let typ = head.typ.to_ascii_lowercase();
        if typ.strip_prefix("application/").unwrap_or(&typ) != "secevent+jwt" || head.crit.is_some() {
            return Err(("invalid_request", "the header has another `typ`, or `crit`"));
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| MALFORMED)?;
        // Only a valid signature shows that `iss` is true. Until then, `iss` only selects the keys.
        let claims: Claim = object(payload)?;
        let known = self.transmitters.iter().filter(|transmitter| *transmitter.issuer == *claims.iss);
        let mut refused = ("invalid_issuer", "events of this issuer are not accepted");
        for transmitter in known {
            match transmitter.has_signed(&head, message.as_bytes(), &signature) {
                None => refused = ("invalid_key", "no key of the issuer has this `kid` and `alg`"),
                Some(false) => refused = ("authentication_failed", "the signature is wrong"),
                Some(true) => {
                    let is_ours = |audience: &String| **audience == *transmitter.audience;
                    let ours = match &claims.aud {
                        Audience::One(audience) => is_ours(audience),
                        Audience::Several(audiences) => audiences.iter().any(is_ours),
                    };
                    if ours {
                        return Ok(claims);
                    }
                    refused = ("invalid_audience", "the event is for another audience");
                }
            }
        }
        Err(refused)
    }
}

/// Reads a JSON object from base64url.
fn object<T: DeserializeOwned>(text: &str) -> Result<T, Refused> {
    let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| MALFORMED)?;
    // The derived `Deserialize` would also accept an array, and fill the members from its elements.
    match json.trim_ascii_start().starts_with(b"{") {
        true => serde_json::from_slice(&json).map_err(|_| MALFORMED),
        false => Err(MALFORMED),
    }
}
