//! An attacker who knows the secret: every token that it forges has a valid signature.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::value::RawValue;
use sha2::Sha256;

use crate::world::Pair;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Access,
    Refresh,
}

pub(crate) const BOTH: [Kind; 2] = [Kind::Access, Kind::Refresh];

impl Kind {
    pub(crate) fn typ(self) -> &'static str {
        match self {
            Self::Access => "at+jwt",
            Self::Refresh => "rt+jwt",
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Access => Self::Refresh,
            Self::Refresh => Self::Access,
        }
    }

    pub(crate) fn of(self, pair: &Pair) -> &str {
        match self {
            Self::Access => &pair.access,
            Self::Refresh => &pair.refresh,
        }
    }

    /// `token` as the cookie of this kind, and none of the other kind.
    pub(crate) fn alone(self, token: &[u8]) -> (Option<&[u8]>, Option<&[u8]>) {
        match self {
            Self::Access => (Some(token), None),
            Self::Refresh => (None, Some(token)),
        }
    }
}

/// An object's members, each value as JSON.
pub(crate) type Members = Vec<(String, String)>;

pub(crate) struct Forge {
    access_key: Vec<u8>,
    refresh_key: Vec<u8>,
    pub(crate) kid: String,
    access: Members,
    refresh: Members,
}

impl Forge {
    pub(crate) fn new(secret: &[u8], legitimate: &Pair) -> Self {
        let mut refresh_key = vec![0; 32];
        Hkdf::<Sha256>::new(None, secret)
            .expand(b"tower-sliding-sessions refresh v1", &mut refresh_key)
            .expect("32 bytes");
        let header = members(&part(&legitimate.access, 0));
        // Nothing can be read from an encrypted one.
        let claims = |token: &str| match token.matches('.').count() {
            2 => members(&part(token, 1)),
            _ => Members::new(),
        };
        let (_, kid) = header.iter().find(|(name, _)| name == "kid").expect("a kid");
        Self {
            access_key: secret.to_vec(),
            refresh_key,
            kid: kid.trim_matches('"').to_owned(),
            access: claims(&legitimate.access),
            refresh: claims(&legitimate.refresh),
        }
    }

    #[cfg(feature = "rust_crypto")]
    pub(crate) fn refresh_key(&self) -> &[u8] {
        &self.refresh_key
    }

    pub(crate) fn header(&self, kind: Kind) -> String {
        format!(r#"{{"alg":"HS256","kid":"{}","typ":"{}"}}"#, self.kid, kind.typ())
    }

    /// The claims of the legitimate token.
    pub(crate) fn claims(&self, kind: Kind) -> Members {
        match kind {
            Kind::Access => self.access.clone(),
            Kind::Refresh => self.refresh.clone(),
        }
    }

    pub(crate) fn payload(&self, kind: Kind) -> String {
        object(&self.claims(kind))
    }

    /// The legitimate claims with one value changed.
    pub(crate) fn payload_with(&self, kind: Kind, name: &str, value: &str) -> String {
        let mut claims = self.claims(kind);
        claims.retain(|(other, _)| other != name);
        claims.push((name.to_owned(), value.to_owned()));
        object(&claims)
    }

    pub(crate) fn payload_without(&self, kind: Kind, name: &str) -> String {
        let mut claims = self.claims(kind);
        claims.retain(|(other, _)| other != name);
        object(&claims)
    }

    /// Signs a header and a payload with the key of this kind.
    pub(crate) fn token(&self, kind: Kind, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
        self.sign_raw(kind, &format!("{}.{}", encode(header), encode(payload)))
    }

    /// Signs a message as it is. Its parts need not be base64url.
    pub(crate) fn sign_raw(&self, kind: Kind, message: &str) -> String {
        format!("{message}.{}", encode(self.mac(kind, message.as_bytes())))
    }

    pub(crate) fn mac(&self, kind: Kind, message: &[u8]) -> Vec<u8> {
        let key = match kind {
            Kind::Access => &self.access_key,
            Kind::Refresh => &self.refresh_key,
        };
        let mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
        mac.chain_update(message).finalize().into_bytes().to_vec()
    }
}

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(feature = "verify")]
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// The decoded part of a token.
pub(crate) fn part(token: &str, index: usize) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(token.split('.').nth(index).expect("three parts")).expect("base64url")
}

pub(crate) fn members(json: &[u8]) -> Members {
    let map: std::collections::BTreeMap<String, Box<RawValue>> =
        serde_json::from_slice(json).expect("an object");
    map.into_iter().map(|(name, value)| (name, value.get().to_owned())).collect()
}

pub(crate) fn object(members: &[(String, String)]) -> String {
    let members: Vec<_> = members.iter().map(|(name, value)| format!(r#""{name}":{value}"#)).collect();
    format!("{{{}}}", members.join(","))
}
