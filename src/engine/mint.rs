//! Tokens and cookies of a session, and checks of the claims that they will have.

use std::{borrow::Cow, sync::Arc, time::Duration};

use http::HeaderValue;

use super::{Credential, Engine, SessionView, VerifiedToken, bound::device_of, record::step_up_of};
use crate::{
    claims::Claims,
    cookie::LONGEST_VALUE,
    device_binding::cookie_lifetime,
    event::EventKind,
    id::RunId,
    store::{SessionKey, SessionRecord},
    time::Timestamp,
    token::{AccessToken, DeviceKey, MintError, RefreshClaims, StepUp, TokenCodec, write_short_claims},
};

/// A `Set-Cookie` header, and the cookie's name.
#[derive(Clone)]
pub(crate) struct CookieLine {
    pub(crate) name: Cow<'static, str>,
    pub(crate) value: HeaderValue,
}

impl From<(&str, HeaderValue)> for CookieLine {
    fn from((name, value): (&str, HeaderValue)) -> Self {
        Self { name: name.to_owned().into(), value }
    }
}

/// What the tokens of a session are minted from.
#[derive(Clone, Copy)]
pub(super) struct TokenBasis<'a> {
    pub(super) record: &'a SessionRecord,
    pub(super) key: &'a SessionKey,
    pub(super) run: RunId,
    pub(super) generation: u64,
    /// If true, the access token requires a re-authentication and names no authentication methods, although the record
    /// may have some: see [`SessionView::step_up_without_methods`].
    pub(super) step_up_without_methods: bool,
    /// When the record was read. This becomes `iat`, because a later `iat` could make old claims look new.
    pub(super) read_at: Timestamp,
    /// The access token expires at this time at the latest. `None` for the session's absolute timeout.
    pub(super) limit: Option<Timestamp>,
}

impl<'a> TokenBasis<'a> {
    pub(super) fn of(record: &'a SessionRecord, key: &'a SessionKey, run: RunId, read_at: Timestamp) -> Self {
        let generation = record.family.generation;
        Self { record, key, run, generation, step_up_without_methods: false, read_at, limit: None }
    }

    /// For a request without a proof of the device's key: if the session is bound, the new token lives no longer than
    /// the token of `view`.
    pub(super) fn without_proof<C>(self, view: &SessionView<C>) -> Self {
        let is_bound = device_of(self.record).is_some_and(|device| device.is_confirmed());
        Self { limit: is_bound.then_some(view.expires), ..self }
    }
}

impl<C: Claims> Engine<C> {
    /// Writes the claims as JSON, and reads this JSON. Returns the JSON, and the claims as the next request will read
    /// them. This is done before anything is stored, because claims that cannot be read or do not fit into a cookie
    /// would make the session unusable.
    pub(super) fn writable_claims(
        &self,
        key: &SessionKey,
        claims: &C,
        methods: &[String],
        reauthentication_methods: &[String],
        now: Timestamp,
    ) -> Result<(Arc<str>, C), MintError> {
        let (json, parsed) = write_short_claims(claims)?;
        self.check_fits_cookie(key, &json, methods, reauthentication_methods, now)?;
        self.check_readable_fits(&parsed)?;
        Ok((json.into(), parsed))
    }

    /// Reports that no token or cookie was written for a session.
    pub(crate) fn report_unwritten(&self, error: &MintError, key: &SessionKey) {
        self.config.events.failed_of(EventKind::unwritten(error), error, &key.id, &key.subject.name);
    }

    /// Checks that an access token with these claims fits into a cookie, with the largest generation and with a
    /// re-authentication.
    pub(super) fn check_fits_cookie(
        &self,
        key: &SessionKey,
        claims: &str,
        methods: &[String],
        reauthentication_methods: &[String],
        now: Timestamp,
    ) -> Result<(), MintError> {
        let codec = self.tokens.codec();
        let token = codec.mint_access(&AccessToken {
            subject: &key.subject.name,
            session: key.id,
            generation: u64::MAX,
            run: RunId::SAMPLE,
            issued: now,
            expires: now + self.config.policy.timing().absolute_timeout,
            auth_time: now,
            methods,
            step_up: &StepUp::Done { at: now, amr: reauthentication_methods.to_vec() },
            device: self.takes_proofs().then_some(DeviceKey::LONGEST),
            claims,
        })?;
        let token = self.access_cookie(&codec, token)?;
        let cookies = &self.config.cookies;
        cookies
            .set(&cookies.access, &token, None)
            .map(drop)
            .ok_or(MintError::TooLong { length: token.len(), limit: LONGEST_VALUE })
    }

    /// The access cookie of a session. Its token's lifetime counts from `now`.
    pub(super) fn access_line(
        &self,
        codec: &Arc<TokenCodec>,
        basis: &TokenBasis<'_>,
        claims_to_cache: Option<&Arc<C>>,
        now: Timestamp,
    ) -> Result<CookieLine, MintError> {
        let token = self.mint_and_cache(codec, basis, claims_to_cache, now, Credential::Cookies)?;
        let name = self.config.cookies.access.clone();
        if device_of(basis.record).is_none() {
            return self.set_cookie(name, &token, basis.record, now);
        }
        // The cookie ends before its token. So the browser proves the device's key, and gets the next token, before
        // this token expires.
        let limit = basis.limit.unwrap_or(basis.record.family.absolute_deadline);
        let left = self.config.policy.access_expiry(now, limit).since(now);
        let age = cookie_lifetime(left, self.config.policy.timing().access_ttl);
        self.set_cookie_for(name, &token, Some(age))
    }

    /// The value of the access cookie: the token, which is encrypted if the application has set that.
    fn access_cookie(&self, codec: &TokenCodec, token: String) -> Result<String, MintError> {
        #[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
        if self.config.cookies.encrypted {
            return codec.encrypt_access(&token);
        }
        let _ = codec;
        Ok(token)
    }

    /// The value of the refresh cookie.
    fn refresh_cookie(&self, codec: &TokenCodec, claims: &RefreshClaims) -> Result<String, MintError> {
        let token = codec.mint_refresh(claims)?;
        #[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
        if self.config.cookies.encrypted {
            return codec.encrypt_refresh(&token, claims.absolute_deadline);
        }
        Ok(token)
    }

    /// Mints the access token of a session. Only a token for a cookie may be encrypted, so `credential` says what
    /// carries it. If `claims_to_cache` is given, puts the token into the cache. These claims must be the record's.
    pub(super) fn mint_and_cache(
        &self,
        codec: &Arc<TokenCodec>,
        basis: &TokenBasis<'_>,
        claims_to_cache: Option<&Arc<C>>,
        now: Timestamp,
        credential: Credential,
    ) -> Result<String, MintError> {
        let TokenBasis { record, key, run, generation, step_up_without_methods, read_at, limit } = *basis;
        let (methods, step_up): (Vec<String>, _) = match step_up_without_methods {
            true => (Vec::new(), StepUp::Required),
            false => (record.all_methods().map(str::to_owned).collect(), step_up_of(record)),
        };
        let token = AccessToken {
            subject: &key.subject.name,
            session: key.id,
            generation,
            run,
            issued: read_at.min(now),
            expires: self.config.policy.access_expiry(now, limit.unwrap_or(record.family.absolute_deadline)),
            auth_time: record.family.created_at,
            methods: &methods,
            step_up: &step_up,
            device: device_of(record),
            claims: &record.claims,
        };
        let minted = codec.mint_access(&token)?;
        let minted = match credential {
            Credential::Cookies => self.access_cookie(codec, minted)?,
            Credential::Bearer => minted,
        };
        if let Some(claims) = claims_to_cache {
            self.cache_minted(codec, &token, claims, &minted);
        }
        Ok(minted)
    }

    /// Puts a minted token into the cache, so that its first use needs no verification.
    fn cache_minted(&self, codec: &Arc<TokenCodec>, token: &AccessToken<'_>, claims: &Arc<C>, minted: &str) {
        if self.tokens.cache_is_enabled()
            && let Some(claims) = codec.as_verified(token, claims.clone())
            && let Some(engine) = self.weak_self.upgrade()
        {
            let token = VerifiedToken::new(engine, claims);
            token.note_not_revoked(self.revocation.monotonic());
            self.tokens.keep(codec, minted.as_bytes(), Arc::new(token));
        }
    }

    /// The refresh cookie of a session's current generation. Every instance with these keys mints the same refresh
    /// token.
    pub(super) fn refresh_line(
        &self,
        codec: &TokenCodec,
        basis: &TokenBasis<'_>,
        now: Timestamp,
    ) -> Result<CookieLine, MintError> {
        let TokenBasis { record, key, run, .. } = *basis;
        let claims = RefreshClaims::of(&key.subject.name, key.id, &record.family, run, device_of(record));
        let token = self.refresh_cookie(codec, &claims)?;
        self.set_cookie(self.config.cookies.refresh.clone(), &token, record, now)
    }

    /// A cookie. If the session outlives the browser, the cookie lives until the session's absolute timeout. Otherwise,
    /// the cookie lives until the browser is closed.
    pub(super) fn set_cookie(
        &self,
        name: Cow<'static, str>,
        value: &str,
        record: &SessionRecord,
        now: Timestamp,
    ) -> Result<CookieLine, MintError> {
        let left = || record.family.absolute_deadline.since(now).max(Duration::from_secs(1));
        self.set_cookie_for(name, value, record.persistent.then(left))
    }

    fn set_cookie_for(
        &self,
        name: Cow<'static, str>,
        value: &str,
        age: Option<Duration>,
    ) -> Result<CookieLine, MintError> {
        let line = self.config.cookies.set(&name, value, age);
        Ok(CookieLine {
            name,
            value: line.ok_or(MintError::TooLong { length: value.len(), limit: LONGEST_VALUE })?,
        })
    }

    /// The headers that remove the cookies.
    pub(crate) fn removal_lines(&self) -> Vec<CookieLine> {
        self.config.cookies.removals().map(CookieLine::from).collect()
    }
}
