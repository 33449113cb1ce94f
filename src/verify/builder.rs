//! Builds a [`Verifier`]. Each setting has a safe default, except the keys and the tokens to accept.

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderMap, Uri, uri::Scheme};

use super::{
    Verifier,
    jwks::{Jwks, KeyAges, Source},
    stores::ReadOnly,
};
use crate::{
    claims::Claims,
    cookie::CookieOptions,
    cross_site::is_for_loopback,
    engine::{Config, EngineHandle, KeySource, VerifyOnly},
    event::Event,
    http_client::{DynHttpClient, HttpClient},
    protocol::{Policy, Timing},
    revocation::StoreAccess,
    sessions::{BuildError, check_realm, set_cookies},
    store::{DynStore, SessionStore},
    time::Clock,
    token::{Keyring, PublicKey, TokenCodec},
};

/// Where the keys come from: fixed keys, or the address of a JWK Set.
pub(super) enum Keys {
    Fixed(Vec<PublicKey>),
    At(Uri, DynHttpClient),
}

impl Keys {
    pub(super) fn at(address: Uri, client: impl HttpClient) -> Self {
        Self::At(address, DynHttpClient::new(client))
    }
}

/// Builds a [`Verifier`]. Created by [`Verifier::with_keys`] and [`Verifier::from_jwks`].
#[must_use = "call `build`"]
pub struct VerifierBuilder<C = ()> {
    keys: Keys,
    ages: KeyAges,
    plain_http_keys: bool,
    timing: Timing,
    issuer: Option<String>,
    service: Option<String>,
    sessions: bool,
    session_audience: Option<String>,
    cookies: Option<CookieOptions>,
    store: Option<Arc<dyn DynStore>>,
    config: Config<C>,
}

impl<C: Claims> VerifierBuilder<C> {
    pub(super) fn new(keys: Keys) -> Self {
        let mut config = Config::default();
        // A service that follows the feed must know all revocations. If the feed lags, the service asks the store.
        config.feed.ask_store_when_lagging = true;
        Self {
            keys,
            ages: KeyAges { refresh: Duration::from_secs(300), stale: Duration::from_secs(3600) },
            plain_http_keys: false,
            timing: Timing::default(),
            issuer: None,
            service: None,
            sessions: false,
            session_audience: None,
            cookies: None,
            store: None,
            config,
        }
    }

    /// The issuer of the tokens (`iss`). If it is set, tokens without this `iss` are refused. Required with
    /// [`audience`](Self::audience).
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// This service's name (`aud`). Tokens for this name are accepted:
    /// [`Session::token_for`](crate::Session::token_for) mints them.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.service = Some(audience.into());
        self
    }

    /// Also accepts the access tokens of the issuer's sessions. Default: no.
    ///
    /// # Security
    /// Such a token is also valid at the issuer. A service that receives the token can act at the issuer for the user
    /// until the token expires. So accept session tokens only in parts of the same application. Other services get
    /// tokens for their [audience](Self::audience).
    pub fn accept_session_tokens(mut self) -> Self {
        self.sessions = true;
        self
    }

    /// The issuer's [realm](crate::SessionsBuilder::realm). Default `sessions`.
    pub fn realm(mut self, realm: impl Into<String>) -> Self {
        self.config.realm = realm.into().into();
        self
    }

    /// The expected `aud` of the access tokens of sessions: the issuer's [audience](crate::SessionsBuilder::audience).
    /// Default: the realm.
    pub fn session_audience(mut self, audience: impl Into<String>) -> Self {
        self.session_audience = Some(audience.into());
        self
    }

    /// The issuer's durations. A token is refused if its lifetime is longer than the [access token
    /// lifetime](Timing::access_ttl()) plus the write window. The defaults are those of the issuer.
    pub fn timing(mut self, change: impl FnOnce(Timing) -> Timing) -> Self {
        self.timing = change(self.timing);
        self
    }

    /// Accepts the access cookie of a session if a request has no bearer token. Implies
    /// [`accept_session_tokens`](Self::accept_session_tokens). The closure gets [`CookieOptions::default`]: set the
    /// same cookie names as at the issuer. Default: no cookie is read.
    ///
    /// A service cannot read the [encrypted](CookieOptions::encrypted) cookies of an issuer. A service does not renew
    /// sessions. If the access token has expired, the response is 401, and the next request to the issuer renews the
    /// session. Requests with unsafe methods must come from this origin, or from a [trusted
    /// origin](CookieOptions::trusted_origin).
    pub fn accept_cookie(mut self, change: impl FnOnce(CookieOptions) -> CookieOptions) -> Self {
        self.cookies = Some(change(self.cookies.unwrap_or_default()));
        self.sessions = true;
        self
    }

    /// Follows the feed of the issuer's store, so that a revoked session is refused here within a second. Default:
    /// tokens are accepted until they expire.
    ///
    /// The service only reads the store: the feed, and the record of a session if the feed does not suffice. If the
    /// feed lags, each request asks the store. If the store does not answer, the request gets 503.
    ///
    /// Revocations apply to the access tokens of sessions, and to tokens [with a session
    /// ID](crate::TokenFor::with_session_id). Other tokens are refused in three cases: their subject is [marked as
    /// stale](crate::Sessions::mark_stale), an emergency stop was made, or very many sessions of their subject are
    /// revoked at once.
    pub fn follow(mut self, store: impl SessionStore) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// While the feed lags, accepts tokens until they expire, if the feed was read to its end before. Default: while
    /// the feed lags, each request asks the store, and gets 503 if the store does not answer.
    ///
    /// # Security
    /// If a session is revoked while the feed lags, its access token is accepted until it expires.
    pub fn accept_while_feed_lags(mut self) -> Self {
        self.config.feed.ask_store_when_lagging = false;
        self
    }

    /// How long this service may be unable to read the feed before the feed counts as lagging. Default 5 s.
    pub fn feed_lag_bound(mut self, bound: Duration) -> Self {
        self.config.feed.lag_bound = bound;
        self
    }

    /// How long a call of the followed store may take. Default 500 ms.
    pub fn store_deadline(mut self, deadline: Duration) -> Self {
        self.config.store_deadline = deadline;
        self
    }

    /// The longest time until fetched keys are fetched again, at least 10 s. Default 5 minutes. If the response has a
    /// shorter `max-age`, this `max-age` applies, but at least 10 s. A key that the issuer has pulled is accepted here
    /// until the keys are fetched again.
    pub fn key_max_age(mut self, age: Duration) -> Self {
        self.ages.refresh = age;
        self
    }

    /// How long fetched keys are used after [`key_max_age`](Self::key_max_age), while they cannot be fetched again.
    /// Default 1 hour. After that, requests get 503.
    ///
    /// # Security
    /// During this time, a key that the issuer has pulled is accepted here. [`Verifier::set_keys`] removes it at once.
    pub fn use_stale_keys_for(mut self, time: Duration) -> Self {
        self.ages.stale = time;
        self
    }

    /// Allows plain HTTP for the address of the keys on another machine. Default: plain HTTP is only for an address of
    /// this machine.
    ///
    /// # Security
    /// An attacker on the network path can replace the keys, and then sign any token.
    pub fn dangerous_plain_http_keys(mut self) -> Self {
        self.plain_http_keys = true;
        self
    }

    /// How many verified tokens are cached, at about 1 KB each. Default 8192. Zero turns the cache off.
    pub fn verified_cache(mut self, tokens: usize) -> Self {
        self.config.token_cache_capacity = tokens;
        self
    }

    /// A hook for every event: see [`SessionsBuilder::on_event`](crate::SessionsBuilder::on_event).
    pub fn on_event(mut self, hook: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.config.events.hook = Some(Arc::new(hook));
        self
    }

    /// The clock. Default: [`SystemClock`](crate::SystemClock).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.config.clock = Arc::new(clock);
        self
    }

    /// Checks all settings, and builds the verifier.
    ///
    /// # Errors
    /// [`BuildError`] names what is wrong.
    pub fn build(self) -> Result<Verifier<C>, BuildError> {
        let Self { keys, ages, plain_http_keys, timing, cookies, mut config, .. } = self;
        if !self.sessions && self.service.is_none() {
            return Err(BuildError::NothingAccepted);
        }
        if self.service.is_some() && self.issuer.is_none() {
            return Err(BuildError::NoIssuer);
        }
        check_realm(&config.realm)?;
        let accepts_cookies = cookies.is_some();
        if let Some(options) = cookies {
            set_cookies(&mut config, options)?;
        }
        config.policy = Policy::new(timing)?;
        config.events.realm = config.realm.clone();
        config.feed.access = if self.store.is_some() { StoreAccess::ReadOnly } else { StoreAccess::None };

        let jwks = match &keys {
            Keys::Fixed(_) => None,
            Keys::At(address, client) => {
                check_address(address, plain_http_keys)?;
                let (clock, events) = (config.clock.clone(), config.events.clone());
                Some(Jwks::new(address.clone(), client.clone(), clock, events, ages))
            }
        };
        let source = jwks.clone().map(|jwks| Arc::new(Source(jwks)) as Arc<dyn KeySource>);
        config.verify_only = Some(VerifyOnly { cookies: accepts_cookies, source });

        let ring = match &keys {
            Keys::Fixed(keys) => Keyring::of_public(keys),
            Keys::At(..) => Keyring::of_public(&[]),
        };
        let mut codec = TokenCodec::new(ring, config.realm.clone(), config.policy.longest_access());
        if let Some(audience) = self.session_audience {
            codec = codec.with_audience(audience.into());
        }
        if let Some(issuer) = self.issuer {
            codec = codec.with_issuer(issuer.into());
        }
        if let Some(service) = self.service {
            codec = codec.with_service(service.into());
        }
        if !self.sessions {
            codec = codec.without_sessions();
        }
        let engine = EngineHandle::new(config, codec, Arc::new(ReadOnly(self.store)));
        if let Some(jwks) = &jwks {
            let engine = Arc::downgrade(&*engine);
            jwks.apply_to(move |keys| {
                if let Some(engine) = engine.upgrade() {
                    engine.set_keys(Keyring::of_public(keys));
                }
            });
        }
        Ok(Verifier { engine, jwks })
    }
}

fn check_address(address: &Uri, plain_http: bool) -> Result<(), BuildError> {
    let is_good = match address.scheme() {
        Some(scheme) if *scheme == Scheme::HTTPS => true,
        Some(scheme) if *scheme == Scheme::HTTP => plain_http || is_for_loopback(address, &HeaderMap::new()),
        _ => false,
    };
    let has_password = address.authority().is_some_and(|authority| authority.as_str().contains('@'));
    match is_good && !has_password {
        true => Ok(()),
        // The address may contain a password, so the error has only its path.
        false => Err(BuildError::KeyAddress(address.path().to_owned())),
    }
}

impl<C> fmt::Debug for VerifierBuilder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifierBuilder").field("realm", &self.config.realm).finish_non_exhaustive()
    }
}
