use std::borrow::Cow;

use http::{HeaderValue, Response, StatusCode, header};
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
    /// Redirects to `page`, such as `/login`. `page` may have a query.
    pub fn new(page: impl Into<Cow<'static, str>>) -> Self {
        Self { page: page.into(), frames: false }
    }

    /// Also redirects frames (`iframe`, `frame`, `embed` and `object`). Default: only documents
    /// (`Sec-Fetch-Dest: document`), because a sign-in page in a frame allows clickjacking.
    #[must_use]
    pub fn frames_too(mut self) -> Self {
        self.frames = true;
        self
    }
}

impl Reject for RedirectToLogin {
    fn reject(&self, rejection: Rejection, request: &RequestHead<'_>) -> Response<RejectionBody> {
        let may_redirect = matches!(rejection.kind(), RejectionKind::Unauthenticated(_))
            && (request.is_page_visit() || self.frames && request.is_frame_visit());
        redirect_if(may_redirect, &self.page, rejection, request)
    }
}

/// Redirects page visits to the page that asks for the password or a second factor again, where the session needs
/// a [re-authentication](crate::Session::reauthenticate). The query parameter `next` has the page that was requested.
/// Other requests get problem details (403). For [`Require`](super::Require):
///
/// ```
/// # use std::time::Duration;
/// # use tower_sliding_sessions::{RedirectToReauthentication, Sessions};
/// # fn layers(sessions: Sessions) {
/// let recent = sessions
///     .require()
///     .authenticated_within(Duration::from_secs(5 * 60))
///     .with_reject(RedirectToReauthentication::new("/confirm"));
/// # }
/// ```
///
/// A form that is sent too late gets 403 and no redirect, because a redirect would lose the form's data. So require the
/// re-authentication also for the page that shows the form. The handler of `page` must check `next` with [`safe_next`].
#[doc(alias = "step-up")]
#[doc(alias = "sudo")]
#[derive(Clone, Debug)]
pub struct RedirectToReauthentication {
    page: Cow<'static, str>,
}

impl RedirectToReauthentication {
    /// Redirects to `page`, such as `/confirm`. `page` may have a query.
    pub fn new(page: impl Into<Cow<'static, str>>) -> Self {
        Self { page: page.into() }
    }
}

impl Reject for RedirectToReauthentication {
    fn reject(&self, rejection: Rejection, request: &RequestHead<'_>) -> Response<RejectionBody> {
        let must_authenticate = matches!(
            rejection.kind(),
            RejectionKind::ReauthenticationRequired | RejectionKind::MethodRequired
        );
        redirect_if(must_authenticate && request.is_page_visit(), &self.page, rejection, request)
    }
}

/// If `condition` is true, redirects to `page`, with the requested page in `next`. Otherwise answers with problem
/// details.
fn redirect_if(
    condition: bool,
    page: &str,
    rejection: Rejection,
    request: &RequestHead<'_>,
) -> Response<RejectionBody> {
    let separator = if page.contains('?') { '&' } else { '?' };
    let next = utf8_percent_encode(request.return_path(), ENCODED);
    match HeaderValue::try_from(format!("{page}{separator}next={next}")) {
        Ok(location) if condition => {
            let mut response = Response::new(RejectionBody::default());
            *response.status_mut() = StatusCode::SEE_OTHER;
            response.headers_mut().insert(header::LOCATION, location);
            response
        }
        _ => rejection.into_http(),
    }
}

/// Returns `next` if it is a path on this site, so that a sign-in handler can redirect there. Returns `None` if a
/// browser could take `next` for an address on another site.
#[must_use]
pub fn safe_next(next: &str) -> Option<&str> {
    // Browsers read `//host` and `/\host` as another host, and skip tabs and newlines.
    let may_leave_site =
        next.starts_with("//") || next.contains('\\') || next.bytes().any(|b| b.is_ascii_control());
    (next.starts_with('/') && !may_leave_site).then_some(next)
}

/// Encodes all characters except the unreserved ones (RFC 3986, section 2.3) and `/`, which a query may contain.
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
