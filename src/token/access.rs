//! Access tokens: the subject, the session, and the application's claims.

use std::{borrow::Cow, sync::Arc};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
use super::jwe::verify;
#[cfg(not(any(feature = "aws_lc_rs", feature = "rust_crypto")))]
use super::jws::verify;
use super::{
    cnf::DeviceKey,
    codec::{TokenCodec, could_be_ours},
    error::{InvalidToken, MintError},
    json::{self, not_null},
    jws,
    key::Kind,
    step_up::StepUp,
};
use crate::{
    id::{RunId, SessionId},
    time::Timestamp,
};

/// The content of an access token to mint. The token contains these times in whole seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AccessToken<'a> {
    pub(crate) subject: &'a Arc<str>,
    pub(crate) session: SessionId,
    pub(crate) generation: u64,
    pub(crate) run: RunId,
    /// When the session's record was read from the store.
    pub(crate) issued: Timestamp,
    pub(crate) expires: Timestamp,
    pub(crate) auth_time: Timestamp,
    /// All authentication methods: of the sign-in and of the re-authentication.
    pub(crate) methods: &'a [String],
    pub(crate) step_up: &'a StepUp,
    /// The device key to which the session is bound.
    pub(crate) device: Option<DeviceKey>,
    /// The application's claims as JSON.
    pub(crate) claims: &'a str,
}

/// The content of a verified access token.
#[derive(Debug)]
pub(crate) struct AccessClaims<C> {
    pub(crate) subject: Arc<str>,
    pub(crate) session: SessionId,
    pub(crate) generation: u64,
    pub(crate) run: RunId,
    pub(crate) issued: Timestamp,
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) expires: Timestamp,
    pub(crate) auth_time: Timestamp,
    pub(crate) methods: Vec<String>,
    pub(crate) step_up: StepUp,
    pub(crate) device: Option<DeviceKey>,
    pub(crate) claims: Arc<C>,
    /// The details of a token for another service. Such a token has no generation.
    #[cfg(feature = "verify")]
    pub(crate) service: Option<Box<ServiceDetails>>,
}

/// The values that only a token for another service has.
#[cfg(feature = "verify")]
#[derive(Debug)]
pub(crate) struct ServiceDetails {
    /// Whether the token has a `sid`.
    pub(crate) has_session: bool,
    /// The token's ID (`jti`).
    pub(crate) id: Box<str>,
    pub(crate) client_id: Box<str>,
    pub(crate) scope: Option<Box<str>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
    #[serde(borrow, default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    iss: Option<Cow<'a, str>>,
    #[serde(borrow)]
    aud: Cow<'a, str>,
    /// The realm, if it differs from `aud`. Two realms can have the same audience.
    #[serde(borrow, default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    realm: Option<Cow<'a, str>>,
    #[serde(borrow)]
    sub: Cow<'a, str>,
    sid: SessionId,
    r#gen: u64,
    run: RunId,
    iat: u64,
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    nbf: Option<u64>,
    exp: u64,
    auth_time: u64,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    amr: Cow<'a, [String]>,
    #[serde(default, skip_serializing_if = "is_none")]
    step_up: Cow<'a, StepUp>,
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    cnf: Option<DeviceKey>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    ext: Option<&'a RawValue>,
}

#[expect(clippy::ptr_arg, reason = "as `serde` calls it")]
fn is_none(step_up: &Cow<'_, StepUp>) -> bool {
    step_up.is_none()
}

impl TokenCodec {
    pub(crate) fn mint_access(&self, token: &AccessToken<'_>) -> Result<String, MintError> {
        let ext = match token.claims {
            "null" => None,
            // The store's claims must be exactly one JSON value. Otherwise they could add other members to the token.
            claims => {
                Some(serde_json::from_str(claims).map_err(|error| MintError::NotJson(Arc::new(error)))?)
            }
        };
        let wire = Wire {
            iss: self.issuer.as_deref().map(Cow::Borrowed),
            aud: Cow::Borrowed(&self.audience),
            realm: (self.audience != self.realm).then_some(Cow::Borrowed(&self.realm)),
            sub: Cow::Borrowed(token.subject),
            sid: token.session,
            r#gen: token.generation,
            run: token.run,
            iat: token.issued.as_secs(),
            nbf: None,
            exp: token.expires.as_secs(),
            auth_time: token.auth_time.as_secs(),
            amr: Cow::Borrowed(token.methods),
            step_up: Cow::Borrowed(token.step_up),
            cnf: token.device,
            ext,
        };
        jws::mint(&self.ring, Kind::Access, &wire)
    }

    /// Returns the content that [`verify_access`](Self::verify_access) would return for the token that is minted from
    /// `token`, without minting the token. Returns `None` if the token would not be accepted. `claims` must be the
    /// parsed `token.claims`.
    pub(crate) fn as_verified<C>(&self, token: &AccessToken<'_>, claims: Arc<C>) -> Option<AccessClaims<C>> {
        let (issued, expires) = (token.issued.as_secs(), token.expires.as_secs());
        if !could_be_ours(token.subject, issued, expires)
            || expires.saturating_sub(issued) > self.longest_access_secs()
        {
            return None;
        }
        Some(AccessClaims {
            subject: token.subject.clone(),
            session: token.session,
            generation: token.generation,
            run: token.run,
            issued: Timestamp::from_secs(issued),
            not_before: None,
            expires: Timestamp::from_secs(expires),
            auth_time: Timestamp::from_secs(token.auth_time.as_secs()),
            methods: token.methods.to_vec(),
            step_up: token.step_up.in_whole_seconds(),
            device: token.device,
            claims,
            #[cfg(feature = "verify")]
            service: None,
        })
    }

    pub(crate) fn verify_access<C: DeserializeOwned>(
        &self,
        token: &[u8],
    ) -> Result<AccessClaims<C>, InvalidToken> {
        verify(&self.ring, Kind::Access, token, |payload| self.read_access(payload))
    }

    /// Whether the ring has the key that an access token names in its header (`kid`).
    #[cfg(feature = "verify")]
    pub(crate) fn knows_key_of(&self, token: &[u8]) -> bool {
        let read = jws::verify(&self.ring, Kind::Access, token, |_| Ok(()));
        read != Err(InvalidToken::UnknownKey)
    }

    fn read_access<C: DeserializeOwned>(&self, payload: &[u8]) -> Result<AccessClaims<C>, InvalidToken> {
        #[cfg(all(feature = "verify", any(feature = "aws_lc_rs", feature = "rust_crypto")))]
        match self.read_service(payload) {
            Some(read) => return read,
            None if !self.sessions => return Err(InvalidToken::Claims),
            None => {}
        }
        let wire: Wire<'_> = jws::claims(payload)?;
        if *wire.aud != *self.audience
            || *wire.realm.unwrap_or(wire.aud) != *self.realm
            || self.issuer.as_deref().is_some_and(|ours| wire.iss.as_deref() != Some(ours))
        {
            return Err(InvalidToken::Audience);
        }
        // Refuse a token whose lifetime is longer than this service allows, even if its signature is valid.
        if wire.exp.saturating_sub(wire.iat) > self.longest_access_secs() {
            return Err(InvalidToken::Claims);
        }
        if !could_be_ours(&wire.sub, wire.iat, wire.exp) {
            return Err(InvalidToken::Claims);
        }
        Ok(AccessClaims {
            claims: read_claims(wire.ext.map_or("null", RawValue::get))?,
            #[cfg(feature = "verify")]
            service: None,
            subject: wire.sub.into(),
            session: wire.sid,
            generation: wire.r#gen,
            run: wire.run,
            issued: Timestamp::from_secs(wire.iat),
            not_before: wire.nbf.map(Timestamp::from_secs),
            expires: Timestamp::from_secs(wire.exp),
            auth_time: Timestamp::from_secs(wire.auth_time),
            methods: wire.amr.into_owned(),
            step_up: wire.step_up.into_owned(),
            device: wire.cnf,
        })
    }

    /// The largest number of seconds from `iat` to `exp`. Both are whole seconds, and `exp` is rounded up.
    pub(super) fn longest_access_secs(&self) -> u64 {
        self.longest_access.div_ceil(1000).saturating_add(1)
    }
}

/// Reads the application's claims.
pub(super) fn read_claims<C: DeserializeOwned>(ext: &str) -> Result<Arc<C>, InvalidToken> {
    if ext.starts_with(['{', '[']) && !json::members_are_unique(ext) {
        return Err(InvalidToken::Claims);
    }
    serde_json::from_str(ext).map(Arc::new).map_err(|_| InvalidToken::Unreadable)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::*;
    use crate::token::Keyring;

    type Profile = BTreeMap<String, Vec<String>>;

    fn tokens() -> TokenCodec {
        let ring = Keyring::hs256(b"3q2+7wQmV1xK9rT0pLsYzBnH5cJ8uGfE").expect("a good secret");
        TokenCodec::new(ring, "shop".into(), Duration::from_secs(360))
    }

    /// The content that is cached for a minted token, and the content that verification reads.
    fn both(tokens: &TokenCodec, token: &AccessToken<'_>) -> (String, String) {
        let minted = tokens.mint_access(token).expect("it fits");
        let verified = tokens.verify_access::<Option<Profile>>(minted.as_bytes());
        let claims: Option<Profile> = serde_json::from_str(token.claims).expect("claims");
        (format!("{:?}", tokens.as_verified(token, Arc::new(claims))), format!("{:?}", verified.ok()))
    }

    #[test]
    fn claims_that_are_not_one_json_value_are_not_minted() {
        let now = Timestamp::from_secs(1_800_000_000);
        let subject = "ann".into();
        let mint = |claims: &str| {
            tokens().mint_access(&AccessToken {
                subject: &subject,
                session: SessionId::from_bytes([7; 32]),
                generation: 0,
                run: RunId::SAMPLE,
                issued: now,
                expires: now + Duration::from_secs(300),
                auth_time: now,
                methods: &[],
                step_up: &StepUp::None,
                device: None,
                claims,
            })
        };
        assert!(mint("{}").is_ok());
        for bad in ["", "{", r#"{},"sub":"root""#, r#"1},"sub":"root""#, "{} {}"] {
            assert!(matches!(mint(bad), Err(MintError::NotJson(_))), "{bad}");
        }
    }

    #[test]
    fn cached_content_of_a_minted_token_is_what_verification_reads() {
        let at = |millis: u64| Timestamp::from_millis(1_800_000_000_000 + millis);
        let plain = AccessToken {
            subject: &"a\"é\\".into(),
            session: SessionId::from_bytes([7; 32]),
            generation: 3,
            run: RunId::SAMPLE,
            issued: at(1),
            expires: at(300_999),
            auth_time: Timestamp::from_millis(1_799_992_699_001),
            methods: &[],
            step_up: &StepUp::None,
            device: None,
            claims: r#"{"roles":["a","b"]}"#,
        };
        let methods = ["pwd".to_owned(), "otp".to_owned()];
        let done = StepUp::Done { at: at(500), amr: methods[1..].to_vec() };
        let reauthenticated = AccessToken { methods: &methods, step_up: &done, claims: "null", ..plain };
        let required = AccessToken { step_up: &StepUp::Required, ..plain };
        let bound = AccessToken { device: Some(DeviceKey::LONGEST), ..plain };
        let elsewhere = tokens().with_audience("api".into()).with_issuer("https://shop.example".into());
        for tokens in [tokens(), elsewhere] {
            for token in [plain, reauthenticated, required, bound] {
                let (remembered, verified) = both(&tokens, &token);
                assert!(verified.starts_with("Some"), "{verified}");
                assert_eq!(remembered, verified);
            }
        }
        // Verification would refuse this token, so the token is not cached.
        let late = AccessToken { expires: at(362_000), ..plain };
        assert_eq!(both(&tokens(), &late), ("None".to_owned(), "None".to_owned()));
    }
}
