//! The hooks of the application.

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
    /// A hook that is called for every event. The hook runs within the request, so it must not block. If the hook
    /// panics, the request continues, and the panic is [reported](crate::EventKind::HookPanicked) to `tracing` and
    /// `metrics`.
    pub fn on_event(mut self, hook: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.config.events.hook = Some(Arc::new(hook));
        self
    }

    /// Whether `tracing` records have a field `subject`. Default: off. The hook of [`on_event`](Self::on_event) always
    /// gets the subject.
    ///
    /// # Security
    /// A subject is personal data: for example, an email address.
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

    /// The claims reload hook. It returns the current claims of a user, or that the user is locked. The hook is called
    /// at each renewal, once after a sign-in, and for a request with a bearer token whose claims are stale. Default: no
    /// hook, so the claims of the session's record are used.
    ///
    /// The hook gets the subject and the claims of the record, or `None` if these claims cannot be read. It has the
    /// same [deadline](Self::store_deadline) as a store call. On one instance, parallel renewals of the same kind (with
    /// or without a body) share one call of the hook.
    ///
    /// If the hook returns an error, panics or is too late, the session is not renewed. The request gets 503, unless
    /// its access token is still valid. The same cookies work later. The same holds if the claims of the hook cannot be
    /// written as JSON or cannot be read back. The events [`ReloadFailed`](crate::EventKind::ReloadFailed) and
    /// [`ClaimsUnreadable`](crate::EventKind::ClaimsUnreadable) have the error. See also [`Sessions::mark_stale`].
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

    /// A hook that describes the client's origin: for example, the user agent, an address or a region. Not the HTTP
    /// header `Origin`. Default: no origin is recorded. [`Sessions::list`](crate::Sessions::list) shows the origin, and
    /// [`compare_origin`](Self::compare_origin) compares it.
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

    /// A hook that decides what to do with a session that is renewed from another origin. `compare` gets the recorded
    /// origin and the origin of the request, both from the hook [`origin`](Self::origin). Default: origins are not
    /// compared.
    ///
    /// A request is compared with the origin of the sign-in, and with the origin of the user's last
    /// [re-authentication](crate::Session::reauthenticate). The milder verdict counts. If neither origin was recorded,
    /// nothing is compared. A re-authentication for which the hook `origin` returned `None` has no recorded origin. So
    /// the hook should describe every request.
    pub fn compare_origin(
        mut self,
        compare: impl Fn(&str, Option<&str>) -> OriginVerdict + Send + Sync + 'static,
    ) -> Self {
        self.config.client_origins.compare = Some(Arc::new(compare));
        self
    }

    /// Does not revoke a session at refresh token reuse, if the reused token is the direct predecessor of the current
    /// token, and [`compare_origin`](Self::compare_origin) returns [`OriginVerdict::Ignore`] for the request. The
    /// request is refused, and is reported as [`ReuseTolerated`](crate::EventKind::ReuseTolerated). Default: the
    /// session is revoked.
    ///
    /// For applications whose users often restore browsers or machines from backups.
    ///
    /// # Security
    /// An attacker who has the refresh token, and seems to come from the recorded origin, is not detected. So record an
    /// origin that an attacker elsewhere does not have, such as the network. A user agent can be copied.
    pub fn keep_session_on_reuse_at_recorded_origin(mut self) -> Self {
        self.config.client_origins.keep_on_reuse = true;
        self
    }

    /// A cookie with the name `name` that scripts can read. Its value is the result of `show` as percent-encoded JSON:
    /// for example, the user's name and roles. The cookie is set and removed together with the access cookie. Default:
    /// no such cookie.
    ///
    /// ```js
    /// const shown = document.cookie.split("; ").find(pair => pair.startsWith("__Host-me="));
    /// const me = shown && JSON.parse(decodeURIComponent(shown.slice("__Host-me=".length)));
    /// ```
    ///
    /// The name must not begin with `__Http-` or `__Host-Http-`, because scripts cannot read cookies with these
    /// prefixes.
    ///
    /// # Security
    /// Do not trust this cookie, because the user can change it. This crate never reads it. Injected scripts can read
    /// it, too.
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
