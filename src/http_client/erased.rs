//! A client of any type, with limits.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use http::{Request, Response};

use super::{HttpClient, HttpClientError, ResponseLimit};
use crate::timer::timer;

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

/// A client of any type. It limits the time and the size of each response.
#[derive(Clone)]
pub(crate) struct DynHttpClient(Arc<dyn Erased>);

impl DynHttpClient {
    pub(crate) fn new(client: impl HttpClient) -> Self {
        Self(Arc::new(client))
    }

    /// Sends a request, within `time`. The response has at most `limit` bytes.
    pub(crate) async fn send(&self, mut request: Request<Vec<u8>>, limit: usize, time: Duration) -> Sent {
        request.extensions_mut().insert(ResponseLimit(limit));
        let sent = self.0.send_boxed(request);
        // Without timers, the client's own deadline is all there is.
        let response = match timer(Duration::ZERO) {
            Some(_) => {
                let sent = tokio::time::timeout(time, sent).await;
                sent.map_err(|_| HttpClientError::TimedOut(time))??
            }
            None => sent.await?,
        };
        if response.body().len() > limit { Err(HttpClientError::TooLong(limit)) } else { Ok(response) }
    }
}

impl fmt::Debug for DynHttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpClient")
    }
}
