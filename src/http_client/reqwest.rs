//! An HTTP client that uses `reqwest` with rustls.

use http::{Request, Response};
use reqwest::{Client, redirect::Policy};

use super::{HttpClient, HttpClientError, ResponseLimit};

/// An HTTP client that uses `reqwest` with rustls and the certificates of the operating system. It follows no
/// redirects.
#[derive(Clone, Debug)]
pub struct ReqwestClient(Client);

impl ReqwestClient {
    /// A client that follows no redirects, uses no proxy and keeps no cookies.
    ///
    /// # Errors
    /// [`HttpClientError::Failed`] if TLS cannot be set up.
    pub fn new() -> Result<Self, HttpClientError> {
        let client = Client::builder().redirect(Policy::none()).no_proxy().referer(false);
        client.build().map(Self).map_err(HttpClientError::new)
    }
}

/// Uses the application's own client, for example with the certificate of a private authority. Build the client with
/// `redirect(Policy::none())`.
impl From<Client> for ReqwestClient {
    fn from(client: Client) -> Self {
        Self(client)
    }
}

impl HttpClient for ReqwestClient {
    async fn send(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, HttpClientError> {
        let limit = request.extensions().get().map_or(usize::MAX, |ResponseLimit(limit)| *limit);
        let request = reqwest::Request::try_from(request).map_err(HttpClientError::new)?;
        let mut answer = self.0.execute(request).await.map_err(HttpClientError::new)?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(HttpClientError::new)? {
            if chunk.len() > limit.saturating_sub(body.len()) {
                return Err(HttpClientError::TooLong(limit));
            }
            body.extend_from_slice(&chunk);
        }
        let mut response = Response::new(body);
        *response.status_mut() = answer.status();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(response)
    }
}
