use http::{HeaderValue, Response, StatusCode, header};

use crate::{
    engine::{ChangeError, SignInError, forbid_caching, vary_by_authorization},
    protocol::Refusal,
    rejection::RejectionKind,
    session::{Misplaced, SignOutError},
    store::StoreError,
    token::{MintError, ServiceTokenError},
};

/// How long a client should wait before it asks again, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// Why a request was rejected. The response does not tell the client why a token was refused.
///
/// A rejection is an extension of its response, so that outer layers can log its [kind](Self::kind). In axum, handlers
/// can return a rejection as their error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    kind: RejectionKind,
}

impl Rejection {
    pub(crate) const fn new(kind: RejectionKind) -> Self {
        Self { kind }
    }

    /// 401: there is no session. For handlers that reject a request themselves.
    #[must_use]
    pub const fn unauthenticated() -> Self {
        Self::new(RejectionKind::Unauthenticated(Refusal::NoToken))
    }

    /// 403: the session may not do this.
    #[must_use]
    pub const fn forbidden() -> Self {
        Self::new(RejectionKind::Forbidden)
    }

    /// 403: the user must re-authenticate.
    #[must_use]
    pub const fn reauthentication_required() -> Self {
        Self::new(RejectionKind::ReauthenticationRequired)
    }

    /// 503: something that the request needs is unavailable.
    #[must_use]
    pub const fn unavailable() -> Self {
        Self::new(RejectionKind::Unavailable)
    }

    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> RejectionKind {
        self.kind
    }

    /// The status of the response.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.answer().0
    }

    /// The `code` of the problem details, such as `unauthenticated` or `reauthentication_required`, for an error format
    /// of your own. The code of a kind stays the same in later versions.
    ///
    /// ```
    /// # use tower_sliding_sessions::Rejection;
    /// assert_eq!(Rejection::forbidden().code(), "forbidden");
    /// ```
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.answer().1
    }
}

/// Defines `Rejection::answer`: for each kind the status, the code, and the problem details (RFC 9457). The member
/// `type` of the problem details is the address of the kind's documentation. The member `code` is for front ends to
/// compare.
macro_rules! answers {
    ($($kind:ident $(($ignored:tt))? => $status:ident $number:literal $code:literal $title:literal,)*) => {
        impl Rejection {
            const fn answer(&self) -> (StatusCode, &'static str, &'static str) {
                match self.kind {
                    $(RejectionKind::$kind $(($ignored))? => (StatusCode::$status, $code, concat!(
                        r#"{"type":"https://docs.rs/tower-sliding-sessions/latest/tower_sliding_sessions/enum.RejectionKind.html#variant."#,
                        stringify!($kind), r#"","code":""#, $code, r#"","title":""#, $title, r#"","status":"#, $number, "}"
                    )),)*
                }
            }
        }
    };
}

answers! {
    Unauthenticated(_) => UNAUTHORIZED 401 "unauthenticated" "Sign in first",
    InvalidBearer(_) => UNAUTHORIZED 401 "invalid_bearer" "The bearer token is invalid or expired",
    MalformedBearer => BAD_REQUEST 400 "malformed_bearer" "The Authorization header is malformed",
    EmptySubject => BAD_REQUEST 400 "empty_subject" "The name is empty",
    Timeouts(_) => BAD_REQUEST 400 "timeouts" "A session cannot last that long, or be that short",
    CrossSite => FORBIDDEN 403 "cross_site" "Requests from other sites are not accepted here",
    NotLoopback => FORBIDDEN 403 "not_loopback" "Sessions over plain HTTP are for localhost only",
    Forbidden => FORBIDDEN 403 "forbidden" "Not allowed",
    ReauthenticationRequired => FORBIDDEN 403 "reauthentication_required" "Re-authentication is required",
    MethodRequired => FORBIDDEN 403 "method_required" "Authentication by another method is required",
    TooManySessions => FORBIDDEN 403 "too_many_sessions" "Too many sessions: sign out elsewhere first",
    TooManyCookies => REQUEST_HEADER_FIELDS_TOO_LARGE 431 "too_many_cookies" "Too many cookies have the same name",
    Unavailable => SERVICE_UNAVAILABLE 503 "unavailable" "Sessions are not available for the moment",
    DeviceProofRequired => SERVICE_UNAVAILABLE 503 "device_proof_required" "The device has to prove its key: try again",
    NotNow => TOO_EARLY 425 "not_now" "A prefetch, or the script of a service worker, does not renew the session",
    Unsupported => NOT_IMPLEMENTED 501 "unsupported" "The session store cannot do this",
    ClaimsTooLarge => INTERNAL_SERVER_ERROR 500 "claims_too_large" "The session does not fit into a cookie",
    ClaimsUnreadable => INTERNAL_SERVER_ERROR 500 "claims_unreadable" "The session's claims cannot be written as JSON, or cannot be read back",
    OtherClaims => INTERNAL_SERVER_ERROR 500 "other_claims" "This route asks for another claims type than its session layer has",
    AmbiguousLayer => INTERNAL_SERVER_ERROR 500 "ambiguous_layer" "This route is within optional layers of several realms: ask Sessions::session_of",
    RequireOutsideLayer => INTERNAL_SERVER_ERROR 500 "require_outside_layer" "This rule is not within the layer of its sessions: add .route_layer(sessions.layer()) after it",
    MissingLayer => INTERNAL_SERVER_ERROR 500 "missing_layer" "This route is not within a session layer: add .route_layer(sessions.layer())",
    Internal => INTERNAL_SERVER_ERROR 500 "internal" "Internal error",
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.status())
    }
}

impl std::error::Error for Rejection {}

impl From<Misplaced> for Rejection {
    fn from(why: Misplaced) -> Self {
        Self::new(match why {
            Misplaced::NoLayer | Misplaced::OtherRealm | Misplaced::VerifyOnly => RejectionKind::MissingLayer,
            Misplaced::OtherClaims(_) => RejectionKind::OtherClaims,
            Misplaced::Ambiguous => RejectionKind::AmbiguousLayer,
        })
    }
}

impl From<RejectionKind> for Rejection {
    fn from(kind: RejectionKind) -> Self {
        Self::new(kind)
    }
}

impl From<StoreError> for Rejection {
    fn from(error: StoreError) -> Self {
        Self::new(match error {
            StoreError::Unavailable(_) | StoreError::Configuration(_) | StoreError::Full => {
                RejectionKind::Unavailable
            }
            StoreError::Unsupported(_) => RejectionKind::Unsupported,
            StoreError::Corrupt(_) => RejectionKind::Internal,
        })
    }
}

impl From<MintError> for Rejection {
    fn from(error: MintError) -> Self {
        Self::new(match error {
            MintError::TooLong { .. } => RejectionKind::ClaimsTooLarge,
            MintError::Signing(_) => RejectionKind::Internal,
            MintError::NotJson(_)
            | MintError::DuplicateMember
            | MintError::NotReadable(_)
            | MintError::Readable(_) => RejectionKind::ClaimsUnreadable,
        })
    }
}

impl From<SignInError> for Rejection {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::Claims(error) => error.into(),
            SignInError::TooManySessions => Self::new(RejectionKind::TooManySessions),
            SignInError::Refused => Self::new(RejectionKind::Forbidden),
            SignInError::Store(error) => error.into(),
            SignInError::EmptySubject => Self::new(RejectionKind::EmptySubject),
            SignInError::Timeouts(why) => Self::new(RejectionKind::Timeouts(why)),
            SignInError::Entropy(_) => Self::new(RejectionKind::Internal),
        }
    }
}

impl From<SignOutError> for Rejection {
    fn from(error: SignOutError) -> Self {
        match error {
            SignOutError::Store(error) => error.into(),
            SignOutError::TooManyCookies => Self::new(RejectionKind::TooManyCookies),
        }
    }
}

impl From<ChangeError> for Rejection {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Claims(error) => error.into(),
            ChangeError::Ended => Self::new(RejectionKind::Unauthenticated(Refusal::Revoked)),
            ChangeError::Store(error) => error.into(),
        }
    }
}

impl From<ServiceTokenError> for Rejection {
    fn from(error: ServiceTokenError) -> Self {
        match error {
            ServiceTokenError::Ended => Self::new(RejectionKind::Unauthenticated(Refusal::Revoked)),
            ServiceTokenError::Mint(error) => error.into(),
            _ => Self::new(RejectionKind::Internal),
        }
    }
}

impl Rejection {
    /// The response with problem details as its body.
    pub fn into_http<B: From<&'static str>>(self) -> Response<B> {
        let mut response = Response::new(B::from(self.answer().2));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match self.status() {
            // RFC 9110, section 15.5.2: a 401 must come with a challenge.
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Cookie"));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, RETRY_AFTER);
            }
            _ => {}
        }
        add_to_rejection(self, response)
    }
}

/// Adds `Vary: authorization` to a response of a layer that accepts bearer tokens. To a rejection, it also adds the
/// challenge of RFC 6750, section 3.
pub(super) fn add_bearer_headers<B>(response: &mut Response<B>) {
    vary_by_authorization(response.headers_mut());
    let kind = response.extensions().get().map(Rejection::kind);
    let challenge = match kind {
        Some(RejectionKind::InvalidBearer(_)) => r#"Bearer error="invalid_token""#,
        Some(RejectionKind::MalformedBearer) => r#"Bearer error="invalid_request""#,
        // RFC 6750, section 3.1, and RFC 9470, section 3. The status stays 403, as for a request with cookies.
        Some(RejectionKind::Forbidden) => r#"Bearer error="insufficient_scope""#,
        Some(RejectionKind::ReauthenticationRequired | RejectionKind::MethodRequired) => {
            r#"Bearer error="insufficient_user_authentication""#
        }
        // The challenge for a request without credentials has no error code.
        Some(RejectionKind::Unauthenticated(_)) if response.status() == StatusCode::UNAUTHORIZED => "Bearer",
        _ => return,
    };
    let headers = response.headers_mut();
    // Replace the challenge of this crate, and keep a challenge of the application.
    if headers.get(header::WWW_AUTHENTICATE).is_none_or(|present| present == "Cookie") {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
}

/// Adds what the response to each rejected request has: the rejection as an extension, and `Cache-Control: no-store`.
pub(super) fn add_to_rejection<B>(rejection: Rejection, mut response: Response<B>) -> Response<B> {
    response.extensions_mut().insert(rejection);
    forbid_caching(response.headers_mut());
    response
}
