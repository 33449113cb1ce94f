//! Where sessions are kept, what is kept here of them, and what to do while the store is away.

use std::{sync::Arc, time::Duration};

use super::SessionsBuilder;
use crate::{
    claims::Claims,
    store::{Cap, Overflow, SessionStore},
};

impl<C: Claims> SessionsBuilder<C> {
    /// Where sessions are kept. Default: a [`MemoryStore`](crate::store::MemoryStore), whose sessions end with the process.
    pub fn store(mut self, store: impl SessionStore) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// How long a call of the store may take. Default 500 ms. After that the store counts as away.
    /// Keep it well within the [grace period](crate::protocol::Timing::grace()): clients at a token endpoint rely on it that a
    /// confirmation is written no later than that, or never (see [`exchange`](crate::protocol::exchange)).
    pub fn store_deadline(mut self, deadline: Duration) -> Self {
        self.config.store_deadline = deadline;
        self
    }

    /// How long after its end an access token still does while the store is away. Default zero:
    /// a renewal is then answered with 503. Whatever this instance knows against the session counts
    /// all the same; what it would only learn from the store does not.
    pub fn ride_through(mut self, time: Duration) -> Self {
        self.config.ride_through = time;
        self
    }

    /// How long the store's feed may be silent before this instance reports that it lags. Default
    /// 5 s.
    pub fn feed_lag_bound(mut self, bound: Duration) -> Self {
        self.config.feed.lag_bound = bound;
        self
    }

    /// Asks the store on each request while this instance lags, rather than trust a revocation list
    /// that it knows to be old. Default: no; an ended session's access token may then be good until
    /// it expires.
    pub fn ask_store_when_lagging(mut self, yes: bool) -> Self {
        self.config.feed.ask_store_when_lagging = yes;
        self
    }

    /// How many access tokens are remembered that were verified or minted here, at about 1 KB each.
    /// Default 8192; zero turns it off. A remembered token is still judged by time and revocation, but costs no cryptography.
    pub fn verified_cache(mut self, tokens: usize) -> Self {
        self.config.verified_tokens = tokens;
        self
    }

    /// How many live sessions a subject may have, at least one, and what happens to one more. Default: no
    /// limit. The store counts, atomically, so it must be able to list. Sessions that a sign-in replaces,
    /// because their tokens came with it, do not count.
    ///
    /// With [`Overflow::Refuse`], a user who lost the cookies of their sessions (another browser, a private
    /// window, a lost phone) cannot sign in until one of them has run out, after at most the idle timeout.
    /// Offer a way out: [`Sessions::revoke_all`](crate::Sessions::revoke_all) after the user has shown who
    /// they are.
    ///
    /// With [`Overflow::RevokeOldest`], the second of two sign-ins at once (a double click) may end the first
    /// one's session. The first answer then sets no cookies, so the browser keeps the second one's. Each
    /// sign-in reads its session once more for that. An answer that had left before, and arrives after the
    /// second one's, leaves the browser with a revoked session: the user signs in once more.
    pub fn max_sessions(mut self, limit: usize, overflow: Overflow) -> Self {
        self.config.cap = Some(Cap { limit, overflow });
        self
    }
}
