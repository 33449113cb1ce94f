//! Requests of a session that is bound to a device, which came without the access cookie that a proof of the device's key
//! gives.

use http::{HeaderValue, header};

use super::RejectionBody;
use crate::{
    cookie::{CookieValue, Cookies, scan},
    request::RequestHead,
};

/// What browsers say if they have a key for the session, and could not refresh. Anyone can write it, so it only decides
/// between two ways to refuse.
const SKIPPED: &str = "secure-session-skipped";

/// How to refuse such a request.
pub(super) enum Unproven {
    /// The browser comes again with a proof. The line removes the access cookie.
    TryAgain { removal: Option<HeaderValue> },
    /// The browser has no key, so the user has to sign in: the cookies were copied, or the browser lost its key.
    Anonymous,
}

/// A browser that has a key refreshes before it visits a page, or says why not. It does neither for a link on another
/// site, but it does for the page that this one loads again.
///
/// In an optional layer the same is true of requests with an unsafe method, such as the one that signs the user in. Too
/// little is known about other requests, so they are asked to try again.
///
/// An access cookie that has become invalid keeps the browser from a refresh, so it is removed.
pub(super) fn judge(cookies: &Cookies, request: &RequestHead<'_>, optional: bool) -> Unproven {
    if scan(request.headers.get_all(header::COOKIE).iter(), cookies).0 != CookieValue::Absent {
        return Unproven::TryAgain { removal: cookies.access_removal() };
    }
    let is_judged = request.is_page_visit() || optional && !request.method.is_safe();
    if is_judged && !request.headers.contains_key(SKIPPED) && !comes_from_elsewhere(request) {
        return Unproven::Anonymous;
    }
    Unproven::TryAgain { removal: None }
}

/// Whether another site, or another origin of this site, led to the page.
fn comes_from_elsewhere(request: &RequestHead<'_>) -> bool {
    request.headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none")
}

/// How many seconds until the page is loaded again.
pub(super) fn retry_after(request: &RequestHead<'_>) -> HeaderValue {
    // Chromium signs 6 times in 9 minutes.
    let is_quota = |value: &HeaderValue| value.as_bytes().starts_with(b"quota_exceeded");
    let seconds = match request.headers.get(SKIPPED) {
        None if comes_from_elsewhere(request) => "0",
        Some(reason) if is_quota(reason) => "30",
        _ => "1",
    };
    HeaderValue::from_static(seconds)
}

/// The page that a browser loads again after a moment.
pub(super) fn page() -> RejectionBody {
    RejectionBody::from(
        "<!doctype html><html lang=en><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width,initial-scale=1\">\
         <title>One moment</title><h1>One moment</h1><p>This page loads again by itself.</p>",
    )
}
