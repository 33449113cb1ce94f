//! The renewal of tokens at a token endpoint (RFC 6749, section 6).

use std::{fmt, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

use super::{
    error::RefreshError,
    secret::Secret,
    tokens::{Response, TokenSet},
};
use crate::{
    http_client::{DynHttpClient, HttpClient},
    time::{Clock, SystemClock},
};

/// The characters that are percent-encoded in a form: all except letters, digits, `-`, `.`, `_` and `~`.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The longest answer, in bytes.
const LONGEST: usize = 256 * 1024;

/// Renews tokens at a provider's token endpoint, with a refresh token (RFC 6749, section 6).
///
/// ```
/// # #[cfg(feature = "reqwest")]
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use tower_sliding_sessions::{ReqwestClient, vault::{Provider, TokenEndpoint}};
///
/// let endpoint = TokenEndpoint::new("https://oauth2.googleapis.com/token".parse()?, ReqwestClient::new()?)
///     .client("client-id", Some("client-secret"));
/// let google = Provider::new("google").renew(move |tokens| endpoint.clone().renew(tokens));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct TokenEndpoint {
    uri: Uri,
    http: DynHttpClient,
    client_id: String,
    client_secret: Option<Secret>,
    secret_in_body: bool,
    clock: Arc<dyn Clock>,
}

impl TokenEndpoint {
    /// The endpoint at the address `uri`. The client `http` sends the requests. The address must begin with `https:`,
    /// unless its host is `localhost`, `127.0.0.1` or `[::1]`.
    pub fn new(uri: Uri, http: impl HttpClient) -> Self {
        let http = DynHttpClient::new(http);
        let clock = Arc::new(SystemClock);
        Self { uri, http, client_id: String::new(), client_secret: None, secret_in_body: false, clock }
    }

    /// Sets the application's client ID and client secret at the provider.
    #[must_use]
    pub fn client(self, id: &str, secret: Option<&str>) -> Self {
        Self { client_id: id.to_owned(), client_secret: secret.map(Secret::new), ..self }
    }

    /// Sends the client secret in the body (`client_secret_post`). The default is the `Authorization` header
    /// (`client_secret_basic`), which some providers do not accept.
    #[must_use]
    pub fn secret_in_body(self) -> Self {
        Self { secret_in_body: true, ..self }
    }

    /// Sets the clock from which the lifetime of new access tokens counts. Default: the system's clock.
    #[must_use]
    pub fn clock(self, clock: impl Clock) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }

    /// Asks the provider for new tokens. The vault limits the time of this call.
    ///
    /// # Errors
    /// - [`RefreshError::Refused`] if there is no refresh token, or if the provider answers `invalid_grant` or GitHub's
    ///   `bad_refresh_token`.
    /// - [`RefreshError::Failed`] if the provider answers anything else that is not new tokens, if there is no answer,
    ///   or if the address must begin with `https:` and does not.
    pub async fn renew(self, tokens: TokenSet) -> Result<TokenSet, RefreshError> {
        /// The vault's deadline is at most this long.
        const DEADLINE: Duration = Duration::from_secs(300);
        let refresh_token = tokens.refresh_token().ok_or(RefreshError::Refused)?;
        let is_here = matches!(self.uri.host(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if self.uri.scheme_str() != Some("https") && !is_here {
            return Err(RefreshError::failed("the token endpoint is not at an https address"));
        }
        let request = self.request(refresh_token).map_err(RefreshError::failed)?;
        let response = self.http.send(request, LONGEST, DEADLINE).await.map_err(RefreshError::failed)?;
        let (head, body) = response.into_parts();
        let body = Zeroizing::new(body);
        let answer: Option<Response> = serde_json::from_slice(&body).ok();
        let error = answer.as_ref().and_then(|answer| answer.error.as_deref());
        if matches!(error, Some("invalid_grant" | "bad_refresh_token")) {
            return Err(RefreshError::Refused);
        }
        let failed = Answer { status: head.status, error: error.map(code) };
        if head.status != StatusCode::OK || failed.error.is_some() {
            return Err(RefreshError::failed(failed));
        }
        let tokens = answer.and_then(|answer| answer.tokens(self.clock.now()));
        tokens.ok_or_else(|| RefreshError::failed("the answer has no access token"))
    }

    fn request(&self, refresh_token: &str) -> Result<Request<Vec<u8>>, http::Error> {
        let form = |text: &str| Zeroizing::new(utf8_percent_encode(text, FORM).to_string());
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(self.uri.clone())
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let mut body = format!("grant_type=refresh_token&refresh_token={}", *form(refresh_token));
        match &self.client_secret {
            Some(secret) if !self.secret_in_body => {
                let pair = Zeroizing::new(format!("{}:{}", *form(&self.client_id), *form(secret.expose())));
                let basic = Zeroizing::new(format!("Basic {}", STANDARD.encode(&*pair)));
                let mut basic = HeaderValue::from_str(&basic)?;
                basic.set_sensitive(true);
                request = request.header(header::AUTHORIZATION, basic);
            }
            secret => {
                body.push_str(&format!("&client_id={}", *form(&self.client_id)));
                if let Some(secret) = secret {
                    body.push_str(&format!("&client_secret={}", *form(secret.expose())));
                }
            }
        }
        request.body(body.into_bytes())
    }
}

impl fmt::Debug for TokenEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenEndpoint").field("uri", &self.uri).finish_non_exhaustive()
    }
}

/// The provider's error code. Keeps only ASCII letters, digits and `_`, and at most 40 characters.
fn code(error: &str) -> String {
    error.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(40).collect()
}

#[derive(Debug)]
struct Answer {
    status: StatusCode,
    error: Option<String>,
}

impl std::error::Error for Answer {}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the provider answered {}", self.status.as_u16())?;
        self.error.iter().try_for_each(|error| write!(f, " with the error {error}"))
    }
}
