//! The responses to requests that a layer rejects.

use std::sync::Arc;

use http::{HeaderValue, Method, Response, header};

use super::{
    IntoRejectionResponse, Rejection, RejectionBody, RejectionKind, rejection::add_to_rejection, unproven,
};
use crate::request::RequestHead;

/// Writes the response to a request that a layer rejects: [`ProblemJson`], [`RedirectToLogin`], or a
/// closure by [`SessionLayer::with_rejection`].
///
/// The layer itself writes the response in two cases:
///
/// - An `EventSource` at [`Unavailable`](RejectionKind::Unavailable) or
///   [`DeviceProofRequired`](RejectionKind::DeviceProofRequired) gets an event stream that ends at once. The browser
///   then connects again.
/// - A page visit at `DeviceProofRequired` gets a page that loads again.
///
/// The layer adds `Cache-Control: no-store` to the response, and the [`Rejection`] as an extension.
///
/// [`RedirectToLogin`]: super::RedirectToLogin
/// [`SessionLayer::with_rejection`]: super::SessionLayer::with_rejection
pub trait Reject {
    /// The response to `request`.
    fn reject(&self, rejection: Rejection, request: &RequestHead<'_>) -> Response<RejectionBody>;
}

impl<R: Reject + ?Sized> Reject for Arc<R> {
    fn reject(&self, rejection: Rejection, request: &RequestHead<'_>) -> Response<RejectionBody> {
        (**self).reject(rejection, request)
    }
}

/// A closure that writes the responses.
impl<F, A> Reject for F
where
    F: Fn(Rejection, &RequestHead<'_>) -> A,
    A: IntoRejectionResponse,
{
    fn reject(&self, rejection: Rejection, request: &RequestHead<'_>) -> Response<RejectionBody> {
        self(rejection, request).into_rejection_response()
    }
}

/// Problem details as JSON (RFC 9457). The default.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProblemJson;

impl Reject for ProblemJson {
    fn reject(&self, rejection: Rejection, _: &RequestHead<'_>) -> Response<RejectionBody> {
        rejection.into_http()
    }
}

/// The response to a request that a layer rejects.
pub(super) fn respond(
    reject: &impl Reject,
    request: &RequestHead<'_>,
    rejection: Rejection,
) -> Response<RejectionBody> {
    let response = match rejection.kind() {
        // An `EventSource` connects again only if the answer is an event stream.
        RejectionKind::Unavailable | RejectionKind::DeviceProofRequired if wants_event_stream(request) => {
            event_stream_that_ends()
        }
        RejectionKind::DeviceProofRequired if request.is_page_visit() => {
            page_that_loads_again(rejection, request)
        }
        _ => reject.reject(rejection, request),
    };
    add_to_rejection(rejection, response)
}

fn wants_event_stream(request: &RequestHead<'_>) -> bool {
    let mut types =
        request.headers.get_all(header::ACCEPT).iter().flat_map(|line| line.as_bytes().split(|b| *b == b','));
    let is_stream = |kind: &[u8]| {
        let kind = kind.split(|b| *b == b';').next().unwrap_or_default();
        kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
    };
    request.method == Method::GET && types.any(is_stream)
}

/// A page that the browser loads again after some seconds. By then it may have proven the device's key.
fn page_that_loads_again(rejection: Rejection, request: &RequestHead<'_>) -> Response<RejectionBody> {
    let mut response = Response::new(unproven::page());
    *response.status_mut() = rejection.status();
    let (headers, seconds) = (response.headers_mut(), unproven::retry_after(request));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    );
    headers.insert(header::REFRESH, seconds.clone());
    headers.insert(header::RETRY_AFTER, seconds);
    response
}

/// An event stream that ends at once. The browser connects again after `retry` milliseconds (HTML, section 9.2).
fn event_stream_that_ends() -> Response<RejectionBody> {
    let mut response = Response::new(RejectionBody::from("retry: 3000\n\n"));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}
