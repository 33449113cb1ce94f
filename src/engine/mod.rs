//! The story of a request: admit what its access token proves, or renew what its refresh token
//! may, and settle which cookies leave with the answer.
//!
//! Here inputs are fetched and decisions carried out; what to decide stands in `protocol`.

mod active;
mod background;
mod end;
mod flight;
mod follow;
mod issue;
mod renew;
mod settle;
mod verified;

pub use self::issue::SignInError;
pub(crate) use self::{
    active::Active,
    issue::{CookieLine, SignIn},
    renew::{RenewError, Renewal},
};

use std::{
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::HeaderMap;

use self::{active::Seen, background::Background, flight::Flights, renew::FlightKey, verified::Verified};
use crate::{
    claims::Claims,
    cookie::{Cookies, Found, scan},
    cross_site::{self, TrustedOrigins},
    event::{EventKind, Events},
    id::SessionId,
    protocol::{Assessment, Policy, Refusal, Standing, assess},
    revocation::Revocations,
    store::{DynStore, SessionKey, StoreError, Subject},
    time::{Clock, Timestamp},
    token::{RefreshClaims, Tokens},
};

/// Everything that one realm's requests share.
pub(crate) struct Engine<C> {
    pub(crate) policy: Policy,
    pub(crate) realm: Arc<str>,
    pub(crate) cookies: Cookies,
    pub(crate) trusted: TrustedOrigins,
    /// Cookies go in the clear, so only localhost may be asked for.
    pub(crate) loopback_only: bool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) events: Events,
    pub(crate) revocations: Revocations,
    store: Arc<dyn DynStore>,
    store_deadline: Duration,
    tokens: RwLock<Arc<Tokens>>,
    verified: Verified<C>,
    seen: Seen,
    flights: Flights<FlightKey, Result<Renewal<C>, RenewError>>,
    /// No early renewal before this: the store was away a moment ago.
    early_again_at: AtomicU64,
    background: Background,
}

/// What the builder knows, and an engine is made of.
pub(crate) struct Parts {
    pub(crate) policy: Policy,
    pub(crate) realm: Arc<str>,
    pub(crate) cookies: Cookies,
    pub(crate) trusted: TrustedOrigins,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) events: Events,
    pub(crate) store: Arc<dyn DynStore>,
    pub(crate) store_deadline: Duration,
    pub(crate) tokens: Tokens,
    pub(crate) verified: usize,
    pub(crate) loopback_only: bool,
}

/// What becomes of a request.
pub(crate) enum Admission<C> {
    /// It has a session.
    Active(Arc<Active<C>>),
    /// Its session must be renewed first. If that is not to be had for now, `otherwise` still is.
    Renew { refresh: RefreshClaims, otherwise: Option<Arc<Active<C>>> },
    /// It needs renewal, but there will be a better moment.
    NotNow,
    /// It has no session.
    Refuse(Refusal),
}

impl<C: Claims> Engine<C> {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let Parts {
            policy,
            realm,
            cookies,
            trusted,
            clock,
            events,
            store,
            store_deadline,
            tokens,
            verified,
            loopback_only,
        } = parts;
        let timing = policy.timing();
        // No access token outlives its lifetime, rounded up, and no request writes after `W`.
        let keep = timing.access_ttl.max(timing.write_window) + Duration::from_secs(10);
        Arc::new(Self {
            revocations: Revocations::new(realm.clone(), keep, store.run_id_now()),
            verified: Verified::new(verified),
            tokens: RwLock::new(Arc::new(tokens)),
            seen: Seen::new(),
            flights: Flights::default(),
            early_again_at: AtomicU64::new(0),
            background: Background::default(),
            policy,
            realm,
            cookies,
            trusted,
            loopback_only,
            clock,
            events,
            store,
            store_deadline,
        })
    }

    /// Judges a request by its cookies, in memory.
    pub(crate) fn admit(
        self: &Arc<Self>,
        headers: &HeaderMap,
        renewal: cross_site::Renewal,
        now: Timestamp,
    ) -> Admission<C> {
        self.background.follow(|| follow::follow(Arc::downgrade(self)));
        let (access, refresh) = scan(headers, &self.cookies);
        if access == Found::Conflict || refresh == Found::Conflict {
            self.events.note(EventKind::ConflictingCookies);
            return Admission::Refuse(Refusal::BadToken);
        }
        let active = self.active(access);
        let standing = active.as_deref().map_or(Standing::Good, |active| self.standing(active));
        let facts = active.as_deref().map(Active::facts);
        match (assess(&self.policy, facts.as_ref(), standing, now), active) {
            (Assessment::Admit, Some(active)) => {
                self.confirm_once(&active, now);
                Admission::Active(active)
            }
            (Assessment::AdmitOrRenew, Some(active)) => {
                self.confirm_once(&active, now);
                self.renew_early(active, refresh, renewal, now)
            }
            (Assessment::Renew | Assessment::Admit | Assessment::AdmitOrRenew, _) => {
                self.renewable(refresh, renewal, now)
            }
        }
    }

    fn renewable(&self, refresh: Found<'_>, renewal: cross_site::Renewal, now: Timestamp) -> Admission<C> {
        let refresh = match self.refresh(refresh) {
            Ok(refresh) => refresh,
            Err(refusal) => return Admission::Refuse(refusal),
        };
        match renewal {
            _ if now >= refresh.limit => self.refused(Refusal::Expired, &refresh),
            cross_site::Renewal::Allowed => Admission::Renew { refresh, otherwise: None },
            cross_site::Renewal::NotYet => Admission::NotNow,
            cross_site::Renewal::CrossSite => self.refused(Refusal::CrossSite, &refresh),
        }
    }

    fn renew_early(
        &self,
        active: Arc<Active<C>>,
        refresh: Found<'_>,
        renewal: cross_site::Renewal,
        now: Timestamp,
    ) -> Admission<C> {
        let paused = now.as_millis() < self.early_again_at.load(Ordering::Relaxed);
        if paused || renewal != cross_site::Renewal::Allowed {
            return Admission::Active(active);
        }
        match self.refresh(refresh) {
            Ok(refresh) if refresh.session == active.key.id && now < refresh.limit => {
                Admission::Renew { refresh, otherwise: Some(active) }
            }
            _ => Admission::Active(active),
        }
    }

    /// What an access cookie proves, if anything.
    fn active(&self, cookie: Found<'_>) -> Option<Arc<Active<C>>> {
        let Found::Value(token) = cookie else { return None };
        if let Some(active) = self.verified.get(token) {
            return Some(active);
        }
        let tokens = self.tokens();
        match tokens.verify_access(token) {
            Ok(claims) => {
                let active = Arc::new(Active::of_token(&self.realm, claims));
                self.verified.insert(token, active.clone());
                // The keys were replaced meanwhile: what they no longer vouch for must go.
                if !Arc::ptr_eq(&tokens, &self.tokens()) {
                    self.verified.clear();
                }
                Some(active)
            }
            Err(invalid) => {
                self.events.note(EventKind::AccessTokenInvalid(invalid));
                None
            }
        }
    }

    /// What a refresh cookie proves.
    fn refresh(&self, cookie: Found<'_>) -> Result<RefreshClaims, Refusal> {
        match cookie {
            Found::Absent => Err(Refusal::NoToken),
            Found::Conflict => Err(Refusal::BadToken),
            Found::Value(token) => self.tokens().verify_refresh(token).map_err(|invalid| {
                self.events.note(EventKind::RefreshTokenInvalid(invalid));
                Refusal::BadToken
            }),
        }
    }

    /// The session that a request's cookies name, dead or alive, for signing it out.
    pub(crate) fn named_session(&self, headers: &HeaderMap) -> Option<SessionKey> {
        let (access, refresh) = scan(headers, &self.cookies);
        match self.refresh(refresh) {
            Ok(refresh) => Some(self.key(&refresh.subject, refresh.session)),
            Err(_) => self.active(access).map(|active| active.key.clone()),
        }
    }

    pub(crate) fn standing(&self, active: &Active<C>) -> Standing {
        self.revocations.standing(active.run, &active.key.id, &active.key.subject.name, active.issued)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn subject(&self, name: &str) -> Subject {
        Subject { realm: self.realm.clone(), name: name.into() }
    }

    pub(crate) fn key(&self, subject: &str, id: SessionId) -> SessionKey {
        SessionKey { subject: self.subject(subject), id }
    }

    pub(crate) fn tokens(&self) -> Arc<Tokens> {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the keys. Tokens of keys that are gone are worth nothing from now on.
    pub(crate) fn set_keys(&self, ring: crate::token::Keyring) {
        let mut tokens = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
        *tokens = Arc::new(tokens.with_keys(ring));
        drop(tokens);
        self.verified.clear();
    }

    fn refused<T>(&self, refusal: Refusal, refresh: &RefreshClaims) -> Admission<T> {
        self.events.of(EventKind::Refused(refusal), &refresh.session, &refresh.subject.as_str().into());
        Admission::Refuse(refusal)
    }

    /// Asks the store, with a deadline.
    async fn ask<T, E: From<StoreError>>(
        &self,
        operation: &'static str,
        answer: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        match tokio::time::timeout(self.store_deadline, answer).await {
            Ok(answer) => answer,
            Err(late) => {
                self.events.note(EventKind::StoreUnavailable { operation });
                Err(StoreError::unavailable(late).into())
            }
        }
    }

    pub(crate) async fn shut_down(&self) {
        self.background.shut_down().await;
    }
}

impl<C> fmt::Debug for Engine<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("realm", &self.realm)
            .field("policy", &self.policy)
            .field("cookies", &self.cookies)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}
