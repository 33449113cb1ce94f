//! Why a sign-in or sign-out through the provider failed, and the page about it.

use std::sync::OnceLock;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, StatusCode, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest as _, Sha256};

use crate::engine::forbid_caching;

/// Why a sign-in or sign-out through the provider failed, for the page that the user sees.
///
/// A problem contains no text from the provider. The event `oidc_failed` has the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// 400: this browser did not begin the sign-in, the sign-in was already used, the sign-in is older than 10 minutes,
    /// or a logout at the provider came first.
    UnknownAttempt,
    /// 403: the user cancelled at the provider, or the provider does not admit the user to this application.
    AccessDenied,
    /// 502: the provider sent an invalid response.
    InvalidResponse,
    /// 503: the provider is unavailable.
    ProviderUnavailable,
    /// 503: the session store, or another part of this application, did not answer.
    Unavailable,
    /// 403: the application refused the user, or the user has too many sessions.
    Refused,
    /// 403: another site sent the request.
    CrossSite,
    /// 500: an error of this application.
    Internal,
}

impl Problem {
    /// The name of the problem, such as `oidc_unknown_attempt`. Names do not change.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.answer().1
    }

    /// The status of the response.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        self.answer().0
    }

    const fn answer(self) -> (StatusCode, &'static str, &'static str, &'static str) {
        match self {
            Self::UnknownAttempt => (
                StatusCode::BAD_REQUEST,
                "oidc_unknown_attempt",
                "This sign-in is over",
                "It was already used, it began more than 10 minutes ago, or another browser began it.",
            ),
            Self::AccessDenied => (
                StatusCode::FORBIDDEN,
                "oidc_access_denied",
                "You are not signed in",
                "The sign-in was cancelled, or your account may not sign in here.",
            ),
            Self::InvalidResponse => (
                StatusCode::BAD_GATEWAY,
                "oidc_invalid_response",
                "The sign-in failed",
                "The answer of the sign-in service cannot be used.",
            ),
            Self::ProviderUnavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "oidc_provider_unavailable",
                "The sign-in service does not answer",
                "Try again in a moment.",
            ),
            Self::Unavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not now", "Try again in a moment.")
            }
            Self::Refused => (
                StatusCode::FORBIDDEN,
                "forbidden",
                "You may not sign in here",
                "Your account is known to the sign-in service, but not admitted here.",
            ),
            Self::CrossSite => (
                StatusCode::FORBIDDEN,
                "cross_site",
                "Not from another site",
                "Another site sent this request.",
            ),
            Self::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "The sign-in failed",
                "The cause was recorded.",
            ),
        }
    }

    /// The default page, with a link to `retry`. It is plain HTML without scripts.
    #[must_use]
    pub fn page(self, retry: &str) -> Response {
        let (status, code, title, text) = self.answer();
        let mut response = html(
            title,
            &format!(
                "<p>{text}</p><p><a href=\"{}\">Sign in</a></p><p><small>{code}</small></p>",
                escape(retry)
            ),
        );
        *response.status_mut() = status;
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        response
    }
}

/// The page without a link, for a sign-in hook that returns a `Problem` as its error.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, code, title, text) = self.answer();
        let mut response = html(title, &format!("<p>{text}</p><p><small>{code}</small></p>"));
        *response.status_mut() = status;
        response
    }
}

const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:15vh auto;padding:0 1rem;\
                     color:#1b1f24;background:#fff}small{color:#5b6470}";

/// A page of this module. `body` is HTML.
pub(super) fn html(title: &str, body: &str) -> Response {
    let page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width,initial-scale=1\">\
         <title>{title}</title><style>{STYLE}</style><h1>{title}</h1>{body}"
    );
    let mut response = Response::new(Body::from(page));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.extend(policy().map(|policy| (header::CONTENT_SECURITY_POLICY, policy)));
    finish(&mut response);
    response
}

/// A redirect with `GET`. The caller has checked the address.
pub(super) fn redirect(to: &str) -> Response {
    let mut response = Response::new(Body::empty());
    match HeaderValue::try_from(to) {
        Ok(location) => {
            *response.status_mut() = StatusCode::SEE_OTHER;
            response.headers_mut().insert(header::LOCATION, location);
        }
        Err(_) => return Problem::Internal.into_response(),
    }
    finish(&mut response);
    response
}

/// Keeps the response out of caches, and keeps its address out of the `Referer` of other requests.
pub(super) fn finish(response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    forbid_caching(headers);
}

/// The content security policy of a page: no scripts, and only the style of the page.
fn policy() -> Option<HeaderValue> {
    static POLICY: OnceLock<Option<HeaderValue>> = OnceLock::new();
    let policy = POLICY.get_or_init(|| {
        let hash = STANDARD.encode(Sha256::digest(STYLE));
        let text = format!(
            "default-src 'none'; style-src 'sha256-{hash}'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
        );
        HeaderValue::try_from(text).ok()
    });
    policy.clone()
}

/// Escapes text for HTML, also for an attribute with double quotes.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The address of the sign-in that leads to `next`.
pub(super) fn with_next(path: &str, next: &str) -> String {
    format!("{path}?next={}", utf8_percent_encode(next, NON_ALPHANUMERIC))
}
