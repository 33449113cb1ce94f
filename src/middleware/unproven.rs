//! Requests of a session that is bound to a device, without a valid access cookie. A browser gets that cookie by a
//! proof of the device's key.

use http::{HeaderValue, header};

use super::RejectionBody;
use crate::{
    cookie::{CookieValue, Cookies, scan},
    request::RequestHead,
};

/// Browsers send this header if they have a key for the session and could not refresh. Any client can send it, so it
/// only decides how the request is refused.
const SKIPPED: &str = "secure-session-skipped";

/// How to refuse a request without a proof.
pub(super) enum Unproven {
    /// The browser may have the key: it has to send the request again, after a proof. `removal` is a `Set-Cookie`
    /// header that deletes the access cookie.
    TryAgain { removal: Option<HeaderValue> },
    /// The browser does not have the key: it has lost the key, or its cookies are copies. So the user has to sign in.
    Anonymous,
}

/// Decides whether the browser may have the key.
///
/// A browser with a key refreshes before it visits a page, and then has the access cookie. If it cannot refresh, it
/// sends [`SKIPPED`]. So a page visit without the access cookie and without [`SKIPPED`] comes from a browser without a
/// key. There is one exception: if a link on another origin leads to the page, browsers do not refresh, and do not send
/// [`SKIPPED`]. Such a request is asked to try again: the page loads itself again, and for that visit browsers do
/// refresh.
///
/// An optional layer judges requests with an unsafe method in the same way, because one of them may sign the user in.
/// For other requests it is unknown whether browsers refresh before them, so they are asked to try again.
///
/// An invalid access cookie prevents a refresh by the browser, so the cookie is removed.
pub(super) fn judge(cookies: &Cookies, request: &RequestHead<'_>, optional: bool) -> Unproven {
    if scan(request.headers.get_all(header::COOKIE).iter(), cookies).0 != CookieValue::Absent {
        return Unproven::TryAgain { removal: cookies.access_removal() };
    }
    let is_judged = request.is_page_visit() || optional && !request.method.is_safe();
    if is_judged && !request.headers.contains_key(SKIPPED) && !comes_from_other_origin(request) {
        return Unproven::Anonymous;
    }
    Unproven::TryAgain { removal: None }
}

/// Whether a link on another site, or on another origin of this site, led to the page.
fn comes_from_other_origin(request: &RequestHead<'_>) -> bool {
    request.headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none")
}

/// How many seconds until the page is loaded again.
pub(super) fn retry_after(request: &RequestHead<'_>) -> HeaderValue {
    // Chromium signs at most 6 proofs in 9 minutes, so it must wait longer.
    let is_quota = |value: &HeaderValue| value.as_bytes().starts_with(b"quota_exceeded");
    let seconds = match request.headers.get(SKIPPED) {
        None if comes_from_other_origin(request) => "0",
        Some(reason) if is_quota(reason) => "30",
        _ => "1",
    };
    HeaderValue::from_static(seconds)
}

/// The page that a browser shows until it loads the requested page again.
pub(super) fn page() -> RejectionBody {
    RejectionBody::from(
        "<!doctype html><html lang=en><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width,initial-scale=1\">\
         <title>One moment</title><h1>One moment</h1><p>This page loads again by itself.</p>",
    )
}
