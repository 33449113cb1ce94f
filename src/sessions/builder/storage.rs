//! The settings of the store and the caches, and for outages of the store.

use std::{sync::Arc, time::Duration};

use super::SessionsBuilder;
use crate::{
    claims::Claims,
    store::{Cap, SessionStore},
};

impl<C: Claims> SessionsBuilder<C> {
    /// The store. Default: a [`MemoryStore`](crate::store::MemoryStore), which loses its sessions when the process
    /// ends.
    pub fn store(mut self, store: impl SessionStore) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// The deadline of a store call. Default 500 ms. After the deadline, the store counts as unavailable.
    ///
    /// Keep the deadline much shorter than the [grace period](crate::protocol::Timing::grace()), because a confirmation
    /// must be written within the grace period, or not at all.
    pub fn store_deadline(mut self, deadline: Duration) -> Self {
        self.config.store_deadline = deadline;
        self
    }

    /// How long an expired access token is accepted during an outage of the store. Default zero: a request that needs a
    /// renewal then gets 503. A session that this instance knows to be revoked is refused. A revocation that only the
    /// store knows is not noticed.
    pub fn ride_through(mut self, time: Duration) -> Self {
        self.config.ride_through = time;
        self
    }

    /// How long this instance may fail to read the store's feed to its end, before it reports that the feed lags.
    /// Default 5 s.
    pub fn feed_lag_bound(mut self, bound: Duration) -> Self {
        self.config.feed.lag_bound = bound;
        self
    }

    /// The pause of this instance after it has read revocations, before it reads the feed again. Default 50 ms. If each
    /// read finds revocations, the pause doubles each time, up to eight times `pause` (400 ms by default). The pause is
    /// never longer than half of the [lag bound](Self::feed_lag_bound).
    ///
    /// If there are [very many instances](crate::manual::scaling), a longer pause reduces the load of the store.
    /// Revocations then arrive later by the same time.
    pub fn feed_pause(mut self, pause: Duration) -> Self {
        self.config.feed.pause = pause;
        self
    }

    /// Whether each request asks the store while the feed lags. Default: off. Then the access token of a revoked
    /// session may be accepted until it expires, while the feed lags.
    pub fn ask_store_when_lagging(mut self, yes: bool) -> Self {
        self.config.feed.ask_store_when_lagging = yes;
        self
    }

    /// The maximum number of access tokens in the cache. The cache has tokens that this instance verified or minted, at
    /// about 1 KB each. Default 8192. Zero turns the cache off. The times and the revocation of a cached token are
    /// checked as for any other token, but without cryptography.
    pub fn verified_cache(mut self, tokens: usize) -> Self {
        self.config.token_cache_capacity = tokens;
        self
    }

    /// The maximum number of live sessions of a subject (at least one), and what happens at a sign-in that exceeds it.
    /// Default: no maximum. The store counts atomically, so the store must be able to list sessions. Sessions that the
    /// sign-in replaces do not count.
    ///
    /// With [`Cap::Refuse`], a user who lost the cookies (another browser, a private window, a lost phone) cannot sign
    /// in until a session has expired. So offer [`Sessions::revoke_all`](crate::Sessions::revoke_all) after the user
    /// has authenticated.
    ///
    /// With [`Cap::RevokeOldest`], suppose that two sign-ins run at the same time (a double click). The second sign-in
    /// may revoke the session of the first sign-in. The first response then sets no cookies, so the browser keeps the
    /// cookies of the second response. But if the first response was already sent, and arrives last, the user has to
    /// sign in again.
    pub fn max_sessions(mut self, cap: Cap) -> Self {
        self.config.cap = Some(cap);
        self
    }
}
