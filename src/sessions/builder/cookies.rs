//! What the cookies are called and where they go, and who may send them.

use serde::Serialize;

use super::SessionsBuilder;
use crate::{
    claims::Claims,
    cookie::{FormerCookie, SameSite},
    engine::Readable,
};

impl<C: Claims> SessionsBuilder<C> {
    /// What the cookies are called. Default `__Host-access` and `__Host-refresh`, which browsers
    /// accept from this very host only, over HTTPS only.
    pub fn cookie_names(mut self, access: impl Into<String>, refresh: impl Into<String>) -> Self {
        self.config.cookies.access = access.into().into();
        self.config.cookies.refresh = refresh.into().into();
        self
    }

    /// The path that the cookies are sent to. Default `/`, the only one that `__Host-` names allow.
    pub fn cookie_path(mut self, path: impl Into<String>) -> Self {
        self.config.cookies.path = path.into().into();
        self
    }

    /// The domain that the cookies are sent to, with all hosts below it: each of them can then read
    /// and plant them. Default: this host only. `__Host-` names do not allow it.
    pub fn cookie_domain(mut self, domain: impl Into<String>) -> Self {
        self.config.cookies.domain = Some(domain.into());
        self
    }

    /// When browsers send the cookies along from other sites. Default [`SameSite::Lax`].
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.config.cookies.same_site = match same_site {
            SameSite::Lax => cookie::SameSite::Lax,
            SameSite::Strict => cookie::SameSite::Strict,
        };
        self
    }

    /// `SameSite=None`: browsers send the cookies along with every request from every site.
    ///
    /// # Security
    /// Only the check of the request's origin then stands between other sites and your users.
    pub fn dangerous_same_site_none(mut self) -> Self {
        self.config.cookies.same_site = cookie::SameSite::None;
        self
    }

    /// Marks the cookies as `Partitioned` (CHIPS): a browser then keeps one set of them for each site
    /// that shows this one in a frame. Needs `Secure`. Default: not.
    ///
    /// Use it with [`dangerous_same_site_none`](Self::dangerous_same_site_none) where partners show your
    /// application in their pages: browsers that block third-party cookies still send partitioned ones.
    /// A user who is signed in inside a partner's frame is not signed in elsewhere by that.
    #[doc(alias = "CHIPS")]
    pub fn partitioned_cookies(mut self) -> Self {
        self.config.cookies.partitioned = true;
        self
    }

    /// Removes this cookie too: after a change of names, paths or domains. At sign-in, at renewal, at
    /// sign-out, and with every answer to a request that carries two values under one name, since one of
    /// them may be this cookie's.
    pub fn former_cookie(mut self, former: FormerCookie) -> Self {
        self.config.cookies.former.push(former);
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

    /// For development without HTTPS: cookies without `Secure`, called `access` and `refresh`
    /// unless they were named. Chromium and Firefox take secure cookies from `http://localhost`,
    /// so try without it first.
    ///
    /// # Security
    /// Whoever is on the network reads the session. Requests for any other host than localhost are
    /// refused.
    pub fn insecure_plain_http(mut self) -> Self {
        self.config.loopback_only = true;
        self
    }

    /// An origin that may send unsafe requests although it is another one, exactly as browsers
    /// write it: `https://app.example.com`, or that of a desktop or mobile shell or of a browser
    /// extension: `tauri://localhost`, `capacitor://localhost`, `chrome-extension://<id>`. Default: none.
    pub fn trusted_origin(mut self, origin: impl Into<String>) -> Self {
        self.trusted.push(origin.into());
        self
    }

    /// A site whose pages may show this application in a frame that renews its session when it is
    /// opened: `https://partner.example`. Default: none. A frame of another site is served with a valid
    /// access token, and not renewed.
    ///
    /// Navigation carries no `Origin`, so this is judged by `Referer`: the partner's pages must not
    /// suppress it (browsers send the origin by default). Once the frame is open, its own requests are
    /// same-origin and need no setting. Cookies reach a frame of another site only with
    /// [`SameSite=None`](Self::dangerous_same_site_none).
    ///
    /// # Security
    /// It allows renewals of sessions, and no unsafe requests. A page cannot send another site's
    /// `Referer`.
    pub fn trusted_parent(mut self, origin: impl Into<String>) -> Self {
        self.trusted_parents.push(origin.into());
        self
    }
}
