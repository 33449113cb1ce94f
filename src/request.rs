//! The part of a request that hooks see.

use std::fmt;

use http::{Extensions, HeaderMap, HeaderValue, Method, Request, Uri, header, request::Parts};

/// The head of a request, for hooks. Its `Debug` shows the method and the path, since headers may have secrets.
#[derive(Clone, Copy)]
pub struct RequestHead<'r> {
    /// The method.
    pub method: &'r Method,
    /// The target. In a nested axum router, without the prefix.
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

    /// The head of a request that was taken apart.
    #[must_use]
    pub fn of_parts(parts: &'r Parts) -> Self {
        let Parts { method, uri, headers, extensions, .. } = parts;
        Self { method, uri, headers, extensions }
    }

    /// The path and the query that the browser asked for, also in a nested axum router. A sign-in page sends the
    /// browser back there, after [`safe_next`](crate::safe_next) has checked it.
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

    /// Whether a browser asks for a page to show in a tab: a `GET` or `HEAD` with `Sec-Fetch-Mode: navigate` and
    /// `Sec-Fetch-Dest: document`. A frame is none. Without these headers (browsers before 2023): whether `Accept`
    /// has `text/html`. Such a request can be redirected to a page; others want a status and JSON.
    #[must_use]
    pub fn is_page_visit(&self) -> bool {
        matches!(self.destination(), Some(None | Some(b"document")))
    }

    /// Whether a browser asks for a page to show in a frame (`iframe`, `frame`, `embed` or `object`).
    pub(crate) fn is_frame_visit(&self) -> bool {
        matches!(self.destination(), Some(Some(b"iframe" | b"frame" | b"embed" | b"object")))
    }

    /// `Sec-Fetch-Dest` of a navigation, if this is one.
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
