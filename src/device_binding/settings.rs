use std::time::Duration;

use crate::cookie::Cookies;

/// The shortest lifetime of an access token. The bound access cookie lives for nine tenths of this lifetime, and
/// Chromium refreshes the cookie in its last two minutes. So a busy browser signs every 96 s. This is less often than
/// Chromium's limit of 6 signatures in 9 minutes.
const SHORTEST_ACCESS: Duration = Duration::from_secs(4 * 60);

/// The default binding window: how long after its sign-in a session may be bound. A browser whose registration failed
/// tries again after 8 minutes.
const BINDING_WINDOW: Duration = Duration::from_secs(15 * 60);

/// The settings of device-bound sessions, for [`SessionsBuilder::device_bound`](crate::SessionsBuilder::device_bound).
/// See the [guide](crate::guide::device_bound).
///
/// ```
/// # use std::time::Duration;
/// # use tower_sliding_sessions::{DeviceBound, Keyring, Sessions};
/// # fn sessions(keys: Keyring) -> Result<Sessions, Box<dyn std::error::Error>> {
/// let sessions = Sessions::builder(keys)
///     .device_bound(DeviceBound::new("/auth/device").exclude_path("/static"))
///     .build()?;
/// # Ok(sessions) }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct DeviceBound {
    path: String,
    excluded: Vec<String>,
    required_within: Option<Duration>,
    binding_window: Duration,
    short_lifetimes: bool,
}

/// Why device-bound sessions cannot be built with these settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceBoundError {
    /// The value is not a path on this site, or is a path with a query or with one of `{ } * : %`. These characters
    /// have a meaning in routes.
    #[error("{0:?} is not a path on this site without a query and without any of {{ }} * : %")]
    Path(String),
    /// The access token lifetime is too short: browsers would have to sign more often than their limit allows.
    #[error(
        "access_ttl is {0:?}, but must be at least 4 min: a browser proves its key once for each access token, up to \
         two minutes before the cookie ends, and at most 6 times in 9 minutes"
    )]
    AccessLifetime(Duration),
    /// The cookies are `Partitioned`. Browsers do not bind `Partitioned` cookies.
    #[error("browsers bind no `Partitioned` cookies to a device")]
    Partitioned,
    /// The cookies have a domain. Browsers prove the key at one origin only.
    #[error("the cookies have a domain, but browsers prove the key of a device at one origin only")]
    Domain,
    /// The cookies have a path that does not contain the routes, so browsers do not send the cookies to the routes.
    #[error("the cookies have the path {cookies:?}, so they are not sent to {path:?}")]
    CookiePath {
        /// The path of the cookies.
        cookies: String,
        /// The path of the routes.
        path: String,
    },
}

impl DeviceBound {
    /// Binds sessions if the browser supports this. `path` is the path at which browsers reach the
    /// [routes](crate::Sessions::device_bound_routes), such as `/auth/device`.
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            excluded: Vec::new(),
            required_within: None,
            binding_window: BINDING_WINDOW,
            short_lifetimes: false,
        }
    }

    /// Excludes a path: requests to this path, and to paths below it, need no access cookie. So the browser sends such
    /// requests without a refresh. For static files, and for pages outside of any session layer. Default: no path is
    /// excluded.
    pub fn exclude_path(mut self, path: impl Into<String>) -> Self {
        self.excluded.push(path.into());
        self
    }

    /// Requires that sessions are bound: when `time` has passed since the sign-in, the refresh token alone no longer
    /// renews a session that is not bound. The request gets 401, with the reason
    /// [`Refusal::DeviceNotBound`](crate::protocol::Refusal::DeviceNotBound). Default: not required, so the sessions of
    /// browsers without this feature are renewed by the refresh token alone.
    ///
    /// A browser proves its key for the first time after about one access token lifetime. Set `time` to three access
    /// token lifetimes, such as 15 minutes. Sessions that were opened at a token endpoint cannot be bound, so they are
    /// also not renewed after `time`.
    pub fn required_within(mut self, time: Duration) -> Self {
        self.required_within = Some(time);
        self
    }

    /// The binding window: how long after its sign-in or re-authentication a session may be bound. Default: 15 minutes.
    /// If a registration failed, renewals in this time offer a registration again. With zero, no more sessions are
    /// bound, but bound sessions stay bound: see [turning the feature on and
    /// off](crate::guide::device_bound#turning-it-on-and-off).
    ///
    /// After this time, an attacker who copies the cookies of an unbound session cannot bind the session to another
    /// device, unless the user re-authenticates later. Within this time, the key that the browser registered is not
    /// replaced while the browser may still prove it: see the [guide](crate::guide::device_bound).
    pub fn binding_window(mut self, time: Duration) -> Self {
        self.binding_window = time;
        self
    }

    /// For tests: accepts an access token lifetime that is too short for the limits of browsers.
    #[cfg(feature = "test-util")]
    #[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
    pub fn short_lifetimes_for_tests(mut self) -> Self {
        self.short_lifetimes = true;
        self
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn excluded(&self) -> &[String] {
        &self.excluded
    }

    /// The binding window. `None` if no session may be bound.
    pub(crate) fn binding_time(&self) -> Option<Duration> {
        Some(self.binding_window).filter(|window| !window.is_zero())
    }

    /// How long after its sign-in a session that is not bound is renewed. `None` for no limit.
    pub(crate) const fn max_unbound_time(&self) -> Option<Duration> {
        self.required_within
    }

    /// Checks these settings against the other settings of the builder.
    pub(crate) fn check(mut self, access_ttl: Duration, cookies: &Cookies) -> Result<Self, DeviceBoundError> {
        self.path.truncate(self.path.trim_end_matches('/').len());
        if let Some(wrong) = [&self.path].into_iter().chain(&self.excluded).find(|path| !is_path(path)) {
            return Err(DeviceBoundError::Path(wrong.clone()));
        }
        if access_ttl < SHORTEST_ACCESS && !self.short_lifetimes {
            return Err(DeviceBoundError::AccessLifetime(access_ttl));
        }
        if cookies.partitioned {
            return Err(DeviceBoundError::Partitioned);
        }
        if cookies.domain.is_some() {
            return Err(DeviceBoundError::Domain);
        }
        let below = self.path.strip_prefix(cookies.path.trim_end_matches('/'));
        if !below.is_some_and(|rest| rest.starts_with('/')) {
            return Err(DeviceBoundError::CookiePath { cookies: cookies.path.to_string(), path: self.path });
        }
        Ok(self)
    }
}

fn is_path(path: &str) -> bool {
    path.starts_with('/')
        && !path.starts_with("//")
        && path.bytes().all(|b| b.is_ascii_graphic() && !b"{}*:%?#\\\"<>;,".contains(&b))
}
