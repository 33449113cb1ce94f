//! The settings from the builder. They do not change after `build`.

use std::{sync::Arc, time::Duration};

use super::{KeyFollower, ReadableCookie};
use crate::{
    claims::Reloader,
    cookie::Cookies,
    cross_site::TrustedOrigins,
    event::Events,
    origin::Origins,
    protocol::Policy,
    revocation::{FEED_PAUSE, FeedConfig, StoreAccess},
    store::Cap,
    time::{Clock, SystemClock},
};

/// The settings of one realm. The builder starts from the defaults and changes them in place.
pub(crate) struct Config<C> {
    pub(crate) policy: Policy,
    pub(crate) realm: Arc<str>,
    pub(crate) cookies: Cookies,
    pub(crate) trusted_origins: TrustedOrigins,
    /// Whether requests for other hosts than localhost are refused, because the cookies have no `Secure`.
    pub(crate) loopback_only: bool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) events: Events,
    pub(crate) client_origins: Origins,
    pub(crate) reloader: Option<Reloader<C>>,
    pub(crate) readable_cookie: Option<ReadableCookie<C>>,
    /// The maximum number of a subject's sessions. `None` for no maximum.
    pub(crate) cap: Option<Cap>,
    /// How many verified access tokens are cached. 0 for none.
    pub(crate) token_cache_capacity: usize,
    /// How long a store call may take.
    pub(crate) store_deadline: Duration,
    /// How long an expired access token is accepted during an outage of the store.
    pub(crate) ride_through: Duration,
    pub(crate) feed: FeedConfig,
    /// The settings of a layer that only verifies. `None` for any other layer.
    #[cfg(feature = "verify")]
    pub(crate) verify_only: Option<super::VerifyOnly>,
    /// Whether, and how, sessions are bound to devices.
    #[cfg(feature = "device-bound")]
    pub(crate) device_bound: Option<crate::device_binding::DeviceBound>,
    /// Follows the key file, if there is one.
    pub(crate) key_follower: Option<KeyFollower>,
}

impl<C> Default for Config<C> {
    fn default() -> Self {
        let realm: Arc<str> = "sessions".into();
        Self {
            policy: Policy::default(),
            realm: realm.clone(),
            cookies: Cookies::default(),
            trusted_origins: TrustedOrigins::default(),
            loopback_only: false,
            clock: Arc::new(SystemClock),
            events: Events { realm, hook: None, log_subjects: false },
            client_origins: Origins::default(),
            reloader: None,
            readable_cookie: None,
            cap: None,
            token_cache_capacity: 8192,
            store_deadline: Duration::from_millis(500),
            ride_through: Duration::ZERO,
            feed: FeedConfig {
                lag_bound: Duration::from_secs(5),
                pause: FEED_PAUSE,
                ask_store_when_lagging: false,
                access: StoreAccess::Full,
            },
            #[cfg(feature = "verify")]
            verify_only: None,
            #[cfg(feature = "device-bound")]
            device_bound: None,
            key_follower: None,
        }
    }
}
