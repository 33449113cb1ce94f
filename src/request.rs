//! The part of a request that hooks see.

use std::fmt;

use http::{Extensions, HeaderMap, HeaderValue, Method, Request, Uri, header, request::Parts};

/// The head of a request, for hooks. `Debug` shows only the method and the path, because headers may have secrets.
#[derive(Clone, Copy)]
pub struct RequestHead<'r> {
    /// The method.
    pub method: &'r Method,
    /// The target of the request. In a nested axum router, it has no prefix.
    pub uri: &'r Uri,
    /// The headers.
    pub headers: &'r HeaderMap,
    /// The extensions, such as axum's `ConnectInfo`.
    pub extensions: &'r Extensions,
}

impl<'r> RequestHead<'r> {
    /// The head of `request`.
    pub fn of<B>(request: &'r Request<B>) -> Self {
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
        Self { method, uri, headers, extensions: request.extensions() }
    }

    /// The head of a request that was split into parts.
    #[must_use]
    pub fn of_parts(parts: &'r Parts) -> Self {
        let Parts { method, uri, headers, extensions, .. } = parts;
        Self { method, uri, headers, extensions }
    }

    /// The path and the query that the browser requested, even in a nested axum router. A sign-in page redirects the
    /// browser to this path, after [`safe_next`](crate::safe_next) has checked it.
    #[doc(alias = "next")]
    #[doc(alias = "return_to")]
    #[must_use]
    pub fn return_path(&self) -> &'r str {
        #[cfg(feature = "axum")]
        let uri = self.extensions.get().map_or(self.uri, |axum::extract::OriginalUri(uri)| uri);
        #[cfg(not(feature = "axum"))]
        let uri = self.uri;
        uri.path_and_query().map_or("/", |target| target.as_str())
    }

    /// Whether a browser requests a page for a tab: a `GET` or `HEAD` with `Sec-Fetch-Mode: navigate` and
    /// `Sec-Fetch-Dest: document`. A request for a frame does not count. If these headers are missing (browsers before
    /// 2023), `Accept` must have `text/html`.
    ///
    /// A page visit can be redirected to a page. Other requests need a status and JSON.
    #[must_use]
    pub fn is_page_visit(&self) -> bool {
        matches!(self.destination(), Some(None | Some(b"document")))
    }

    /// Whether a browser requests a page for a frame (`iframe`, `frame`, `embed` or `object`).
    pub(crate) fn is_frame_visit(&self) -> bool {
        matches!(self.destination(), Some(Some(b"iframe" | b"frame" | b"embed" | b"object")))
    }

    /// The `Sec-Fetch-Dest` of a navigation: `Some(None)` if the navigation has no such header. `None` if the request
    /// is not a navigation.
    fn destination(&self) -> Option<Option<&'r [u8]>> {
        let value = |name: &str| self.headers.get(name).map(HeaderValue::as_bytes);
        let is_navigation = match value("sec-fetch-mode") {
            Some(mode) => mode == b"navigate",
            None => {
                let accept = value(header::ACCEPT.as_str()).unwrap_or_default();
                accept.windows(9).any(|part| part.eq_ignore_ascii_case(b"text/html"))
            }
        };
        (is_navigation && matches!(*self.method, Method::GET | Method::HEAD)).then(|| value("sec-fetch-dest"))
    }
}

impl fmt::Debug for RequestHead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead")
            .field("method", self.method)
            .field("path", &self.uri.path())
            .finish_non_exhaustive()
    }
}
