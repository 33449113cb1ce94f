//! Builds [`Sessions`](crate::Sessions). All settings except the keys have safe defaults.

mod hooks;
mod storage;

use std::{fmt, sync::Arc};

use super::Sessions;
use crate::{
    claims::Claims,
    cookie::{CookieError, CookieOptions, Cookies},
    cross_site::{TrustedOrigins, is_origin},
    engine::{Config, EngineHandle, KeyFollower},
    event::EventKind,
    key_file::KeySource,
    protocol::{Policy, PolicyError, Timing},
    store::{Cap, DynStore, MemoryStore},
    token::{Keyring, TokenCodec},
};

/// Why sessions cannot be built. Each error names the wrong value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The durations are refused. The error names the condition that does not hold.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Browsers would drop the cookies, or a trusted origin is not an origin.
    #[error(transparent)]
    Cookie(#[from] CookieError),
    /// The realm must have 1 to 64 visible ASCII characters.
    #[error("{0:?} cannot be a realm: 1 to 64 visible ASCII characters")]
    Realm(String),
    /// [`max_sessions`](SessionsBuilder::max_sessions) is zero: no user could sign in.
    #[error("max_sessions must be at least 1, but is 0")]
    MaxSessions,
    /// The [`Verifier`](crate::Verifier) would accept no tokens. Set its audience, or let it accept the access tokens
    /// of sessions.
    #[error("no tokens are accepted: call `audience`, `accept_session_tokens`, or both")]
    NothingAccepted,
    /// A [`Verifier`](crate::Verifier) with an audience needs the issuer of the tokens (RFC 9068, section 4).
    #[error("tokens for an audience are accepted of a named issuer only: call `issuer`")]
    NoIssuer,
    /// Sessions cannot be bound to devices with these settings.
    #[cfg(feature = "device-bound")]
    #[cfg_attr(docsrs, doc(cfg(feature = "device-bound")))]
    #[error(transparent)]
    DeviceBound(#[from] crate::device_binding::DeviceBoundError),
    /// The address of the public keys must be `https`, or `http` on this machine.
    #[error("{0:?} cannot be the address of public keys: it must be an absolute https address")]
    KeyAddress(String),
    /// The operating system returned no random bytes.
    #[error("the operating system's random generator failed")]
    Entropy,
}

/// Builds [`Sessions`]. Made by [`Sessions::builder`].
#[must_use = "call `build`"]
pub struct SessionsBuilder<C = ()> {
    keys: Keyring,
    timing: Timing,
    audience: Option<String>,
    issuer: Option<String>,
    cookies: CookieOptions,
    store: Option<Arc<dyn DynStore>>,
    config: Config<C>,
}

impl<C: Claims> SessionsBuilder<C> {
    pub(crate) fn new(keys: KeySource) -> Self {
        let mut config = Config::default();
        let keys = match keys {
            KeySource::Keyring(keys) => keys,
            KeySource::File(file) => {
                let keys = file.keys().clone();
                config.key_follower = Some(KeyFollower::new(file.watched()));
                keys
            }
        };
        Self {
            keys,
            timing: Timing::default(),
            audience: None,
            issuer: None,
            cookies: CookieOptions::default(),
            store: None,
            config,
        }
    }

    /// The realm: the name of this group of sessions. Default `sessions`. Two realms do not accept each other's tokens,
    /// even if they share keys or a store.
    pub fn realm(mut self, realm: impl Into<String>) -> Self {
        self.config.realm = realm.into().into();
        self
    }

    /// The claim `aud` of the access tokens. Default: the realm.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// The claim `iss` of the access tokens. If it is set, access tokens with another issuer, or without an issuer, are
    /// refused. Default: no issuer.
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Changes the durations: the lifetime of access tokens, the idle timeout, the absolute timeout, and the durations
    /// of the rotation. The closure gets the current durations. The initial durations are [`Timing::default`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_sliding_sessions::{Keyring, Sessions};
    /// # fn sessions(keys: Keyring) -> Result<Sessions, Box<dyn std::error::Error>> {
    /// let hour = Duration::from_secs(3600);
    /// let sessions = Sessions::builder(keys)
    ///     .timing(|timing| timing.idle_timeout(hour).absolute_timeout(12 * hour))
    ///     .build()?;
    /// # Ok(sessions) }
    /// ```
    #[doc(alias = "expiry")]
    #[doc(alias = "idle timeout")]
    pub fn timing(mut self, change: impl FnOnce(Timing) -> Timing) -> Self {
        self.timing = change(self.timing);
        self
    }

    /// Changes the settings of the cookies. The closure gets the current settings. The initial settings are
    /// [`CookieOptions::default`].
    ///
    /// ```
    /// # use tower_sliding_sessions::{Keyring, Sessions};
    /// # fn sessions(keys: Keyring) -> Result<Sessions, Box<dyn std::error::Error>> {
    /// let sessions = Sessions::builder(keys)
    ///     .cookies(|cookies| cookies.names("__Host-a", "__Host-r").same_site_strict())
    ///     .build()?;
    /// # Ok(sessions) }
    /// ```
    pub fn cookies(mut self, change: impl FnOnce(CookieOptions) -> CookieOptions) -> Self {
        self.cookies = change(self.cookies);
        self
    }

    /// Binds sessions to the browser's device, if the browser supports this. Copied cookies cannot renew a bound
    /// session. Default: off. Also add the [routes](Sessions::device_bound_routes). See the
    /// [guide](crate::guide::device_bound).
    #[cfg(feature = "device-bound")]
    #[cfg_attr(docsrs, doc(cfg(feature = "device-bound")))]
    #[doc(alias = "DBSC")]
    #[doc(alias = "token binding")]
    #[doc(alias = "cookie theft")]
    #[doc(alias = "Device Bound Session Credentials")]
    #[doc(alias = "copied cookies")]
    pub fn device_bound(mut self, settings: crate::device_binding::DeviceBound) -> Self {
        self.config.device_bound = Some(settings);
        self
    }

    /// Checks all settings, and builds the sessions.
    ///
    /// # Errors
    /// [`BuildError`] names the wrong setting.
    pub fn build(self) -> Result<Sessions<C>, BuildError> {
        let Self { keys, timing, cookies: options, mut config, .. } = self;
        check_realm(&config.realm)?;
        if matches!(config.cap, Some(Cap::Refuse(0) | Cap::RevokeOldest(0))) {
            return Err(BuildError::MaxSessions);
        }
        set_cookies(&mut config, options)?;
        config.policy = Policy::new(timing)?;
        #[cfg(feature = "device-bound")]
        if let Some(settings) = config.device_bound.take() {
            config.device_bound = Some(settings.check(timing.access_ttl, &config.cookies)?);
        }
        config.events.realm = config.realm.clone();
        let mut tokens = TokenCodec::new(keys, config.realm.clone(), config.policy.longest_access());
        if let Some(audience) = self.audience {
            tokens = tokens.with_audience(audience.into());
        }
        if let Some(issuer) = self.issuer {
            tokens = tokens.with_issuer(issuer.into());
        }
        let longest = timing.absolute_timeout.saturating_add(timing.grace);
        let tokens = tokens.with_term(config.clock.clone(), longest);
        if config.loopback_only {
            config.events.note(EventKind::InsecurePlainHttp);
        }
        let store = match self.store {
            Some(store) => store,
            None => Arc::new(MemoryStore::new().map_err(|_| BuildError::Entropy)?),
        };
        Ok(Sessions::new(EngineHandle::new(config, tokens, store)))
    }
}

pub(crate) fn check_realm(realm: &str) -> Result<(), BuildError> {
    let is_good = (1..=64).contains(&realm.len()) && realm.bytes().all(|b| b.is_ascii_graphic());
    if is_good { Ok(()) } else { Err(BuildError::Realm(realm.to_owned())) }
}

/// Checks the settings of the cookies and the trusted origins, and writes them into `config`.
pub(crate) fn set_cookies<C>(config: &mut Config<C>, options: CookieOptions) -> Result<(), BuildError> {
    let readable = config.cookies.readable.take();
    config.cookies = options.cookies;
    config.cookies.readable = readable;
    config.loopback_only = options.plain_http;
    if config.loopback_only {
        let default = Cookies::default();
        config.cookies.secure = false;
        if (&config.cookies.access, &config.cookies.refresh) == (&default.access, &default.refresh) {
            (config.cookies.access, config.cookies.refresh) = ("access".into(), "refresh".into());
        }
    }
    config.cookies = std::mem::take(&mut config.cookies).check()?;
    let origins = options.trusted_origins.iter().chain(&options.trusted_parents);
    if let Some(wrong) = origins.into_iter().find(|origin| !is_origin(origin)) {
        return Err(CookieError::BadOrigin(wrong.clone()).into());
    }
    config.trusted_origins = TrustedOrigins::new(options.trusted_origins, options.trusted_parents);
    Ok(())
}

impl<C> fmt::Debug for SessionsBuilder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionsBuilder")
            .field("realm", &self.config.realm)
            .field("timing", &self.timing)
            .finish_non_exhaustive()
    }
}
