use super::config::{Cookies, FormerCookie};

/// The settings of a realm's cookies: names, attributes, and the other sites that may use the cookies. See
/// [`SessionsBuilder::cookies`](crate::SessionsBuilder::cookies).
///
/// By default, the cookies are `__Host-access` and `__Host-refresh`, with `HttpOnly`, `Secure`, `SameSite=Lax` and
/// `Path=/`. Browsers accept such cookies only from this host, and only over HTTPS.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct CookieOptions {
    pub(crate) cookies: Cookies,
    pub(crate) plain_http: bool,
    pub(crate) trusted_origins: Vec<String>,
    pub(crate) trusted_parents: Vec<String>,
}

impl CookieOptions {
    /// The names of the access cookie and the refresh cookie. Default `__Host-access` and `__Host-refresh`.
    pub fn names(mut self, access: impl Into<String>, refresh: impl Into<String>) -> Self {
        self.cookies.access = access.into().into();
        self.cookies.refresh = refresh.into().into();
        self
    }

    /// The path to which browsers send the cookies. Default `/`. Names with `__Host-` need this default.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.cookies.path = path.into().into();
        self
    }

    /// The domain to which browsers send the cookies. All hosts below the domain can then read the cookies, and set
    /// cookies with these names. Default: no domain, so browsers send the cookies only to this host. Names with
    /// `__Host-` need this default.
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.cookies.domain = Some(domain.into());
        self
    }

    /// `SameSite=Strict`: no request from another site carries the cookies. A user who follows a link in an email is
    /// not signed in on the page that opens. Default: `SameSite=Lax`, with which a link from another site carries the
    /// cookies.
    pub fn same_site_strict(mut self) -> Self {
        self.cookies.same_site = cookie::SameSite::Strict;
        self
    }

    /// `SameSite=None`: every request from every site carries the cookies.
    ///
    /// # Security
    /// The only protection against cross-site request forgery is then the check of the request's origin.
    pub fn dangerous_same_site_none(mut self) -> Self {
        self.cookies.same_site = cookie::SameSite::None;
        self
    }

    /// `Partitioned` cookies (CHIPS): if other sites show this site in a frame, a browser keeps separate cookies for
    /// each of these sites. Default: off.
    ///
    /// Use this setting with [`dangerous_same_site_none`](Self::dangerous_same_site_none) if partners show your
    /// application in their pages. Browsers that block third-party cookies still send partitioned cookies. A user who
    /// signs in inside a partner's frame is signed in only there.
    #[doc(alias = "CHIPS")]
    pub fn partitioned(mut self) -> Self {
        self.cookies.partitioned = true;
        self
    }

    /// Encrypts the tokens in the cookies, so that the user, browser extensions and logs of proxies cannot read them.
    /// Each cookie is a JWE (RFC 7516, `dir` and `A256GCM`) that contains the signed token. The encryption keys are
    /// derived from the keys of the key ring. Default: off. (Without encryption, the tokens can be read, but not
    /// changed, because they are signed.) A [readable cookie] is not encrypted.
    ///
    /// With and without this setting, an instance accepts encrypted cookies and plain cookies. So you can turn it on or
    /// off while users are signed in. An access cookie changes at its next renewal, and a refresh cookie at its next
    /// rotation. The refresh cookie of an idle session stays as it is until then.
    ///
    /// An encrypted cookie is longer by a third and about 150 bytes. Services that verify tokens by a public key cannot
    /// read an encrypted cookie. See the [guide](crate::guide::encrypted_cookies).
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

    /// A former cookie that must be removed, after a change of names, paths or domains. The cookie is removed at a
    /// sign-in, at a renewal, at a sign-out, and when a request has two values for one cookie name. `name`, `path` and
    /// `domain` must be those with which the cookie was set. Otherwise, a browser does not remove the cookie.
    pub fn former(mut self, name: impl Into<String>, path: impl Into<String>, domain: Option<&str>) -> Self {
        let (name, path, domain) = (name.into(), path.into(), domain.map(str::to_owned));
        self.cookies.former.push(FormerCookie { name, path, domain });
        self
    }

    /// For development without HTTPS: cookies without `Secure`. Their names are `access` and `refresh`, unless you set
    /// other names. Chromium and Firefox accept `Secure` cookies from `http://localhost`, so try without this setting
    /// first.
    ///
    /// # Security
    /// Everyone on the network can read the cookies, and so use the session. Requests for other hosts than localhost
    /// are rejected.
    pub fn insecure_plain_http(mut self) -> Self {
        self.plain_http = true;
        self
    }

    /// Trusts another origin: it may send requests with unsafe methods. Write the origin as browsers send it. For a
    /// site: `https://app.example.com`. For a shell or a browser extension: `tauri://localhost`,
    /// `capacitor://localhost`, `chrome-extension://<id>`. Default: no other origin.
    #[doc(alias = "csrf")]
    #[doc(alias = "xsrf")]
    pub fn trusted_origin(mut self, origin: impl Into<String>) -> Self {
        self.trusted_origins.push(origin.into());
        self
    }

    /// Trusts another site, such as `https://partner.example`, whose pages show this application in a frame: the frame
    /// may renew its session when it opens. Default: no other site. A frame on another site is then served with a valid
    /// access token, and its session is not renewed.
    ///
    /// A navigation has no `Origin` header, so the `Referer` header decides. So the partner's pages must not suppress
    /// `Referer`. Later requests of the frame are same-origin. Cookies reach a frame on another site only with
    /// [`SameSite=None`](Self::dangerous_same_site_none).
    ///
    /// # Security
    /// This setting allows renewals, but no requests with unsafe methods. A page cannot send the `Referer` of another
    /// site.
    pub fn trusted_parent(mut self, origin: impl Into<String>) -> Self {
        self.trusted_parents.push(origin.into());
        self
    }
}
