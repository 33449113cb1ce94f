//! The HTTP client for requests to other services: the application's own client, or `reqwest`.

use std::{error::Error, sync::Arc, time::Duration};

use http::{Request, Response};

#[cfg(any(feature = "oidc", feature = "vault", feature = "verify"))]
mod erased;
#[cfg(feature = "reqwest")]
mod reqwest;

#[cfg(any(feature = "oidc", feature = "vault", feature = "verify"))]
pub(crate) use self::erased::DynHttpClient;
#[cfg(feature = "reqwest")]
pub use self::reqwest::ReqwestClient;

/// Sends HTTP requests. Use `ReqwestClient` (feature `reqwest`), or implement this trait for the application's own
/// client.
///
/// The crate limits the time of each request. When this time is over, the crate drops the future. The crate refuses a
/// response body that is longer than the [`ResponseLimit`] in the extensions of the request. A client should stop
/// reading at this length, to save memory.
///
/// A client must not follow redirects, because the operator chose each address. A client must verify certificates, and
/// should keep no cookies.
pub trait HttpClient: Send + Sync + 'static {
    /// Sends a request, and reads the whole response. A response with any status is a success.
    fn send(
        &self,
        request: Request<Vec<u8>>,
    ) -> impl Future<Output = Result<Response<Vec<u8>>, HttpClientError>> + Send;
}

/// The maximum length of a response body, in bytes. Each request has this limit in its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseLimit(pub usize);

/// Why there is no response.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpClientError {
    /// The client failed. The source is the cause.
    #[error("the HTTP request failed")]
    Failed(#[source] Arc<dyn Error + Send + Sync>),
    /// The whole response did not arrive within this time.
    #[error("there was no response within {0:?}")]
    TimedOut(Duration),
    /// The body of the response is longer than this many bytes.
    #[error("the response is longer than {0} bytes")]
    TooLong(usize),
}

impl HttpClientError {
    /// An error of the application's client.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed(error.into().into())
    }
}
