//! Builds [`Sessions`](crate::Sessions). Every choice but the keys has a safe default.

use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};

use super::Sessions;
use crate::{
    claims::Claims,
    cookie::{CookieError, Cookies, FormerCookie, SameSite},
    cross_site::{OriginError, TrustedOrigins},
    engine::{Engine, Parts},
    event::{Event, EventKind, Events, Hook},
    id::EntropyError,
    protocol::{Policy, PolicyError, Timing},
    store::{DynStore, MemoryStore, SessionStore},
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
    /// The operating system gave no random bytes.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

/// Builds [`Sessions`]. Made by [`Sessions::builder`].
#[must_use = "call `build`"]
pub struct SessionsBuilder<C> {
    keys: Keyring,
    timing: Timing,
    realm: String,
    audience: Option<String>,
    issuer: Option<String>,
    cookies: Cookies,
    plain_http: bool,
    origins: Vec<String>,
    store: Option<Arc<dyn DynStore>>,
    store_deadline: Duration,
    ride_through: Duration,
    feed_lag_bound: Duration,
    ask_when_lagging: bool,
    clock: Arc<dyn Clock>,
    on_event: Option<Arc<Hook>>,
    verified: usize,
    claims: PhantomData<fn() -> C>,
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
            origins: Vec::new(),
            store: None,
            store_deadline: Duration::from_millis(500),
            ride_through: Duration::ZERO,
            feed_lag_bound: Duration::from_secs(5),
            ask_when_lagging: false,
            clock: Arc::new(SystemClock),
            on_event: None,
            verified: 8192,
            claims: PhantomData,
        }
    }

    /// All durations at once. Default: [`Timing::default`].
    pub fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// How long an access token is good for. Default 5 min. Shorter asks the store more often;
    /// longer is how long services that only verify tokens may trust an ended session.
    pub fn access_ttl(mut self, ttl: Duration) -> Self {
        self.timing.access_ttl = ttl;
        self
    }

    /// How long a session may lie unused. Default 2 h.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.timing.idle_timeout = timeout;
        self
    }

    /// How long a session lives however much it is used. Default 24 h.
    pub fn absolute_timeout(mut self, timeout: Duration) -> Self {
        self.timing.absolute_timeout = timeout;
        self
    }

    /// How long before its end an access token is renewed early. Default: a fifth of its lifetime;
    /// zero turns early renewal off. Longer rides out longer outages of the store.
    pub fn renew_before(mut self, before: Duration) -> Self {
        self.timing.renew_before = Some(before);
        self
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

    /// Where sessions are kept. Default: a [`MemoryStore`], whose sessions end with the process.
    pub fn store(mut self, store: impl SessionStore) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// How long a call of the store may take. Default 500 ms. After that the store counts as away.
    pub fn store_deadline(mut self, deadline: Duration) -> Self {
        self.store_deadline = deadline;
        self
    }

    /// How long after its end an access token still does while the store is away. Default zero:
    /// a renewal is then answered with 503. Whatever this instance knows against the session counts
    /// all the same; what it would only learn from the store does not.
    pub fn ride_through(mut self, time: Duration) -> Self {
        self.ride_through = time;
        self
    }

    /// How long the store's feed may be silent before this instance reports that it lags. Default
    /// 5 s.
    pub fn feed_lag_bound(mut self, bound: Duration) -> Self {
        self.feed_lag_bound = bound;
        self
    }

    /// Asks the store on each request while this instance lags, rather than trust a revocation list
    /// that it knows to be old. Default: no; an ended session's access token may then be good until
    /// it expires.
    pub fn ask_store_when_lagging(mut self, yes: bool) -> Self {
        self.ask_when_lagging = yes;
        self
    }

    /// What the cookies are called. Default `__Host-access` and `__Host-refresh`, which browsers
    /// accept from this very host only, over HTTPS only.
    pub fn cookie_names(mut self, access: impl Into<String>, refresh: impl Into<String>) -> Self {
        self.cookies.access = access.into().into();
        self.cookies.refresh = refresh.into().into();
        self
    }

    /// The path that the cookies are sent to. Default `/`, the only one that `__Host-` names allow.
    pub fn cookie_path(mut self, path: impl Into<String>) -> Self {
        self.cookies.path = path.into().into();
        self
    }

    /// The domain that the cookies are sent to, with all hosts below it: each of them can then read
    /// and plant them. Default: this host only. `__Host-` names do not allow it.
    pub fn cookie_domain(mut self, domain: impl Into<String>) -> Self {
        self.cookies.domain = Some(domain.into());
        self
    }

    /// When browsers send the cookies along from other sites. Default [`SameSite::Lax`].
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.cookies.same_site = match same_site {
            SameSite::Lax => cookie::SameSite::Lax,
            SameSite::Strict => cookie::SameSite::Strict,
        };
        self
    }

    /// `SameSite=None`: browsers send the cookies along with every request from every site.
    ///
    /// # Security
    /// Only the check of the request's origin then stands between other sites and your users.
    pub fn dangerous_same_site_none(mut self) -> Self {
        self.cookies.same_site = cookie::SameSite::None;
        self
    }

    /// Removes this cookie too at sign-out: after a change of names, paths or domains.
    pub fn former_cookie(mut self, former: FormerCookie) -> Self {
        self.cookies.former.push(former);
        self
    }

    /// For development without HTTPS: cookies without `Secure`, called `access` and `refresh`
    /// unless they were named. Chromium and Firefox take secure cookies from `http://localhost`,
    /// so try without it first.
    ///
    /// # Security
    /// Whoever is on the network reads the session. Requests for any other host than localhost are
    /// refused.
    pub fn insecure_plain_http(mut self) -> Self {
        self.plain_http = true;
        self
    }

    /// An origin that may send unsafe requests although it is another one, exactly as browsers
    /// write it: `https://app.example.com`. Default: none.
    pub fn trusted_origin(mut self, origin: impl Into<String>) -> Self {
        self.origins.push(origin.into());
        self
    }

    /// Tells the time. Default: the system's clock. For tests, a
    /// [`ManualClock`](crate::ManualClock) in an [`Arc`].
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Is told of every decision. It is called on the request's path: hand over what takes long.
    pub fn on_event(mut self, hook: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.on_event = Some(Arc::new(hook));
        self
    }

    /// How many verified access tokens are remembered, at about 1 KB each. Default 8192; zero turns
    /// it off. A remembered token is still judged by time and revocation, but costs no cryptography.
    pub fn verified_cache(mut self, tokens: usize) -> Self {
        self.verified = tokens;
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
        let mut cookies = self.cookies;
        if self.plain_http {
            let default = Cookies::default();
            cookies.secure = false;
            if (&cookies.access, &cookies.refresh) == (&default.access, &default.refresh) {
                (cookies.access, cookies.refresh) = ("access".into(), "refresh".into());
            }
        }
        let mut trusted = TrustedOrigins::default();
        for origin in &self.origins {
            trusted.add(origin)?;
        }
        let policy = Policy::new(self.timing)?;
        let realm: Arc<str> = self.realm.into();
        let mut tokens = Tokens::new(self.keys, realm.clone(), self.timing.access_ttl);
        if let Some(audience) = self.audience {
            tokens = tokens.with_audience(audience.into());
        }
        if let Some(issuer) = self.issuer {
            tokens = tokens.with_issuer(issuer.into());
        }
        let events = Events { realm: realm.clone(), hook: self.on_event };
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
