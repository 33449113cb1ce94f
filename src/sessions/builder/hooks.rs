//! The application's hooks.

use std::{error::Error, sync::Arc};

use serde::Serialize;

use super::SessionsBuilder;
use crate::{
    claims::{Claims, Reload, Reloader},
    engine::ReadableCookie,
    event::Event,
    origin::OriginVerdict,
    request::RequestHead,
    time::Clock,
};

impl<C: Claims> SessionsBuilder<C> {
    /// A hook for every event. It runs in the request, so it must not block. If it panics, the request continues, and
    /// the panic is [reported](crate::EventKind::HookPanicked) to `tracing` and `metrics`.
    pub fn on_event(mut self, hook: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.config.events.hook = Some(Arc::new(hook));
        self
    }

    /// Whether `tracing` records have a field `subject`. Default: no. The [hook](Self::on_event) always gets the
    /// subject.
    ///
    /// # Security
    /// A subject is personal data, such as an email address.
    pub fn log_subjects(mut self, yes: bool) -> Self {
        self.config.events.log_subjects = yes;
        self
    }

    /// The clock. Default: [`SystemClock`](crate::SystemClock). Tests use a [`ManualClock`](crate::ManualClock) in an
    /// [`Arc`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.config.clock = Arc::new(clock);
        self
    }

    /// The claims reload hook: returns a user's current claims, or that the user is locked. It runs at each renewal,
    /// once after a sign-in, and for a bearer token with stale claims. Default: the claims of the session's record are
    /// used.
    ///
    /// The hook gets the subject and the claims of the record, or none if those cannot be read. It has as much time as
    /// a [store call](Self::store_deadline). After an error or a panic, the session is not renewed, and the same
    /// cookies work later: the request gets 503, unless its access token is still valid. The same holds for claims that
    /// cannot be written as JSON or read back. The events [`ReloadFailed`](crate::EventKind::ReloadFailed) and
    /// [`ClaimsUnreadable`](crate::EventKind::ClaimsUnreadable) have the error. On one instance, parallel renewals of
    /// the same kind (with or without a body) share one call. See also [`Sessions::mark_stale`].
    ///
    /// ```
    /// # use std::{io, sync::Arc};
    /// # use tower_sliding_sessions::{Keyring, Reload, Sessions};
    /// # async fn find_user(_: &str) -> Result<Option<Vec<String>>, io::Error> { Ok(None) }
    /// # fn sessions(keys: Keyring) -> Result<Sessions<Vec<String>>, Box<dyn std::error::Error>> {
    /// let sessions = Sessions::builder(keys)
    ///     .reload_claims(|subject: Arc<str>, _| async move {
    ///         Ok::<_, io::Error>(match find_user(&subject).await? {
    ///             Some(roles) => Reload::Replace(roles),
    ///             None => Reload::revoke("deleted"),
    ///         })
    ///     })
    ///     .build()?;
    /// # Ok(sessions) }
    /// ```
    ///
    /// [`Sessions::mark_stale`]: crate::Sessions::mark_stale
    pub fn reload_claims<F, E>(
        mut self,
        hook: impl Fn(Arc<str>, Option<C>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Reload<C>, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        self.config.reloader = Some(Reloader::new(hook));
        self
    }

    /// Describes where a request comes from: the user agent, an address, a region. Default: nothing is recorded.
    /// [`Sessions::list`](crate::Sessions::list) shows it, and [`compare_origin`](Self::compare_origin) compares it.
    ///
    /// # Security
    /// An address is personal data.
    pub fn origin(
        mut self,
        describe: impl Fn(&RequestHead<'_>) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.config.client_origins.describe = Some(Arc::new(describe));
        self
    }

    /// What to do with a session that is renewed from another origin. `compare` gets the recorded origin and that of
    /// the request, both by the [hook](Self::origin). Default: nothing.
    ///
    /// A request is compared with where the session was opened, and with where its user last
    /// [re-authenticated](crate::Session::reauthenticate); the milder verdict counts. If neither was recorded, nothing
    /// is compared. A re-authentication without an origin is not recorded as one, so the hook should describe every
    /// request.
    pub fn compare_origin(
        mut self,
        compare: impl Fn(&str, Option<&str>) -> OriginVerdict + Send + Sync + 'static,
    ) -> Self {
        self.config.client_origins.compare = Some(Arc::new(compare));
        self
    }

    /// Keeps a session whose refresh token was reused, if the token is the direct predecessor of the
    /// current one and [`compare_origin`](Self::compare_origin) answers [`OriginVerdict::Ignore`] for the
    /// request. The request is refused, and reported by
    /// [`ReuseTolerated`](crate::EventKind::ReuseTolerated). Default: such a session is revoked.
    ///
    /// For applications whose users often restore browsers or machines from backups.
    ///
    /// # Security
    /// An attacker who has the refresh token, and appears to come from the same origin, is not detected. Record
    /// something that an attacker elsewhere does not have, such as the network. A user agent can be copied.
    pub fn keep_session_on_reuse_at_recorded_origin(mut self) -> Self {
        self.config.client_origins.keep_on_reuse = true;
        self
    }

    /// A cookie called `name` that scripts can read: the result of `show` as percent-encoded JSON, such as the user's
    /// name and roles. Default: none. It is set and removed together with the access cookie.
    ///
    /// ```js
    /// const shown = document.cookie.split("; ").find(pair => pair.startsWith("__Host-me="));
    /// const me = shown && JSON.parse(decodeURIComponent(shown.slice("__Host-me=".length)));
    /// ```
    ///
    /// The name must not begin with `__Http-` or `__Host-Http-`: scripts cannot read such cookies.
    ///
    /// # Security
    /// Do not trust it: the user can change it, and it is never read here. Injected scripts can read it, too.
    pub fn readable_cookie<T: Serialize>(
        mut self,
        name: impl Into<String>,
        show: impl Fn(&C) -> T + Send + Sync + 'static,
    ) -> Self {
        self.config.cookies.readable = Some(name.into().into());
        self.config.readable_cookie = Some(ReadableCookie::new(show));
        self
    }
}
