//! How long things last.

use std::time::Duration;

use super::SessionsBuilder;
use crate::{claims::Claims, protocol::Timing};

impl<C: Claims> SessionsBuilder<C> {
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
}
