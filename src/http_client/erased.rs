//! An HTTP client of any type, with limits.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use http::{Request, Response};

use super::{HttpClient, HttpClientError, ResponseLimit};
use crate::timer::within;

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
type Sent = Result<Response<Vec<u8>>, HttpClientError>;

trait Erased: Send + Sync {
    fn send_boxed(&self, request: Request<Vec<u8>>) -> BoxFuture<'_, Sent>;
}

impl<T: HttpClient> Erased for T {
    fn send_boxed(&self, request: Request<Vec<u8>>) -> BoxFuture<'_, Sent> {
        Box::pin(self.send(request))
    }
}

/// An HTTP client of any type. Limits the time and the size of each response.
#[derive(Clone)]
pub(crate) struct DynHttpClient(Arc<dyn Erased>);

impl DynHttpClient {
    pub(crate) fn new(client: impl HttpClient) -> Self {
        Self(Arc::new(client))
    }

    /// Sends a request, and waits at most `time` for the response. Fails if the body has more than `limit` bytes.
    pub(crate) async fn send(&self, mut request: Request<Vec<u8>>, limit: usize, time: Duration) -> Sent {
        request.extensions_mut().insert(ResponseLimit(limit));
        // If the runtime has no timers, only the client's own deadline applies.
        let sent = within(time, self.0.send_boxed(request)).await;
        let response = sent.ok_or(HttpClientError::TimedOut(time))??;
        if response.body().len() > limit { Err(HttpClientError::TooLong(limit)) } else { Ok(response) }
    }
}

impl fmt::Debug for DynHttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpClient")
    }
}
