//! What the application is asked and told.

use std::{error::Error, sync::Arc};

use serde::Serialize;

use super::SessionsBuilder;
use crate::{
    claims::{Claims, Reload, Reloader},
    engine::Readable,
    event::Event,
    origin::OriginVerdict,
    request::RequestHead,
    time::Clock,
};

impl<C: Claims> SessionsBuilder<C> {
    /// Is told of every decision. It is called on the request's path: hand over what takes long. If it
    /// panics, the request goes on, and the panic is [reported](crate::EventKind::HookPanicked) to
    /// `tracing` and `metrics`.
    pub fn on_event(mut self, hook: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.config.events.hook = Some(Arc::new(hook));
        self
    }

    /// Whether `tracing` records have a field `subject`. Default: no. The [hook](Self::on_event) gets the
    /// subject in any case. Where records of one user must be found, turn it on.
    ///
    /// # Security
    /// A subject is personal data, and may be an email address: think of where logs go, and for how long.
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

    /// Asks the application for a user's claims at each renewal, so that they follow the user, and
    /// whether the user may go on at all; once when a session has begun, for what changed while
    /// somebody signed in; and when a bearer token comes whose claims are out of date. Default: the claims
    /// of the session's record are used.
    ///
    /// The hook gets the subject and the claims of the record, or none if those no longer parse,
    /// and must answer within the [deadline of the store](Self::store_deadline). An error or a panic means
    /// that the claims are not known for now: the renewal is answered with 503, and the same cookies work
    /// later. So it is with claims that cannot be written as JSON, or not be read back from it as `C`.
    /// The events [`ReloadFailed`](crate::EventKind::ReloadFailed) and
    /// [`ClaimsUnreadable`](crate::EventKind::ClaimsUnreadable) have the error with its sources.
    /// Renewals of a session that wait for it at once ask once. See also [`Sessions::mark_stale`].
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

    /// What to record of where a session is opened from: the user agent, an address, a region.
    /// Default: nothing. It is shown by [`Sessions::list`](crate::Sessions::list), and may be
    /// [compared](Self::compare_origin) later.
    ///
    /// # Security
    /// It is the application's choice, and so is whether it may be kept: an address is personal data.
    pub fn origin(
        mut self,
        describe: impl Fn(&RequestHead<'_>) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.config.origins.describe = Some(Arc::new(describe));
        self
    }

    /// What to do about a session that is renewed from elsewhere: `compare` gets what was recorded
    /// and what the [hook](Self::origin) says of this request. Default: nothing.
    ///
    /// A session is at home where it was opened, and where its subject last
    /// [proved](crate::Session::reauthenticate) who they are; the milder verdict counts. One without a record
    /// of either is not compared. A request that the hook says nothing of is at home nowhere, and a
    /// proof made there is no remedy: say something of each.
    pub fn compare_origin(
        mut self,
        compare: impl Fn(&str, Option<&str>) -> OriginVerdict + Send + Sync + 'static,
    ) -> Self {
        self.config.origins.compare = Some(Arc::new(compare));
        self
    }

    /// Keeps a session whose refresh token was reused, if the token is the direct predecessor of the
    /// current one and [`compare_origin`](Self::compare_origin) answers [`OriginVerdict::Ignore`] for the
    /// request. The request is refused, and reported by
    /// [`ReuseTolerated`](crate::EventKind::ReuseTolerated). Default: such a session is revoked.
    ///
    /// For applications whose users restore browsers or machines from backups, and see reuse by themselves
    /// more often than by an attacker.
    ///
    /// # Security
    /// An attacker who has the refresh token, and can appear to come from the same origin, is not found
    /// out by the client's next renewal. Record something that an attacker elsewhere does not have, such
    /// as the network; a user agent is copied as easily as a cookie.
    pub fn keep_session_on_reuse_at_recorded_origin(mut self) -> Self {
        self.config.origins.keep_on_reuse = true;
        self
    }

    /// A third cookie, called `name`, that scripts can read: what `show` makes of the claims, as JSON
    /// in percent-encoding, such as a name to greet and the roles to draw a menu by. Default: none.
    /// It comes and goes with the access cookie.
    ///
    /// ```js
    /// const shown = document.cookie.split("; ").find(pair => pair.startsWith("__Host-me="));
    /// const me = shown && JSON.parse(decodeURIComponent(shown.slice("__Host-me=".length)));
    /// ```
    ///
    /// The name may not begin with `__Http-` or `__Host-Http-`, which are for cookies that scripts cannot
    /// read.
    ///
    /// # Security
    /// It is for showing, and proves nothing: whoever owns the browser can change it, and it is never
    /// read here. Scripts that should not be on the page read it too.
    pub fn readable_cookie<T: Serialize>(
        mut self,
        name: impl Into<String>,
        show: impl Fn(&C) -> T + Send + Sync + 'static,
    ) -> Self {
        self.config.cookies.readable = Some(name.into().into());
        self.config.readable = Some(Readable::new(show));
        self
    }
}
