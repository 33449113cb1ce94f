//! Builds [`Sessions`](crate::Sessions). Every choice but the keys has a safe default.

mod cookies;
mod durations;
mod hooks;
mod storage;

use std::{fmt, sync::Arc, time::Duration};

use super::Sessions;
use crate::{
    claims::{Claims, Reloader},
    cookie::{CookieError, Cookies},
    cross_site::{OriginError, TrustedOrigins},
    engine::{Engine, Parts, Readable},
    event::{EventKind, Events, Hook},
    id::EntropyError,
    origin::Origins,
    protocol::{Policy, PolicyError, Timing},
    store::{Cap, DynStore, MemoryStore},
    time::{Clock, SystemClock},
    token::{Keyring, Tokens},
};

/// Why sessions cannot be built: each names the offending value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A duration is outside of what is proven to be safe.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Browsers would drop the cookies.
    #[error(transparent)]
    Cookie(#[from] CookieError),
    /// A trusted origin is not one.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// The realm must have 1 to 64 visible ASCII characters.
    #[error("{0:?} cannot be a realm: 1 to 64 visible ASCII characters")]
    Realm(String),
    /// [`max_sessions`](SessionsBuilder::max_sessions) is zero: no user could sign in.
    #[error("max_sessions must be at least 1, but is 0")]
    MaxSessions,
    /// The operating system gave no random bytes.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

/// Builds [`Sessions`]. Made by [`Sessions::builder`].
#[must_use = "call `build`"]
pub struct SessionsBuilder<C = ()> {
    keys: Keyring,
    timing: Timing,
    realm: String,
    audience: Option<String>,
    issuer: Option<String>,
    cookies: Cookies,
    plain_http: bool,
    trusted: Vec<String>,
    trusted_parents: Vec<String>,
    store: Option<Arc<dyn DynStore>>,
    store_deadline: Duration,
    ride_through: Duration,
    feed_lag_bound: Duration,
    ask_when_lagging: bool,
    clock: Arc<dyn Clock>,
    on_event: Option<Arc<Hook>>,
    log_subjects: bool,
    origins: Origins,
    reloader: Option<Reloader<C>>,
    readable: Option<Readable<C>>,
    cap: Option<Cap>,
    verified: usize,
}

impl<C: Claims> SessionsBuilder<C> {
    pub(crate) fn new(keys: Keyring) -> Self {
        Self {
            keys,
            timing: Timing::default(),
            realm: "sessions".to_owned(),
            audience: None,
            issuer: None,
            cookies: Cookies::default(),
            plain_http: false,
            trusted: Vec::new(),
            trusted_parents: Vec::new(),
            store: None,
            store_deadline: Duration::from_millis(500),
            ride_through: Duration::ZERO,
            feed_lag_bound: Duration::from_secs(5),
            ask_when_lagging: false,
            clock: Arc::new(SystemClock),
            on_event: None,
            log_subjects: false,
            origins: Origins::default(),
            reloader: None,
            readable: None,
            cap: None,
            verified: 8192,
        }
    }

    /// The name of this group of sessions. Default `sessions`. Realms that share keys or a store
    /// never accept each other's tokens.
    pub fn realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = realm.into();
        self
    }

    /// `aud` of the access tokens. Default: the realm.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// `iss` of the access tokens, which then must be there. Default: none.
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Checks everything, and builds.
    ///
    /// # Errors
    /// [`BuildError`] names what is wrong.
    pub fn build(self) -> Result<Sessions<C>, BuildError> {
        let visible = |b: u8| b.is_ascii_graphic();
        if !(1..=64).contains(&self.realm.len()) || !self.realm.bytes().all(visible) {
            return Err(BuildError::Realm(self.realm));
        }
        if self.cap.is_some_and(|cap| cap.limit == 0) {
            return Err(BuildError::MaxSessions);
        }
        let mut cookies = self.cookies;
        if self.plain_http {
            let default = Cookies::default();
            cookies.secure = false;
            if (&cookies.access, &cookies.refresh) == (&default.access, &default.refresh) {
                (cookies.access, cookies.refresh) = ("access".into(), "refresh".into());
            }
        }
        let mut trusted = TrustedOrigins::default();
        for origin in &self.trusted {
            trusted.add(origin)?;
        }
        for origin in &self.trusted_parents {
            trusted.add_parent(origin)?;
        }
        let policy = Policy::new(self.timing)?;
        let realm: Arc<str> = self.realm.into();
        let Timing { access_ttl, write_window, .. } = self.timing;
        let mut tokens = Tokens::new(self.keys, realm.clone(), access_ttl, write_window);
        if let Some(audience) = self.audience {
            tokens = tokens.with_audience(audience.into());
        }
        if let Some(issuer) = self.issuer {
            tokens = tokens.with_issuer(issuer.into());
        }
        let events = Events { realm: realm.clone(), hook: self.on_event, log_subjects: self.log_subjects };
        if self.plain_http {
            events.note(EventKind::InsecurePlainHttp);
        }
        let store = match self.store {
            Some(store) => store,
            None => Arc::new(MemoryStore::new()?),
        };
        Ok(Sessions::new(Engine::new(Parts {
            policy,
            cookies: cookies.check()?,
            trusted,
            clock: self.clock,
            events,
            origins: self.origins,
            reloader: self.reloader,
            readable: self.readable,
            cap: self.cap,
            realm,
            store,
            store_deadline: self.store_deadline,
            tokens,
            verified: self.verified,
            loopback_only: self.plain_http,
            ride_through: self.ride_through,
            feed_lag_bound: self.feed_lag_bound,
            ask_when_lagging: self.ask_when_lagging,
        })))
    }
}

impl<C> fmt::Debug for SessionsBuilder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionsBuilder")
            .field("realm", &self.realm)
            .field("timing", &self.timing)
            .finish_non_exhaustive()
    }
}
