//! Names and attributes of the cookies.

use std::{
    borrow::Cow,
    sync::{Mutex, OnceLock, PoisonError},
};

/// Why the settings of the cookies are refused, with the wrong value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CookieError {
    /// The name is not a token (RFC 9110, section 5.6.2), is empty, or is longer than 64 characters.
    #[error("{0:?} cannot be a cookie's name: 1 to 64 characters of a token (RFC 9110, section 5.6.2)")]
    BadName(String),
    /// Two cookies have the same name.
    #[error("two cookies have the name {0:?}")]
    SameName(String),
    /// The path is not valid. A path starts with `/`, and has only visible ASCII characters except `;`.
    #[error("{0:?} cannot be a cookie's path")]
    BadPath(String),
    /// The domain is not a host name.
    #[error("{0:?} cannot be a cookie's domain")]
    BadDomain(String),
    /// The trusted origin or the trusted parent is not an origin.
    #[error(
        "{0:?} is not an origin as browsers send it: http:// or https:// with a lower-case host, or the scheme of a \
         shell or an extension with its host, a port unless it is the default, and no more"
    )]
    BadOrigin(String),
    /// A cookie with the prefix `__Host-` needs `Secure`, the path `/` and no domain (RFC 6265bis, section 4.1.3.2).
    /// Otherwise, browsers drop the cookie.
    #[error("{name:?} needs Secure, the path / and no domain (RFC 6265bis, section 4.1.3.2)")]
    HostPrefix {
        /// The cookie's name.
        name: String,
    },
    /// A cookie with the prefix `__Secure-` or `__Http-` needs `Secure` (RFC 6265bis, section 4.1.3.1). Otherwise,
    /// browsers drop the cookie.
    #[error("{name:?} needs Secure (RFC 6265bis, section 4.1.3.1)")]
    SecurePrefix {
        /// The cookie's name.
        name: String,
    },
    /// A cookie that scripts can read has the prefix `__Http-` or `__Host-Http-`. These prefixes are for cookies that
    /// scripts cannot read, so browsers drop the cookie.
    #[error("{name:?} cannot be read by scripts: its prefix is for HttpOnly cookies")]
    HttpPrefix {
        /// The cookie's name.
        name: String,
    },
    /// A former cookie has the name, path and domain of a present cookie. The removal of the former cookie would also
    /// remove the present cookie.
    #[error("the former cookie {name:?} has the name, path and domain of a present one")]
    FormerIsPresent {
        /// The cookie's name.
        name: String,
    },
    /// `SameSite=None` without `Secure`: browsers drop such a cookie.
    #[error("SameSite=None needs Secure")]
    NoneNeedsSecure,
    /// `Partitioned` without `Secure`: browsers drop such a cookie.
    #[error("Partitioned needs Secure")]
    PartitionedNeedsSecure,
}

/// The name, path and domain that a cookie had under former settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FormerCookie {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) domain: Option<String>,
}

/// The names of a realm's cookies.
pub(crate) type Names = &'static [String];

/// The names and attributes of the cookies. The builder [checks](Self::check) them.
#[derive(Clone, Debug)]
pub(crate) struct Cookies {
    pub(crate) access: Cow<'static, str>,
    pub(crate) refresh: Cow<'static, str>,
    /// The name of the cookie that scripts can read, if there is one.
    pub(crate) readable: Option<Cow<'static, str>>,
    pub(crate) path: Cow<'static, str>,
    pub(crate) domain: Option<String>,
    pub(crate) secure: bool,
    pub(crate) same_site: cookie::SameSite,
    pub(crate) partitioned: bool,
    /// Whether the tokens in the cookies are encrypted.
    #[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
    pub(crate) encrypted: bool,
    pub(crate) former: Vec<FormerCookie>,
    /// The text after the value of the access cookie and of the refresh cookie. Computed at the first use, because the
    /// settings are final then.
    pub(super) attributes: OnceLock<String>,
}

impl Default for Cookies {
    fn default() -> Self {
        Self {
            access: Cow::Borrowed("__Host-access"),
            refresh: Cow::Borrowed("__Host-refresh"),
            readable: None,
            path: Cow::Borrowed("/"),
            domain: None,
            secure: true,
            same_site: cookie::SameSite::Lax,
            partitioned: false,
            #[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
            encrypted: false,
            former: Vec::new(),
            attributes: OnceLock::new(),
        }
    }
}

impl Cookies {
    /// The names of the cookies. They live as long as the process, so that a response needs no reference count for
    /// them. The process has one copy of each set of names.
    pub(crate) fn names(&self) -> Names {
        static KNOWN: Mutex<Vec<Names>> = Mutex::new(Vec::new());
        let own: Vec<&str> =
            [&self.access, &self.refresh].into_iter().chain(&self.readable).map(Cow::as_ref).collect();
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(names) = known.iter().find(|names| names.iter().eq(&own)) {
            return names;
        }
        let names: Names = Box::leak(own.into_iter().map(str::to_owned).collect());
        known.push(names);
        names
    }

    pub(crate) fn check(self) -> Result<Self, CookieError> {
        for name in [&self.access, &self.refresh].into_iter().chain(&self.readable) {
            check_name(name)?;
            // Browsers ignore the case of these prefixes.
            let prefixed = |prefix: &str| {
                name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
            };
            let is_readable = self.readable.as_ref() == Some(name);
            if is_readable && (prefixed("__Http-") || prefixed("__Host-Http-")) {
                return Err(CookieError::HttpPrefix { name: name.to_string() });
            }
            if prefixed("__Host-") && (!self.secure || self.path != "/" || self.domain.is_some()) {
                return Err(CookieError::HostPrefix { name: name.to_string() });
            }
            if (prefixed("__Secure-") || prefixed("__Http-")) && !self.secure {
                return Err(CookieError::SecurePrefix { name: name.to_string() });
            }
        }
        if self.access == self.refresh || self.readable.as_ref() == Some(&self.access) {
            return Err(CookieError::SameName(self.access.into_owned()));
        }
        if self.readable.as_ref() == Some(&self.refresh) {
            return Err(CookieError::SameName(self.refresh.into_owned()));
        }
        check_place(&self.path, self.domain.as_deref())?;
        for former in &self.former {
            check_name(&former.name)?;
            check_place(&former.path, former.domain.as_deref())?;
            if self.has(former) {
                return Err(CookieError::FormerIsPresent { name: former.name.clone() });
            }
        }
        if self.same_site == cookie::SameSite::None && !self.secure {
            return Err(CookieError::NoneNeedsSecure);
        }
        if self.partitioned && !self.secure {
            return Err(CookieError::PartitionedNeedsSecure);
        }
        Ok(self)
    }

    /// Whether a browser takes a former cookie and a present cookie for the same cookie.
    fn has(&self, former: &FormerCookie) -> bool {
        let domain = |domain: Option<&str>| domain.map(str::to_ascii_lowercase);
        let mut names = [&self.access, &self.refresh].into_iter().chain(&self.readable);
        names.any(|name| *name == former.name)
            && self.path == former.path
            && domain(self.domain.as_deref()) == domain(former.domain.as_deref())
    }
}

fn check_name(name: &str) -> Result<(), CookieError> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if (1..=64).contains(&name.len()) && name.bytes().all(token) {
        Ok(())
    } else {
        Err(CookieError::BadName(name.to_owned()))
    }
}

fn check_place(path: &str, domain: Option<&str>) -> Result<(), CookieError> {
    let visible = |b: u8| b.is_ascii_graphic() && b != b';';
    if !path.starts_with('/') || !path.bytes().all(visible) {
        return Err(CookieError::BadPath(path.to_owned()));
    }
    match domain {
        Some(domain) if !is_host(domain) => Err(CookieError::BadDomain(domain.to_owned())),
        _ => Ok(()),
    }
}

fn is_host(domain: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    domain.len() <= 253 && domain.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn former(name: &str, domain: Option<&str>) -> FormerCookie {
        FormerCookie { name: name.to_owned(), path: "/".to_owned(), domain: domain.map(str::to_owned) }
    }

    #[test]
    fn what_browsers_would_drop_is_refused_at_build() {
        let default = Cookies::default;
        assert!(default().check().is_ok());
        for bad in [
            Cookies { secure: false, ..default() },
            Cookies { path: "/app".into(), ..default() },
            Cookies { domain: Some("example.com".into()), ..default() },
            Cookies { access: "__host-A".into(), path: "/app".into(), ..default() },
            Cookies { access: "__Secure-a".into(), refresh: "r".into(), secure: false, ..default() },
            Cookies { access: "a;b".into(), ..default() },
            Cookies { access: "a b".into(), ..default() },
            Cookies { access: "".into(), ..default() },
            Cookies { access: "same".into(), refresh: "same".into(), ..default() },
            Cookies {
                access: "a".into(),
                refresh: "r".into(),
                secure: false,
                partitioned: true,
                ..default()
            },
            Cookies { readable: Some("__Host-refresh".into()), ..default() },
            Cookies { readable: Some("me;".into()), ..default() },
            Cookies { readable: Some("__Host-Http-me".into()), ..default() },
            Cookies { readable: Some("__host-http-me".into()), ..default() },
            Cookies { readable: Some("__Http-me".into()), ..default() },
            Cookies { access: "__Http-a".into(), refresh: "r".into(), secure: false, ..default() },
            Cookies { former: vec![former("__Host-access", None)], ..default() },
            Cookies {
                access: "a".into(),
                refresh: "r".into(),
                domain: Some("example.com".into()),
                former: vec![former("r", Some("Example.com"))],
                ..default()
            },
            Cookies { access: "a".into(), refresh: "r".into(), path: "app".into(), ..default() },
            Cookies { access: "a".into(), refresh: "r".into(), path: "/a;b".into(), ..default() },
            Cookies { access: "a".into(), refresh: "r".into(), domain: Some("a b".into()), ..default() },
            Cookies {
                access: "a".into(),
                refresh: "r".into(),
                domain: Some("x;Max-Age=9".into()),
                ..default()
            },
        ] {
            assert!(bad.clone().check().is_err(), "{bad:?}");
        }
        let domain = Some("example.com".into());
        assert!(Cookies { access: "a".into(), refresh: "r".into(), domain, ..default() }.check().is_ok());
        let access = "__Host-Http-access".into();
        let readable = Some("__Host-me".into());
        let former = vec![former("__Host-Http-access", Some("example.com")), former("old", None)];
        assert!(Cookies { access, readable, former, ..default() }.check().is_ok());
    }
}
