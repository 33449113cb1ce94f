//! Cross-site request forgery (CSRF) protection: decides by the headers that browsers send whether a request may use a
//! session.
//!
//! The decisions are those of Go 1.25's `CrossOriginProtection` and of tower-http's `csrf`. A test compares this module
//! with `csrf`. There are three exceptions: a request with a repeated header is refused, a WebSocket handshake counts
//! as unsafe, and unknown methods count as unsafe.

use std::{collections::HashSet, net::IpAddr, sync::Arc};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Uri,
    header::{self, AsHeaderName},
    uri::Authority,
};

/// The headers of Fetch Metadata, and the headers of prefetches.
static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
static SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
static SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
static SEC_PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");
static PURPOSE: HeaderName = HeaderName::from_static("purpose");
static SERVICE_WORKER: HeaderName = HeaderName::from_static("service-worker");

/// Schemes of origins that cannot be trusted: browsers send these origins as `null`, or never send them.
const NEVER_SENT: [&str; 11] =
    ["about", "blob", "data", "file", "filesystem", "ftp", "javascript", "mailto", "ws", "wss", "null"];

/// Other origins that the application trusts, exactly as browsers write them. `senders` may send unsafe requests. The
/// pages of `parents` may show frames that renew.
#[derive(Clone, Debug, Default)]
pub(crate) struct TrustedOrigins {
    senders: Arc<HashSet<String>>,
    parents: Arc<HashSet<String>>,
}

impl TrustedOrigins {
    /// Each string must be [an origin](is_origin).
    pub(crate) fn new(senders: Vec<String>, parents: Vec<String>) -> Self {
        let set = |origins: Vec<String>| Arc::new(origins.into_iter().collect());
        Self { senders: set(senders), parents: set(parents) }
    }

    /// Whether the request loads a frame in a page of a trusted parent, by the request's `Referer`. The caller checks
    /// that it loads a frame.
    fn is_frame_of_parent(&self, headers: &HeaderMap) -> bool {
        if self.parents.is_empty() {
            return false;
        }
        let Ok(Some(referrer)) = only(headers, header::REFERER) else { return false };
        str::from_utf8(referrer).is_ok_and(|referrer| {
            let Some((scheme, rest)) = referrer.split_once("://") else { return false };
            let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
            self.parents.contains(&format!("{scheme}://{host}"))
        })
    }

    fn has(&self, origin: Option<&[u8]>) -> bool {
        origin
            .and_then(|origin| str::from_utf8(origin).ok())
            .is_some_and(|origin| self.senders.contains(origin))
    }
}

/// Whether `origin` is an origin as browsers send it.
pub(crate) fn is_origin(origin: &str) -> bool {
    let Some((scheme, host)) = origin.split_once("://") else { return false };
    match scheme {
        "http" | "https" => {
            let uri = origin.parse::<Uri>();
            let Some(authority) = uri.as_ref().ok().and_then(Uri::authority) else { return false };
            let default_port = if scheme == "https" { 443 } else { 80 };
            authority.as_str() == host
                && !host.ends_with(':')
                // A pattern such as `*` is refused, because it would never match.
                && host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_:[]".contains(&b))
                && authority.port_u16() != Some(default_port)
        }
        // Browsers do not change the host of other schemes.
        other => {
            let mut bytes = other.bytes();
            bytes.next().is_some_and(|b| b.is_ascii_lowercase())
                && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b))
                && !NEVER_SENT.contains(&other)
                && !host.is_empty()
                && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
        }
    }
}

/// Whether the CSRF protection allows a request to use the cookies that it carries.
#[inline]
pub(crate) fn is_allowed(method: &Method, uri: &Uri, headers: &HeaderMap, trusted: &TrustedOrigins) -> bool {
    if is_safe(method, headers) {
        return true;
    }
    let (Ok(site), Ok(origin)) = (only(headers, &SEC_FETCH_SITE), only(headers, header::ORIGIN)) else {
        return false;
    };
    match site {
        Some(b"same-origin" | b"none") => true,
        Some(_) => trusted.has(origin),
        None => match origin {
            None => true,
            Some(origin) => is_own(origin, uri, headers) || trusted.has(Some(origin)),
        },
    }
}

/// Whether a request may renew its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RenewalPermission {
    Granted,
    /// The request is a prefetch. If the user visits the page, the browser sends another request.
    RefusedAsPrefetch,
    /// The request is cross-site, or a preflight, or has two `Sec-Fetch-Site` headers.
    RefusedAsCrossSite,
}

/// Decides whether a request may renew. Prefetches, scripts of service workers and preflights do not renew. A
/// cross-site request renews only if it is a navigation by a link, loads a frame of a trusted parent, or comes from a
/// trusted origin.
pub(crate) fn renewal_permission(
    method: &Method,
    headers: &HeaderMap,
    trusted: &TrustedOrigins,
) -> RenewalPermission {
    let is = |name, value: &[u8]| headers.get(name).is_some_and(|given| given.as_bytes() == value);
    let prefetches = headers.get(&SEC_PURPOSE).is_some_and(|given| given.as_bytes().starts_with(b"prefetch"));
    if prefetches || is(&PURPOSE, b"prefetch") || is(&SERVICE_WORKER, b"script") {
        return RenewalPermission::RefusedAsPrefetch;
    }
    if method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
        return RenewalPermission::RefusedAsCrossSite;
    }
    let navigates = is(&SEC_FETCH_MODE, b"navigate")
        && (is(&SEC_FETCH_DEST, b"document")
            || (is(&SEC_FETCH_DEST, b"iframe") && trusted.is_frame_of_parent(headers)));
    match only(headers, &SEC_FETCH_SITE) {
        Ok(Some(b"cross-site"))
            if !navigates && !matches!(only(headers, header::ORIGIN), Ok(origin) if trusted.has(origin)) =>
        {
            RenewalPermission::RefusedAsCrossSite
        }
        Ok(_) => RenewalPermission::Granted,
        Err(Twice) => RenewalPermission::RefusedAsCrossSite,
    }
}

fn is_safe(method: &Method, headers: &HeaderMap) -> bool {
    // RFC 6455, section 10.2: a WebSocket handshake is a GET, and no other check comes before the socket opens. So a
    // handshake does not count as safe.
    let handshake =
        headers.get(header::UPGRADE).is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"));
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) && !handshake
}

/// Whether the host of `origin` is the host of the request: the host in the target, if the target has one (RFC 9112,
/// section 3.2.2, and HTTP/2), or else the `Host` header.
fn is_own(origin: &[u8], uri: &Uri, headers: &HeaderMap) -> bool {
    let Ok(origin) = Uri::try_from(origin) else { return false };
    if !matches!(origin.scheme_str(), Some("http" | "https")) {
        return false;
    }
    let host = host(uri, headers);
    host.is_some() && origin.authority().map(|authority| authority.as_str().as_bytes()) == host
}

fn host<'r>(uri: &'r Uri, headers: &'r HeaderMap) -> Option<&'r [u8]> {
    match uri.authority() {
        Some(authority) => Some(authority.as_str().as_bytes()),
        None => only(headers, header::HOST).ok().flatten(),
    }
}

/// The description of a refused request, for the log: its method, its host, its origin and its `Sec-Fetch-Site`. This
/// shows a proxy that rewrites `Host`.
pub(crate) fn describe(method: &Method, uri: &Uri, headers: &HeaderMap) -> String {
    let show = |value: Option<&[u8]>| match value {
        Some(value) => format!("{:?}", String::from_utf8_lossy(value.get(..128).unwrap_or(value))),
        None => "none".to_owned(),
    };
    let header = |name: HeaderName| show(headers.get(name).map(HeaderValue::as_bytes));
    let method = method.as_str();
    format!(
        "method {} host {} origin {} sec-fetch-site {}",
        method.get(..16).unwrap_or(method),
        show(host(uri, headers)),
        header(header::ORIGIN),
        header(SEC_FETCH_SITE.clone()),
    )
}

/// The host of the request, if the request comes from a page of this site that was loaded over plain HTTP from another
/// machine. There, a browser neither keeps nor sends `Secure` cookies.
pub(crate) fn plain_http_host(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let origin = only(headers, header::ORIGIN).ok().flatten()?;
    let own =
        origin.starts_with(b"http://") && is_own(origin, uri, headers) && !is_for_loopback(uri, headers);
    own.then(|| host(uri, headers).map(|host| String::from_utf8_lossy(host).into_owned())).flatten()
}

/// Whether a request is for this machine (localhost).
pub(crate) fn is_for_loopback(uri: &Uri, headers: &HeaderMap) -> bool {
    let authority = host(uri, headers).and_then(|host| Authority::try_from(host).ok());
    authority.is_some_and(|authority| is_loopback(authority.host()))
}

/// Whether a host is this machine (localhost).
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let named = host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost");
    named || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The request has several headers of one name.
struct Twice;

/// The value of a header that comes at most once. `None` if there is no such header, or if its value is empty.
fn only(headers: &HeaderMap, name: impl AsHeaderName) -> Result<Option<&[u8]>, Twice> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(Twice),
        (value, None) => Ok(value.map(|value| value.as_bytes()).filter(|value| !value.is_empty())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().expect("a header value"));
        }
        headers
    }

    #[test]
    fn trusted_origins_are_written_as_browsers_send_them() {
        for good in [
            "https://app.example.com",
            "http://localhost:5173",
            "https://xn--exmple-cua.com",
            "tauri://localhost",
            "capacitor://localhost",
            "ionic://localhost",
            "app://desktop",
            "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
            "moz-extension://7d5b0f1e-1f4b-4c7e-9a53-2d6b1d3c0a11",
            "safari-web-extension://7D5B0F1E-1F4B-4C7E-9A53-2D6B1D3C0A11",
        ] {
            assert!(is_origin(good), "{good}");
        }
        for bad in [
            "https://example.com/",
            "https://example.com/path",
            "https://example.com?q",
            "example.com",
            "null",
            "https://example.com:443",
            "http://example.com:80",
            "https://Example.com",
            "ftp://example.com",
            "file://",
            "file://host",
            "null://",
            "tauri://",
            "tauri://localhost/",
            "chrome-extension://*",
            "Tauri://localhost",
            "1app://localhost",
            "wss://example.com",
            "",
            "https://",
            "https://user@example.com",
            "https://example.com:",
            "https://exämple.com",
            "https://*.example.com",
        ] {
            assert!(!is_origin(bad), "{bad}");
        }
    }

    #[test]
    fn a_websocket_handshake_from_elsewhere_is_refused() {
        let allowed = |pairs| {
            is_allowed(&Method::GET, &Uri::from_static("/ws"), &headers(pairs), &TrustedOrigins::default())
        };
        assert!(allowed(&[("upgrade", "websocket"), ("host", "a.example"), ("origin", "https://a.example")]));
        assert!(!allowed(&[
            ("upgrade", "WebSocket"),
            ("host", "a.example"),
            ("origin", "https://b.example")
        ]));
        assert!(!allowed(&[("upgrade", "websocket"), ("sec-fetch-site", "cross-site")]));
    }

    #[test]
    fn a_header_that_comes_twice_is_refused() {
        let post = |pairs| {
            is_allowed(&Method::POST, &Uri::from_static("/"), &headers(pairs), &TrustedOrigins::default())
        };
        assert!(post(&[("sec-fetch-site", "same-origin")]));
        assert!(!post(&[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "same-origin")]));
        assert!(!post(&[
            ("origin", "https://a.example"),
            ("origin", "https://a.example"),
            ("host", "a.example")
        ]));
    }

    #[test]
    fn prefetches_service_worker_scripts_and_cross_site_requests_do_not_renew() {
        let permission =
            |pairs| renewal_permission(&Method::GET, &headers(pairs), &TrustedOrigins::default());
        assert_eq!(permission(&[]), RenewalPermission::Granted);
        assert_eq!(permission(&[("sec-fetch-site", "same-site")]), RenewalPermission::Granted);
        assert_eq!(
            permission(&[("sec-purpose", "prefetch;prerender")]),
            RenewalPermission::RefusedAsPrefetch
        );
        assert_eq!(permission(&[("service-worker", "script")]), RenewalPermission::RefusedAsPrefetch);
        assert_eq!(
            permission(&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")]),
            RenewalPermission::RefusedAsCrossSite
        );
        let link = [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ];
        assert_eq!(permission(&link), RenewalPermission::Granted);
        let frame =
            [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
        assert_eq!(permission(&frame), RenewalPermission::RefusedAsCrossSite);
    }
}
