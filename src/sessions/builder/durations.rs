//! How long things last.

use std::time::Duration;

use super::SessionsBuilder;
use crate::{claims::Claims, protocol::Timing};

impl<C: Claims> SessionsBuilder<C> {
    /// All durations at once, in the place of whatever was said of them before. Default:
    /// [`Timing::default`].
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

    /// The grace `G`: how long a refresh token stays good after its successor was seen in use. Default
    /// 45 s. At least as long as a request or a response may be on its way, plus how far the
    /// instances' clocks are apart.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.timing.grace = grace;
        self
    }

    /// The crash window `C`: how far a client's storage may go back when the client crashes. Default
    /// 35 s, since browsers write cookies to disk about every 30 s.
    ///
    /// Longer keeps clients signed in that write theirs less often. A copied refresh token stays usable
    /// for that much longer after its rotation. Zero turns a crash shortly after a rotation into refresh
    /// token reuse.
    pub fn crash_window(mut self, window: Duration) -> Self {
        self.timing.crash_window = window;
        self
    }

    /// How late `L` a request with a body may arrive. Default 10 min, since proxies buffer bodies. Until
    /// then, and a grace more, such a request with the predecessor of the current refresh token is
    /// refused with a warning; later, and with an older one, it is refresh token reuse.
    ///
    /// In a session that is in use all the time, two rotations may fit into it: see
    /// [`Timing::late_body`].
    pub fn late_body(mut self, lateness: Duration) -> Self {
        self.timing.late_body = lateness;
        self
    }

    /// The write window `W`: how long after its arrival a request may still write cookies. Default
    /// 60 s.
    pub fn write_window(mut self, window: Duration) -> Self {
        self.timing.write_window = window;
        self
    }

    /// The rotation interval `M`: the least time from when a refresh token is seen in use to its
    /// rotation. Default 4 min. Must be longer than `write_window + 2 * grace`.
    pub fn rotation_interval(mut self, interval: Duration) -> Self {
        self.timing.rotation_interval = interval;
        self
    }
}
