use std::time::Duration;

use crate::cookie::Cookies;

/// The shortest lifetime of an access token. The bound cookie lives for nine tenths of it, and Chromium refreshes it in
/// its last two minutes, so a busy browser signs every 96 s: less often than 6 times in 9 minutes, which is its limit.
const SHORTEST_ACCESS: Duration = Duration::from_secs(4 * 60);

/// How long after its sign-in a session may be bound. A browser whose registration failed tries again after 8 minutes.
const BINDING_WINDOW: Duration = Duration::from_secs(15 * 60);

/// Settings of device-bound sessions, for [`SessionsBuilder::device_bound`](crate::SessionsBuilder::device_bound). See
/// the [guide](crate::guide::device_bound).
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
    /// Not a path on this site, or a path with a query or with one of `{ } * : %`, which have a meaning in routes.
    #[error("{0:?} is not a path on this site without a query and without any of {{ }} * : %")]
    Path(String),
    /// Browsers would have to sign more often than their limit allows.
    #[error(
        "access_ttl is {0:?}, but must be at least 4 min: a browser proves its key once for each access token, up to \
         two minutes before the cookie ends, and at most 6 times in 9 minutes"
    )]
    AccessLifetime(Duration),
    /// Browsers bind no `Partitioned` cookies.
    #[error("browsers bind no `Partitioned` cookies to a device")]
    Partitioned,
    /// Browsers prove the key at one origin.
    #[error("the cookies have a domain, but browsers prove the key of a device at one origin only")]
    Domain,
    /// The cookies are not sent to the routes.
    #[error("the cookies have the path {cookies:?}, so they are not sent to {path:?}")]
    CookiePath {
        /// The path of the cookies.
        cookies: String,
        /// The path of the routes.
        path: String,
    },
}

impl DeviceBound {
    /// Binds sessions where the browser can. `path` is where browsers reach the
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

    /// Requests to this path, and below it, need no access cookie, so the browser sends them without a refresh. For
    /// static files and for pages outside of any session layer. Default: none.
    pub fn exclude_path(mut self, path: impl Into<String>) -> Self {
        self.excluded.push(path.into());
        self
    }

    /// Sessions must be bound: this long after its sign-in, a session is not renewed by its refresh token alone. The
    /// request gets 401, as [`Refusal::DeviceNotBound`](crate::protocol::Refusal::DeviceNotBound). Default: sessions of
    /// browsers that cannot bind them are renewed as without this feature.
    ///
    /// A browser proves its key for the first time after about one access token lifetime. Give it three of these
    /// lifetimes, such as 15 minutes. Sessions that were opened at a token endpoint cannot be bound, so they are not
    /// renewed after this time, either.
    pub fn required_within(mut self, time: Duration) -> Self {
        self.required_within = Some(time);
        self
    }

    /// How long after its sign-in or re-authentication a session may be bound. Renewals in this time offer a
    /// registration again if one failed. Default: 15 minutes. Zero binds no more sessions; those that are bound stay
    /// so. It is for [turning the feature on and off](crate::guide::device_bound#turning-it-on-and-off).
    ///
    /// An attacker who copies the cookies of an unbound session after this time cannot bind it to another device.
    /// Before that, the key that the browser registered is not replaced while the browser may still prove it: see the
    /// [guide](crate::guide::device_bound).
    pub fn binding_window(mut self, time: Duration) -> Self {
        self.binding_window = time;
        self
    }

    /// Accepts an access lifetime that is too short for browsers' limits. For tests.
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
    pub(crate) fn within(&self) -> Option<Duration> {
        Some(self.binding_window).filter(|window| !window.is_zero())
    }

    /// How long after its sign-in an unbound session is renewed. `None` for no limit.
    pub(crate) const fn max_unbound_time(&self) -> Option<Duration> {
        self.required_within
    }

    /// Checks the settings against the others.
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
