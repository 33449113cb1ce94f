//! Serves the requests of one realm, a named group of sessions. The engine reads the data for the decisions of
//! `protocol`, and carries these decisions out.
//!
//! The requests of a realm share an [`Engine`]. Its parts are `config`, `tokens` (the keys and the caches of verified
//! tokens), the backend (the store), the revocation (the denylist), and the in-flight renewals.
//!
//! Each use case has a file:
//! - `authenticate`: a request with cookies. `conflicting_cookies`: a cookie name has several values. `bearer`: a
//!   request with a bearer token. `look_up`: the store must be asked about an access token;
//! - `renew`: renews a session. `renew_writes`: what a renewal writes besides a rotation. `renew_passive`: renews for a
//!   passive request, which does not count as use of the session. `origin`: the application's hooks about the place
//!   that a client sends from, such as its network (not the header `Origin`);
//! - `respond`: the cookies and cache headers of a response. `mint`: tokens and their cookies. `readable_cookie`: the
//!   cookie for scripts;
//! - `sign_in`. `cap`: the maximum number of sessions;
//! - `device`: binds a session to a device, and renews it with a proof. `bound`: the other rules for bound sessions;
//! - `change`: changes the claims of a session. `wait`: waits until it is revoked or expires;
//! - `keys`: changes the keys;
//! - `verify_only`: layers that hold public keys only;
//! - `exchange` and `introspect`: for clients without cookies.
//!
//! Several use cases need `verified` (an access token whose signature is valid) and `record` (reads and changes the
//! record of a session, and calls the reload hook for its claims).

mod authenticate;
mod bearer;
mod bound;
mod cap;
mod change;
mod config;
mod conflicting_cookies;
#[cfg(feature = "device-bound")]
mod device;
#[cfg(feature = "oauth")]
mod exchange;
#[cfg(feature = "oauth")]
mod introspect;
mod keys;
mod look_up;
mod mint;
mod origin;
mod readable_cookie;
mod record;
mod renew;
mod renew_passive;
mod renew_writes;
mod respond;
mod sign_in;
mod tokens;
mod verified;
#[cfg(feature = "verify")]
mod verify_only;
mod wait;

#[cfg(feature = "device-bound")]
pub(crate) use self::bound::REGISTRATION;
#[cfg(feature = "device-bound")]
pub(crate) use self::device::{DeviceAnswer, DeviceRequest};
#[cfg(feature = "jwks")]
pub(crate) use self::keys::JWKS_MAX_AGE;
#[cfg(feature = "device-bound")]
pub(crate) use self::respond::sets_cookie;
#[cfg(feature = "vault")]
pub(crate) use self::sign_in::AttachToNew;
#[cfg(feature = "verify")]
pub(crate) use self::verify_only::{KeySource, UnknownKey, VerifyOnly};
pub(crate) use self::{
    authenticate::{AuthOutcome, AuthStep, Credential, PendingOutcome, RequestContext},
    config::Config,
    conflicting_cookies::{NamedSessions, new_key_error},
    keys::KeyFollower,
    mint::CookieLine,
    readable_cookie::ReadableCookie,
    renew::Renewal,
    respond::{
        CacheRules, FormerCookieRemovals, ResponsePlan, cookie_name, forbid_caching, vary_by_authorization,
    },
    sign_in::SignInOptions,
    tokens::CachedTokenCodec,
    verified::{AuthenticatedSession, SessionView, VerifiedToken},
};
pub use self::{change::ChangeError, sign_in::SignInError};
#[cfg(feature = "oauth")]
pub(crate) use self::{
    exchange::{ExchangeError, IssuedTokens, RefreshExpiry},
    introspect::Introspection,
};

use std::{
    fmt,
    ops::Deref,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use self::renew::RenewalKey;
use crate::{
    backend::{Backend, SingleFlight},
    claims::Claims,
    event::EventKind,
    id::SessionId,
    per_thread::PerThreadArc,
    revocation::{Revocation, SessionError},
    store::{DynStore, SessionKey, Subject},
    time::Timestamp,
    token::TokenCodec,
};

/// Everything that the requests of one realm share.
pub(crate) struct Engine<C> {
    weak_self: Weak<Self>,
    pub(crate) id: EngineId,
    pub(crate) config: Config<C>,
    pub(crate) tokens: CachedTokenCodec<C>,
    pub(crate) backend: Arc<Backend>,
    pub(crate) revocation: Arc<Revocation>,
    renewals: SingleFlight<RenewalKey, Result<Renewal<C>, SessionError>>,
    /// Whether the application has the JWKS route. Then other services may verify tokens of this realm.
    #[cfg(feature = "jwks")]
    pub(crate) serves_jwks: AtomicBool,
    /// Whether a layer has passive requests. In a bound session, the browser gets new cookies by a separate request (a
    /// refresh), before it sends the request that needs the cookies. The refresh does not say whether that other
    /// request is passive. So if there are passive requests, a refresh may count as passive: see `device`.
    pub(crate) has_passive_requests: AtomicBool,
    /// Whether `SecureCookiesOverPlainHttp` was reported.
    warned_of_plain_http: AtomicBool,
}

/// Identifies one engine in this process. Two engines can have the same realm name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EngineId(u64);

impl EngineId {
    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl<C: Claims> Engine<C> {
    fn new(config: Config<C>, codec: TokenCodec, store: Arc<dyn DynStore>) -> Arc<Self> {
        let backend = Arc::new(Backend::new(store, config.store_deadline, config.events.clone()));
        let (clock, feed) = (config.clock.clone(), config.feed);
        let revocation = Revocation::new(backend.clone(), clock, &config.policy, config.ride_through, feed);
        Arc::new_cyclic(|weak_self| Self {
            weak_self: weak_self.clone(),
            id: EngineId::next(),
            tokens: CachedTokenCodec::new(codec, config.token_cache_capacity),
            backend,
            revocation,
            renewals: SingleFlight::default(),
            #[cfg(feature = "jwks")]
            serves_jwks: AtomicBool::new(false),
            has_passive_requests: AtomicBool::new(false),
            warned_of_plain_http: AtomicBool::new(false),
            config,
        })
    }

    /// Whether this is an engine of a layer that only verifies.
    pub(crate) fn only_verifies(&self) -> bool {
        #[cfg(feature = "verify")]
        return self.config.verify_only.is_some();
        #[cfg(not(feature = "verify"))]
        false
    }

    /// Reports `SecureCookiesOverPlainHttp` once for each engine, and not at each sign-in over plain HTTP.
    pub(crate) fn warn_of_plain_http(&self, host: &str) {
        if !self.warned_of_plain_http.swap(true, Ordering::Relaxed) {
            self.config.events.note(EventKind::SecureCookiesOverPlainHttp { host: host.to_owned() });
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.config.clock.now()
    }

    pub(crate) fn subject(&self, name: impl Into<Arc<str>>) -> Subject {
        Subject { realm: self.config.realm.clone(), name: name.into() }
    }

    pub(crate) fn key(&self, subject: impl Into<Arc<str>>, id: SessionId) -> SessionKey {
        SessionKey { subject: self.subject(subject), id }
    }

    pub(crate) async fn shut_down(&self) {
        self.revocation.shut_down();
        if let Some(follower) = &self.config.key_follower {
            follower.shut_down();
        }
        self.backend.finish_writes().await;
    }
}

impl<C> fmt::Debug for Engine<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("realm", &self.config.realm)
            .field("policy", &self.config.policy)
            .field("cookies", &self.config.cookies)
            .field("backend", &self.backend)
            .finish_non_exhaustive()
    }
}

/// The application's reference to an engine. The engine owns the caches, which own tokens, which refer to the engine.
/// Dropping the last handle clears the caches. The engine is then freed as soon as no `Session` and no request holds a
/// [`VerifiedToken`].
pub(crate) struct EngineHandle<C>(PerThreadArc<Arc<CloseOnDrop<C>>>);

struct CloseOnDrop<C>(Arc<Engine<C>>);

impl<C> Drop for CloseOnDrop<C> {
    fn drop(&mut self) {
        self.0.tokens.close();
    }
}

impl<C: Claims> EngineHandle<C> {
    pub(crate) fn new(config: Config<C>, codec: TokenCodec, store: Arc<dyn DynStore>) -> Self {
        Self(PerThreadArc::new(Arc::new(CloseOnDrop(Engine::new(config, codec, store)))))
    }
}

impl<C> Deref for EngineHandle<C> {
    type Target = Arc<Engine<C>>;

    fn deref(&self) -> &Arc<Engine<C>> {
        &self.0.0
    }
}

impl<C> Clone for EngineHandle<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<C> EngineHandle<C> {
    /// A clone with a reference count of its own for this thread, so that threads do not all write to one count.
    pub(crate) fn for_this_thread(&self) -> Self {
        Self(self.0.for_this_thread())
    }
}

impl<C> fmt::Debug for EngineHandle<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
