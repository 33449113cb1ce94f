//! Access tokens for other services (RFC 9068). Such a token has one audience, a lifetime of minutes, and no
//! generation.
//!
//! No realm accepts such a token as a session. The token has another audience. It lacks `gen`, and may lack `sid` and
//! `run`. It also has members that a session's access token must not have.

use std::{borrow::Cow, sync::Arc};

use jsonwebtoken::Algorithm;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    codec::TokenCodec,
    error::MintError,
    json::{self, not_null},
    jws::{self, LONGEST_TOKEN},
    key::Kind,
};
use crate::{
    id::{RunId, SessionId},
    time::Timestamp,
};

/// The members of a token for another service, as they are written and read.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServiceClaims<'a> {
    #[serde(borrow)]
    pub(crate) iss: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) sub: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) aud: Cow<'a, str>,
    /// The application that asked for the token.
    #[serde(borrow)]
    pub(crate) client_id: Cow<'a, str>,
    pub(crate) iat: u64,
    pub(crate) exp: u64,
    #[serde(borrow)]
    pub(crate) jti: Cow<'a, str>,
    /// When the user last authenticated. `None` if no authentication counts for the request.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    pub(crate) auth_time: Option<u64>,
    /// How the user authenticated at `auth_time`.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) amr: Cow<'a, [String]>,
    /// The session ID, so that the service can follow the session's revocation.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    pub(crate) sid: Option<SessionId>,
    /// The session's run ID. Present if `sid` is present.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    pub(crate) run: Option<RunId>,
    #[serde(borrow, default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    pub(crate) scope: Option<Cow<'a, str>>,
    /// The claims that the application chose. The access tokens of sessions have the application's claims in the same
    /// member.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) ext: Option<&'a RawValue>,
}

/// The content of a token for another service, without the values that the keys and the settings add.
#[derive(Debug)]
pub(crate) struct ServiceToken<'a> {
    pub(crate) subject: &'a str,
    pub(crate) audience: &'a str,
    /// The client ID. If it is `None`, the token names the realm.
    pub(crate) client_id: Option<&'a str>,
    pub(crate) now: Timestamp,
    pub(crate) expires: Timestamp,
    pub(crate) id: &'a str,
    pub(crate) auth_time: Option<Timestamp>,
    pub(crate) methods: &'a [String],
    pub(crate) session: Option<(SessionId, RunId)>,
    pub(crate) scope: Option<&'a str>,
    pub(crate) claims: Option<&'a RawValue>,
}

/// Why a token for another service was not minted.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceTokenError {
    /// No [issuer](crate::SessionsBuilder::issuer) is set. A service must know whose tokens it accepts (RFC 9068,
    /// section 4).
    #[error("no issuer is set: a service must know whose tokens it accepts")]
    NoIssuer,
    /// The signing key is an HMAC secret. A service that verifies with it can also mint tokens, for every session and
    /// every subject. Use an Ed25519 or ES256 key.
    #[error(
        "the signing key is a secret (HS256): a service that verifies with it could mint sessions. \
         Use an Ed25519 or ES256 key"
    )]
    SharedSecret,
    /// The audience is empty, or it is this application: its audience, its realm or its issuer.
    #[error("the audience {0:?} is empty or this application itself")]
    Audience(String),
    /// The scope has characters that RFC 6749, section 3.3, does not allow, or spaces that separate nothing.
    #[error("the scope {0:?} is not one by RFC 6749, section 3.3")]
    Scope(String),
    /// The client ID is empty, or has characters that RFC 6749, appendix A.1, does not allow.
    #[error("the client ID {0:?} is not one by RFC 6749, appendix A.1")]
    ClientId(String),
    /// After the request was authenticated, the session was revoked or its access token expired.
    #[error("the session is revoked, or its access token has expired")]
    Ended,
    /// The token could not be written or signed.
    #[error(transparent)]
    Mint(#[from] MintError),
}

impl TokenCodec {
    /// Mints a token for another service.
    pub(crate) fn mint_for_service(&self, token: &ServiceToken<'_>) -> Result<String, ServiceTokenError> {
        let issuer = self.issuer.as_deref().ok_or(ServiceTokenError::NoIssuer)?;
        let algorithm = self.ring.signer().algorithm(Kind::Access);
        if matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512) {
            return Err(ServiceTokenError::SharedSecret);
        }
        if ["", &*self.audience, &*self.realm, issuer].contains(&token.audience) {
            return Err(ServiceTokenError::Audience(token.audience.to_owned()));
        }
        if let Some(scope) = token.scope.filter(|scope| !is_scope(scope)) {
            return Err(ServiceTokenError::Scope(scope.to_owned()));
        }
        let client_id = token.client_id.unwrap_or(&self.realm);
        if client_id.is_empty() || !client_id.bytes().all(|b| matches!(b, b' '..=b'~')) {
            return Err(ServiceTokenError::ClientId(client_id.to_owned()));
        }
        let minted = jws::mint(
            &self.ring,
            Kind::Access,
            &ServiceClaims {
                iss: issuer.into(),
                sub: token.subject.into(),
                aud: token.audience.into(),
                client_id: client_id.into(),
                iat: token.now.as_secs(),
                exp: token.expires.as_secs(),
                jti: token.id.into(),
                auth_time: token.auth_time.map(|at| at.as_secs()),
                amr: Cow::Borrowed(token.methods),
                sid: token.session.map(|(id, _)| id),
                run: token.session.map(|(_, run)| run),
                scope: token.scope.map(Cow::Borrowed),
                ext: token.claims,
            },
        )?;
        match minted.len() {
            length if length > LONGEST_TOKEN => {
                Err(MintError::TooLong { length, limit: LONGEST_TOKEN }.into())
            }
            _ => Ok(minted),
        }
    }
}

/// Writes claims as JSON. Refuses claims in which an object names a member twice. Returns `None` for `null`.
pub(crate) fn write_service_claims(claims: &impl Serialize) -> Result<Option<Box<RawValue>>, MintError> {
    let json =
        serde_json::value::to_raw_value(claims).map_err(|error| MintError::NotJson(Arc::new(error)))?;
    match json.get() {
        "null" => Ok(None),
        text if json::members_are_unique(text) => Ok(Some(json)),
        _ => Err(MintError::DuplicateMember),
    }
}

/// Whether `scope` is a list of scope tokens with one space between two tokens (RFC 6749, section 3.3).
fn is_scope(scope: &str) -> bool {
    let is_token = |token: &[u8]| {
        !token.is_empty() && token.iter().all(|b| matches!(b, b'!' | b'#'..=b'[' | b']'..=b'~'))
    };
    scope.as_bytes().split(|b| *b == b' ').all(is_token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_those_of_rfc_6749() {
        for good in ["a", "a b", "invoices:read https://x/y", "!#[]~"] {
            assert!(is_scope(good), "{good}");
        }
        for bad in ["", " ", "a ", " a", "a  b", "a\"b", "a\\b", "é", "a\tb", "a\nb"] {
            assert!(!is_scope(bad), "{bad:?}");
        }
    }

    #[test]
    fn claims_that_name_a_member_twice_are_refused() {
        let twice = RawValue::from_string(r#"{"a":1,"a":2}"#.to_owned()).expect("JSON");
        assert!(matches!(write_service_claims(&twice), Err(MintError::DuplicateMember)));
        assert!(write_service_claims(&()).is_ok_and(|none| none.is_none()));
    }
}
