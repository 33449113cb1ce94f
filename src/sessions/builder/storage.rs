//! The store, the caches, and what to do during an outage.

use std::{sync::Arc, time::Duration};

use super::SessionsBuilder;
use crate::{
    claims::Claims,
    store::{Cap, SessionStore},
};

impl<C: Claims> SessionsBuilder<C> {
    /// The store. Default: a [`MemoryStore`](crate::store::MemoryStore), whose sessions end with the process.
    pub fn store(mut self, store: impl SessionStore) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// How long a store call may take. Default 500 ms. After that the store counts as unavailable. Keep it much shorter
    /// than the [grace period](crate::protocol::Timing::grace()): a confirmation must be written within the grace
    /// period, or not at all.
    pub fn store_deadline(mut self, deadline: Duration) -> Self {
        self.config.store_deadline = deadline;
        self
    }

    /// How long an expired access token is accepted during an outage of the store. Default zero: a renewal then gets
    /// 503. A session that this instance knows to be revoked is refused; a revocation that only the store knows is not
    /// noticed.
    pub fn ride_through(mut self, time: Duration) -> Self {
        self.config.ride_through = time;
        self
    }

    /// How long this instance may be unable to read the store's feed before it reports that the feed lags. Default 5 s.
    pub fn feed_lag_bound(mut self, bound: Duration) -> Self {
        self.config.feed.lag_bound = bound;
        self
    }

    /// How long this instance waits after it has read revocations before it reads the feed again. Default 50 ms. If
    /// each read finds some, the pause doubles, up to eight times this (400 ms). It is never more than half of the [lag
    /// bound](Self::feed_lag_bound). A longer pause spares the store of [very many instances](crate::manual::scaling),
    /// and revocations arrive later by as much.
    pub fn feed_pause(mut self, pause: Duration) -> Self {
        self.config.feed.pause = pause;
        self
    }

    /// Whether each request asks the store while the feed lags. Default: no; the access token of a revoked session may
    /// then be accepted until it expires.
    pub fn ask_store_when_lagging(mut self, yes: bool) -> Self {
        self.config.feed.ask_store_when_lagging = yes;
        self
    }

    /// How many access tokens are cached that were verified or minted here, at about 1 KB each. Default 8192; zero
    /// turns the cache off. A cached token is judged by time and revocation like any other, without cryptography.
    pub fn verified_cache(mut self, tokens: usize) -> Self {
        self.config.token_cache_capacity = tokens;
        self
    }

    /// How many live sessions a subject may have, at least one, and what happens at the next sign-in. Default: no
    /// limit. The store counts atomically, so it must be able to list. Sessions that the sign-in replaces do not count.
    ///
    /// With [`Cap::Refuse`], a user who lost the cookies (another browser, a private window, a lost phone) cannot sign
    /// in until a session has expired. Offer [`Sessions::revoke_all`](crate::Sessions::revoke_all) after the user has
    /// authenticated.
    ///
    /// With [`Cap::RevokeOldest`], the second of two sign-ins at once (a double click) may revoke the session of the
    /// first one. The first response then sets no cookies, so the browser keeps those of the second. If the first
    /// response has already left and arrives last, the user has to sign in again.
    pub fn max_sessions(mut self, cap: Cap) -> Self {
        self.config.cap = Some(cap);
        self
    }
}
