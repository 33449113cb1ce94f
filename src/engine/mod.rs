//! The story of a request: admit what its access token proves, or renew what its refresh token
//! may, and settle which cookies leave with the answer.
//!
//! Here inputs are fetched and decisions carried out; what to decide stands in `protocol`.

mod active;
mod admit;
mod ask;
mod assert;
mod background;
mod bearer;
mod change;
mod config;
mod end;
mod ended;
#[cfg(feature = "axum")]
mod exchange;
mod flight;
mod follow;
mod health;
mod hooks;
#[cfg(feature = "axum")]
mod introspect;
mod issue;
mod named;
mod readable;
mod realm_id;
mod reload;
mod renew;
mod replace;
mod reuse;
mod run;
mod settle;
mod task;
mod timer;
mod verified;
mod wall;
mod write;
mod write_claims;

pub(crate) use self::{
    active::Active,
    admit::Admission,
    ask::{Answer, Answering, Question},
    bearer::{Bearer, Via, Whence},
    config::Config,
    issue::{CookieLine, SignIn},
    named::{Leftovers, Named, new_key},
    readable::Readable,
    realm_id::RealmId,
    renew::{Asking, RenewError, Renewal},
};
pub use self::{change::ChangeError, issue::SignInError};
#[cfg(feature = "axum")]
pub(crate) use self::{
    exchange::{ExchangeError, Issued},
    introspect::Introspection,
};

use std::{
    fmt,
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, PoisonError, RwLock, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use self::{
    active::Seen,
    assert::Unasserted,
    background::Background,
    flight::Flights,
    health::FeedHealth,
    renew::FlightKey,
    verified::Verified,
    wall::{Step, WallClock},
};
use crate::{
    claims::Claims,
    event::EventKind,
    id::SessionId,
    revocation::Revocations,
    store::{DynStore, SessionKey, StoreError, Subject},
    time::{Reading, Timestamp},
    token::TokenCodec,
};

/// Everything that one realm's requests share.
pub(crate) struct Engine<C> {
    /// For what is kept in here, and must find the way back without keeping it alive.
    me: Weak<Self>,
    pub(crate) id: RealmId,
    /// Whether it was reported that browsers drop the cookies of a host.
    plain_http: AtomicBool,
    pub(crate) config: Config<C>,
    wall: WallClock,
    pub(crate) revocations: Revocations,
    store: Arc<dyn DynStore>,
    feed: FeedHealth,
    has_feed: bool,
    tokens: RwLock<Arc<TokenCodec>>,
    verified: Verified<C>,
    seen: Seen,
    /// Generations that were handed out again after a grace.
    offered: Seen,
    /// Sessions whose theft was told of.
    thefts: Seen,
    /// Corrections of a store whose run ID went back. True if the store took it.
    restorations: Flights<(), bool>,
    flights: Flights<FlightKey, Result<Renewal<C>, RenewError>>,
    /// No early renewal before this, by the monotonic clock in milliseconds: the store failed a moment
    /// ago.
    early_again_at: AtomicU64,
    /// A runtime without timers was reported.
    no_timers: AtomicBool,
    background: Background,
    unasserted: Unasserted,
}

impl<C: Claims> Engine<C> {
    pub(crate) fn new(config: Config<C>, tokens: TokenCodec, store: Arc<dyn DynStore>) -> Arc<Self> {
        let timing = *config.policy.timing();
        let now = Reading::of(&*config.clock);
        // No request writes after `W`, and no access token does for longer, rounded up.
        let longest =
            timing.write_window.saturating_add(timing.access_ttl).saturating_add(config.ride_through);
        let keep = longest.saturating_add(Duration::from_secs(10));
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            id: RealmId::next(),
            plain_http: AtomicBool::new(false),
            revocations: Revocations::new(config.realm.clone(), keep, timing.grace, store.run_id_now()),
            verified: Verified::new(config.verified_tokens),
            tokens: RwLock::new(Arc::new(tokens)),
            seen: Seen::new(),
            offered: Seen::new(),
            thefts: Seen::new(),
            restorations: Flights::default(),
            flights: Flights::default(),
            early_again_at: AtomicU64::new(0),
            no_timers: AtomicBool::new(false),
            background: Background::default(),
            wall: WallClock::new(now),
            unasserted: Unasserted::default(),
            feed: FeedHealth::new(config.feed_lag_bound, config.ask_when_lagging, now.monotonic),
            has_feed: store.capabilities().feed,
            store,
            config,
        })
    }

    /// Once, or everyone who signs in could fill the log.
    pub(crate) fn warn_of_plain_http(&self, host: &str) {
        if !self.plain_http.swap(true, Ordering::Relaxed) {
            self.config.events.note(EventKind::SecureCookiesOverPlainHttp { host: host.to_owned() });
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.config.clock.now()
    }

    /// Both clocks. Notices steps of the wall clock.
    pub(crate) fn read_clock(&self) -> Reading {
        let now = Reading::of(&*self.config.clock);
        if let Some(step) = self.wall.look(now, &*self.config.clock) {
            let (Step::Ahead(by) | Step::Back(by)) = step;
            self.config.events.note(EventKind::ClockStepped { ahead: matches!(step, Step::Ahead(_)), by });
        }
        now
    }

    /// By the monotonic clock, for intervals.
    pub(crate) fn monotonic(&self) -> Duration {
        self.config.clock.monotonic()
    }

    pub(crate) fn subject(&self, name: impl Into<Arc<str>>) -> Subject {
        Subject { realm: self.config.realm.clone(), name: name.into() }
    }

    pub(crate) fn key(&self, subject: impl Into<Arc<str>>, id: SessionId) -> SessionKey {
        SessionKey { subject: self.subject(subject), id }
    }

    pub(crate) fn tokens(&self) -> Arc<TokenCodec> {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the keys. Tokens of a removed key are invalid from now on.
    pub(crate) fn set_keys(&self, ring: crate::token::Keyring) {
        let mut tokens = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
        *tokens = Arc::new(tokens.with_keys(ring));
        drop(tokens);
        self.verified.clear();
    }

    /// Asks the store, with a deadline.
    async fn ask<T>(
        &self,
        operation: &'static str,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let (why, error) = match self.in_time(answer).await {
            Some(Ok(answer)) => return Ok(answer),
            Some(Err(error)) => (error.word(), error),
            None => {
                let late = format!("no answer within {:?}", self.config.store_deadline);
                ("late", StoreError::unavailable(late))
            }
        };
        self.config.events.failed(EventKind::StoreFailed { operation, why }, &error);
        Err(error)
    }

    /// Waits for what a request waits for, but not for longer than a store may take.
    async fn in_time<F: Future>(&self, answer: F) -> Option<F::Output> {
        let mut answer = pin!(answer);
        // Some stores answer at once, and a timer costs more than they do.
        if let Poll::Ready(answer) = poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx))).await {
            return Some(answer);
        }
        // There is no deadline without a runtime, or without timers.
        let Some(deadline) = timer::timer(self.config.store_deadline) else {
            self.report_no_timers();
            return Some(answer.await);
        };
        let mut deadline = pin!(deadline);
        poll_fn(|cx| match answer.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending => deadline.as_mut().poll(cx).map(|()| None),
        })
        .await
    }

    /// Once, if there is a runtime: without one, this may be a test or a command line.
    fn report_no_timers(&self) {
        if tokio::runtime::Handle::try_current().is_ok() && !self.no_timers.swap(true, Ordering::Relaxed) {
            self.config.events.note(EventKind::NoTimers);
        }
    }

    pub(crate) async fn shut_down(&self) {
        self.background.shut_down().await;
    }
}

impl<C> fmt::Debug for Engine<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("realm", &self.config.realm)
            .field("policy", &self.config.policy)
            .field("cookies", &self.config.cookies)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}
