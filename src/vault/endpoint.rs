//! The renewal by a token endpoint of RFC 6749, section 6.

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

/// What a form leaves as it is.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The longest answer.
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
    /// The endpoint at this address, asked by this client. It must begin with `https:`, unless it is on this machine.
    pub fn new(uri: Uri, http: impl HttpClient) -> Self {
        let http = DynHttpClient::new(http);
        let clock = Arc::new(SystemClock);
        Self { uri, http, client_id: String::new(), client_secret: None, secret_in_body: false, clock }
    }

    /// The application's client ID and secret at the provider.
    #[must_use]
    pub fn client(self, id: &str, secret: Option<&str>) -> Self {
        Self { client_id: id.to_owned(), client_secret: secret.map(Secret::new), ..self }
    }

    /// Sends the client secret in the body (`client_secret_post`), for providers that do not take the `Authorization`
    /// header (`client_secret_basic`), which is the default.
    #[must_use]
    pub fn secret_in_body(self) -> Self {
        Self { secret_in_body: true, ..self }
    }

    /// The clock by which the lifetime of the new token counts. Default: the system's.
    #[must_use]
    pub fn clock(self, clock: impl Clock) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }

    /// Asks for new tokens. The vault limits the time.
    ///
    /// # Errors
    /// [`RefreshError::Refused`] if there is no refresh token, or if the provider answers `invalid_grant` or GitHub's
    /// `bad_refresh_token`; [`RefreshError::Failed`] for any other answer, and for none.
    pub async fn renew(self, tokens: TokenSet) -> Result<TokenSet, RefreshError> {
        /// The vault's own limit is shorter.
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

/// An error code of the provider, as much of it as one can have.
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
