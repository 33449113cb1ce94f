//! Challenges for device keys, and the proofs that answer the challenges (Device Bound Session Credentials).

use std::{borrow::Cow, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use super::{codec::TokenCodec, jws, public_key::PublicKey};
use crate::{id::SessionId, protocol::Thumbprint, time::Timestamp};

/// How long a challenge is valid, from the start of its period on. A key in a TPM takes up to some seconds to sign.
const LIFETIME: Duration = Duration::from_secs(120);
/// All challenges of the same period are equal, for the same session and purpose. Chromium signs 6 times in 9 minutes
/// and then stops. But it reuses its signature of a challenge that it has already signed.
const PERIOD_MS: u64 = 60_000;
/// The longest proof, in bytes. A proof by an RSA key of 4096 bits takes 2200 bytes.
const LONGEST_PROOF: usize = 4096;
/// The `typ` of a proof.
const TYP: &str = "dbsc+jwt";

/// The purpose of a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Registration,
    Refresh,
}

impl TokenCodec {
    /// A challenge for a session. No instance stores the challenge. It contains the start of its [period](PERIOD_MS)
    /// and a signature by the signing key.
    pub(crate) fn challenge(&self, purpose: Purpose, session: &SessionId, now: Timestamp) -> Option<String> {
        let time = (now.as_millis() - now.as_millis() % PERIOD_MS).to_be_bytes();
        let key = self.ring.signer().refresh.as_ref()?;
        let signature = key.challenge(&content(purpose, session, time));
        Some(URL_SAFE_NO_PAD.encode([&time[..], &signature].concat()))
    }

    /// Whether a key of the ring made `challenge` for this session and purpose, in a period that began less than 120 s
    /// ago. The clocks of instances may differ by `skew`.
    pub(crate) fn is_challenge(
        &self,
        challenge: &str,
        purpose: Purpose,
        session: &SessionId,
        now: Timestamp,
        skew: Duration,
    ) -> bool {
        let mut bytes = [0; 40];
        let Ok(40) = URL_SAFE_NO_PAD.decode_slice(challenge, &mut bytes) else { return false };
        let Some((time, signature)) = bytes.split_first_chunk::<8>() else { return false };
        let issued = Timestamp::from_millis(u64::from_be_bytes(*time));
        let content = content(purpose, session, *time);
        issued <= now + skew
            && now < issued + LIFETIME
            && self
                .ring
                .keys()
                .filter_map(|key| key.refresh.as_ref())
                .any(|key| key.has_challenged(&content, signature))
    }
}

/// The content that a challenge's signature covers. Each part has a fixed length.
fn content(purpose: Purpose, session: &SessionId, time: [u8; 8]) -> Vec<u8> {
    let purpose = match purpose {
        Purpose::Registration => b'r',
        Purpose::Refresh => b'p',
    };
    [&[purpose][..], session.as_bytes(), &time].concat()
}

/// A proof from the client that is not verified yet. [`is_signed_by`](Self::is_signed_by) verifies it.
pub(crate) struct DeviceProof<'a> {
    message: &'a [u8],
    signature: Vec<u8>,
    algorithm: Algorithm,
    /// The public key. Set at a registration.
    pub(crate) key: Option<PublicKey>,
    /// The challenge that the proof answers (`jti`).
    pub(crate) challenge: String,
}

#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    #[serde(borrow)]
    typ: Cow<'a, str>,
    #[serde(borrow)]
    jwk: Option<&'a RawValue>,
    // These members change how a JWS is read, so a proof with one of them is refused.
    crit: Option<IgnoredAny>,
    b64: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    jti: Cow<'a, str>,
}

impl<'a> DeviceProof<'a> {
    /// Reads a proof. The error is the reason in the event.
    pub(crate) fn read(jwt: &'a [u8]) -> Result<Self, &'static str> {
        const MALFORMED: &str = "malformed";
        let parts: Vec<&[u8]> = jwt.split(|byte| *byte == b'.').take(4).collect();
        let ([head, payload, signature], ..=LONGEST_PROOF) = (&*parts, jwt.len()) else {
            return Err(MALFORMED);
        };
        let mut buffers = [[0; LONGEST_PROOF / 4 * 3]; 2];
        let [head_buffer, payload_buffer] = &mut buffers;
        let head = jws::decode(head, head_buffer).map_err(|_| MALFORMED)?;
        let payload = jws::decode(payload, payload_buffer).map_err(|_| MALFORMED)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| MALFORMED)?;
        let header: Header<'_> = jws::object(head).ok_or(MALFORMED)?;
        if header.crit.is_some() || header.b64.is_some() {
            return Err(MALFORMED);
        }
        if !header.typ.eq_ignore_ascii_case(TYP) {
            return Err("type");
        }
        let algorithm = match &*header.alg {
            "ES256" => Algorithm::ES256,
            "RS256" => Algorithm::RS256,
            _ => return Err("algorithm"),
        };
        let key = header.jwk.map(|jwk| PublicKey::from_jwk(jwk.get()).map_err(|_| "key")).transpose()?;
        let Payload { jti } = jws::object(payload).ok_or(MALFORMED)?;
        let message =
            jwt.get(..parts.iter().take(2).map(|part| part.len()).sum::<usize>() + 1).ok_or(MALFORMED)?;
        Ok(Self { message, signature, algorithm, key, challenge: jti.into_owned() })
    }

    /// Whether `key` signed the proof, by the algorithm that the proof names.
    pub(crate) fn is_signed_by(&self, key: &PublicKey) -> bool {
        key.algorithm() == self.algorithm && key.verify(self.message, &self.signature)
    }
}

impl PublicKey {
    /// The thumbprint as bytes.
    pub(crate) fn thumbprint_bytes(&self) -> Option<Thumbprint> {
        let mut bytes = [0; 32];
        let length = URL_SAFE_NO_PAD.decode_slice(self.thumbprint(), &mut bytes).ok()?;
        (length == bytes.len()).then_some(Thumbprint(bytes))
    }

    /// The key as a JWK whose `kid` is the thumbprint. A name from the client is dropped.
    pub(crate) fn to_named_jwk(&self) -> Option<String> {
        Some(self.clone().with_kid(&self.thumbprint()).ok()?.to_jwk())
    }
}
