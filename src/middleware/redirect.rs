use std::borrow::Cow;

use http::{HeaderValue, Method, Response, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Reject, Rejection, RejectionBody, RejectionKind};
use crate::request::RequestHead;

/// Redirects page visits without a session to the sign-in page. The query parameter `next` has the page that was
/// requested. Other requests (scripts, images, [frames](Self::frames_too)) get problem details.
///
/// The sign-in handler must check `next` with [`safe_next`].
#[derive(Clone, Debug)]
pub struct RedirectToLogin {
    page: Cow<'static, str>,
    frames: bool,
}

impl RedirectToLogin {
    /// Redirects to `page`, such as `/login`. It may have a query.
    pub fn new(page: impl Into<Cow<'static, str>>) -> Self {
        Self { page: page.into(), frames: false }
    }

    /// Also redirects frames (`iframe`, `frame`, `embed` and `object`). Default: only documents
    /// (`Sec-Fetch-Dest: document`), since a sign-in page in a frame invites clickjacking.
    #[must_use]
    pub fn frames_too(mut self) -> Self {
        self.frames = true;
        self
    }

    fn is_page_visit(&self, request: &RequestHead<'_>) -> bool {
        if !matches!(*request.method, Method::GET | Method::HEAD) {
            return false;
        }
        let value = |name| request.headers.get(name).map(HeaderValue::as_bytes);
        match (value("sec-fetch-mode"), value("sec-fetch-dest")) {
            (Some(b"navigate"), None | Some(b"document")) => true,
            (Some(b"navigate"), Some(b"iframe" | b"frame" | b"embed" | b"object")) => self.frames,
            (Some(_), _) => false,
            (None, _) => {
                let accept = value(header::ACCEPT.as_str()).unwrap_or_default();
                accept.windows(9).any(|part| part.eq_ignore_ascii_case(b"text/html"))
            }
        }
    }

    fn location(&self, request: &RequestHead<'_>) -> Option<HeaderValue> {
        let separator = if self.page.contains('?') { '&' } else { '?' };
        let next = utf8_percent_encode(original_target(request), ENCODED);
        HeaderValue::try_from(format!("{}{separator}next={next}", self.page)).ok()
    }
}

impl Reject for RedirectToLogin {
    fn reject(&self, rejection: Rejection, request: &RequestHead<'_>) -> Response<RejectionBody> {
        match (rejection.kind(), self.is_page_visit(request), self.location(request)) {
            (RejectionKind::Unauthenticated(_), true, Some(location)) => {
                let mut response = Response::new(RejectionBody::default());
                *response.status_mut() = StatusCode::SEE_OTHER;
                response.headers_mut().insert(header::LOCATION, location);
                response
            }
            _ => rejection.into_http(),
        }
    }
}

/// The page to visit after the sign-in: `next`, if it is a path on this site. None for anything that a browser
/// could take for another site.
#[must_use]
pub fn safe_next(next: &str) -> Option<&str> {
    // Browsers read `//host` and `/\host` as another host, and skip tabs and newlines.
    let elsewhere =
        next.starts_with("//") || next.contains('\\') || next.bytes().any(|b| b.is_ascii_control());
    (next.starts_with('/') && !elsewhere).then_some(next)
}

fn original_target<'r>(request: &RequestHead<'r>) -> &'r str {
    #[cfg(feature = "axum")]
    if let Some(axum::extract::OriginalUri(uri)) = request.extensions.get() {
        return uri.path_and_query().map_or("/", |target| target.as_str());
    }
    request.uri.path_and_query().map_or("/", |target| target.as_str())
}

/// All but the unreserved characters (RFC 3986, section 2.3) and `/`, which a query may contain.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_never_leads_off_site() {
        for safe in ["/", "/a/b?c=d&e=%2F", "/a//b"] {
            assert_eq!(safe_next(safe), Some(safe));
        }
        for unsafe_ in [
            "",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "evil",
            "/\t/evil.example",
            "/a\n",
        ] {
            assert_eq!(safe_next(unsafe_), None, "{unsafe_:?}");
        }
    }
}
