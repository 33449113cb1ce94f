use super::config::{Cookies, FormerCookie};

/// The cookies of a realm: names, attributes, and which other sites may use them. See
/// [`SessionsBuilder::cookies`](crate::SessionsBuilder::cookies).
///
/// By default the cookies are `__Host-access` and `__Host-refresh`, with `HttpOnly`, `Secure`, `SameSite=Lax` and
/// `Path=/`. Browsers accept them from this host only, over HTTPS only.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct CookieOptions {
    pub(crate) cookies: Cookies,
    pub(crate) plain_http: bool,
    pub(crate) trusted_origins: Vec<String>,
    pub(crate) trusted_parents: Vec<String>,
}

impl CookieOptions {
    /// The names of the access and the refresh cookie. Default `__Host-access` and `__Host-refresh`.
    pub fn names(mut self, access: impl Into<String>, refresh: impl Into<String>) -> Self {
        self.cookies.access = access.into().into();
        self.cookies.refresh = refresh.into().into();
        self
    }

    /// The path that the cookies are sent to. Default `/`, which `__Host-` names require.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.cookies.path = path.into().into();
        self
    }

    /// The domain that the cookies are sent to. All hosts below it can then read and plant them. Default: this
    /// host only, which `__Host-` names require.
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.cookies.domain = Some(domain.into());
        self
    }

    /// `SameSite=Strict`: no request from another site carries the cookies. A user who follows a link from a mail is
    /// not signed in on the page that opens. Default: `SameSite=Lax`, with which links carry them.
    pub fn same_site_strict(mut self) -> Self {
        self.cookies.same_site = cookie::SameSite::Strict;
        self
    }

    /// `SameSite=None`: every request from every site carries the cookies.
    ///
    /// # Security
    /// The check of the request's origin is then the only protection against cross-site request forgery.
    pub fn dangerous_same_site_none(mut self) -> Self {
        self.cookies.same_site = cookie::SameSite::None;
        self
    }

    /// `Partitioned` cookies (CHIPS): a browser keeps one set of them for each site that shows this one in a frame.
    /// Default: off.
    ///
    /// Use it with [`dangerous_same_site_none`](Self::dangerous_same_site_none) if partners show your application
    /// in their pages: browsers that block third-party cookies still send partitioned ones. A user who signs in
    /// inside a partner's frame is signed in there only.
    #[doc(alias = "CHIPS")]
    pub fn partitioned(mut self) -> Self {
        self.cookies.partitioned = true;
        self
    }

    /// Encrypts what the cookies carry, so that the user, extensions and logs of proxies cannot read it: each token
    /// within a JWE (RFC 7516, `dir` and `A256GCM`), with keys derived from those of the key ring. Default: off.
    /// (Without it, the tokens can be read but not changed, since they are signed.) A [readable cookie] is not
    /// encrypted.
    ///
    /// Instances accept encrypted and plain cookies, with and without this option, so it can be turned on and off while
    /// users are signed in. An access cookie changes at its next renewal, a refresh cookie at its next rotation; that
    /// of an idle session stays as it is until then.
    ///
    /// A cookie grows by a third and by about 150 bytes. Services that verify tokens by a public key cannot read it.
    /// See the [guide](crate::guide::encrypted_cookies).
    ///
    /// [readable cookie]: crate::SessionsBuilder::readable_cookie
    #[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
    #[cfg_attr(docsrs, doc(cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))))]
    #[doc(alias = "JWE")]
    #[doc(alias = "privacy")]
    pub fn encrypted(mut self) -> Self {
        self.cookies.encrypted = true;
        self
    }

    /// A former cookie to remove, after a change of names, paths or domains. It is removed at sign-in, at renewal,
    /// at sign-out, and when a request has two values for one name. A browser removes a cookie only if the path and
    /// the domain are those that it was set with.
    pub fn former(mut self, name: impl Into<String>, path: impl Into<String>, domain: Option<&str>) -> Self {
        let (name, path, domain) = (name.into(), path.into(), domain.map(str::to_owned));
        self.cookies.former.push(FormerCookie { name, path, domain });
        self
    }

    /// For development without HTTPS: cookies without `Secure`, called `access` and `refresh` unless they have
    /// names. Chromium and Firefox accept secure cookies from `http://localhost`, so try without it first.
    ///
    /// # Security
    /// Everyone on the network can read the session. Requests for other hosts than localhost are rejected.
    pub fn insecure_plain_http(mut self) -> Self {
        self.plain_http = true;
        self
    }

    /// Another origin that may send requests with unsafe methods, as browsers write it:
    /// `https://app.example.com`, or that of a shell or a browser extension: `tauri://localhost`,
    /// `capacitor://localhost`, `chrome-extension://<id>`. Default: none.
    #[doc(alias = "csrf")]
    #[doc(alias = "xsrf")]
    pub fn trusted_origin(mut self, origin: impl Into<String>) -> Self {
        self.trusted_origins.push(origin.into());
        self
    }

    /// Another site whose pages may show this application in a frame that renews its session when it opens:
    /// `https://partner.example`. Default: none; such a frame is served with a valid access token, and not renewed.
    ///
    /// A navigation has no `Origin`, so `Referer` decides: the partner's pages must not suppress it. Later requests
    /// of the frame are same-origin. Cookies reach a frame of another site only with
    /// [`SameSite=None`](Self::dangerous_same_site_none).
    ///
    /// # Security
    /// It allows renewals, and no requests with unsafe methods. A page cannot send the `Referer` of another site.
    pub fn trusted_parent(mut self, origin: impl Into<String>) -> Self {
        self.trusted_parents.push(origin.into());
        self
    }
}
