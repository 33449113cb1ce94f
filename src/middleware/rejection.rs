use http::{HeaderValue, Response, StatusCode, header};

use crate::{
    cache,
    engine::{ChangeError, SignInError},
    protocol::Refusal,
    rejection::RejectionKind,
    session::{Misplaced, SignOutError},
    store::StoreError,
    token::MintError,
};

/// How long a client should wait before it asks again, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// Why a request was rejected. Its response tells the client nothing about why a token was refused.
///
/// It is an extension of the response, so that outer layers can log its [kind](Self::kind). In axum it is a
/// response, and handlers can return it as their error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    kind: RejectionKind,
}

impl Rejection {
    pub(crate) const fn new(kind: RejectionKind) -> Self {
        Self { kind }
    }

    /// 401: there is no session. For handlers that find out later than the layer.
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

    /// What kind it is.
    #[must_use]
    pub const fn kind(&self) -> RejectionKind {
        self.kind
    }

    /// The status it is answered with.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self.kind {
            RejectionKind::Unauthenticated(_) | RejectionKind::InvalidBearer(_) => StatusCode::UNAUTHORIZED,
            RejectionKind::MalformedBearer | RejectionKind::EmptySubject | RejectionKind::Lifetime(_) => {
                StatusCode::BAD_REQUEST
            }
            RejectionKind::CrossSite
            | RejectionKind::NotLoopback
            | RejectionKind::Forbidden
            | RejectionKind::ReauthenticationRequired
            | RejectionKind::MethodRequired
            | RejectionKind::TooManySessions => StatusCode::FORBIDDEN,
            RejectionKind::TooManyCookies => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            RejectionKind::NotNow => StatusCode::TOO_EARLY,
            RejectionKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            RejectionKind::Unsupported => StatusCode::NOT_IMPLEMENTED,
            RejectionKind::ClaimsTooLarge
            | RejectionKind::ClaimsUnreadable
            | RejectionKind::MissingLayer
            | RejectionKind::OtherClaims
            | RejectionKind::AmbiguousLayer
            | RejectionKind::RequireOutsideLayer
            | RejectionKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The problem details (RFC 9457). Their `type` is the address of the kind's documentation, and
    /// `code` its name, for a front end to go by.
    const fn problem(&self) -> &'static str {
        macro_rules! problem {
            ($variant:literal, $code:literal, $status:literal, $title:literal) => {
                concat!(
                    r#"{"type":"https://docs.rs/tower-sliding-sessions/latest/tower_sliding_sessions/enum.RejectionKind.html#variant."#,
                    $variant, r#"","code":""#, $code, r#"","title":""#, $title, r#"","status":"#, $status, "}"
                )
            };
        }
        match self.kind {
            RejectionKind::Unauthenticated(_) => {
                problem!("Unauthenticated", "unauthenticated", 401, "Sign in first")
            }
            RejectionKind::InvalidBearer(_) => {
                problem!("InvalidBearer", "invalid_bearer", 401, "The bearer token is not good, or no longer")
            }
            RejectionKind::MalformedBearer => {
                problem!("MalformedBearer", "malformed_bearer", 400, "The Authorization header is malformed")
            }
            RejectionKind::EmptySubject => {
                problem!("EmptySubject", "empty_subject", 400, "The name is empty")
            }
            RejectionKind::Lifetime(_) => {
                problem!("Lifetime", "lifetime", 400, "A session cannot last that long, or be that short")
            }
            RejectionKind::CrossSite => {
                problem!("CrossSite", "cross_site", 403, "Requests from other sites are not accepted here")
            }
            RejectionKind::NotLoopback => {
                problem!(
                    "NotLoopback",
                    "not_loopback",
                    403,
                    "Sessions over plain HTTP are for localhost only"
                )
            }
            RejectionKind::Forbidden => problem!("Forbidden", "forbidden", 403, "Not allowed"),
            RejectionKind::ReauthenticationRequired => {
                problem!(
                    "ReauthenticationRequired",
                    "reauthentication_required",
                    403,
                    "Re-authentication is required"
                )
            }
            RejectionKind::MethodRequired => {
                problem!(
                    "MethodRequired",
                    "method_required",
                    403,
                    "Authentication by another method is required"
                )
            }
            RejectionKind::TooManySessions => {
                problem!(
                    "TooManySessions",
                    "too_many_sessions",
                    403,
                    "Too many sessions: sign out elsewhere first"
                )
            }
            RejectionKind::TooManyCookies => {
                problem!("TooManyCookies", "too_many_cookies", 431, "Too many cookies have the same name")
            }
            RejectionKind::Unavailable => {
                problem!("Unavailable", "unavailable", 503, "Sessions are not available for the moment")
            }
            RejectionKind::NotNow => problem!("NotNow", "not_now", 425, "Not for a prefetch"),
            RejectionKind::Unsupported => {
                problem!("Unsupported", "unsupported", 501, "The session store cannot do this")
            }
            RejectionKind::ClaimsTooLarge => {
                problem!("ClaimsTooLarge", "claims_too_large", 500, "The session does not fit into a cookie")
            }
            RejectionKind::ClaimsUnreadable => {
                problem!("ClaimsUnreadable", "claims_unreadable", 500, "The session cannot be written")
            }
            RejectionKind::OtherClaims => {
                problem!(
                    "OtherClaims",
                    "other_claims",
                    500,
                    "This route asks for another claims type than its session layer has"
                )
            }
            RejectionKind::AmbiguousLayer => {
                problem!(
                    "AmbiguousLayer",
                    "ambiguous_layer",
                    500,
                    "This route is within optional layers of several realms: ask Sessions::session_of"
                )
            }
            RejectionKind::RequireOutsideLayer => {
                problem!(
                    "RequireOutsideLayer",
                    "require_outside_layer",
                    500,
                    "This rule is not within the layer of its sessions: add .route_layer(sessions.layer()) after it"
                )
            }
            RejectionKind::MissingLayer => {
                problem!(
                    "MissingLayer",
                    "missing_layer",
                    500,
                    "This route is not within a session layer: add .route_layer(sessions.layer())"
                )
            }
            RejectionKind::Internal => problem!("Internal", "internal", 500, "Internal error"),
        }
    }
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
            Misplaced::NoLayer | Misplaced::OtherRealm => RejectionKind::MissingLayer,
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
            SignInError::Lifetime(why) => Self::new(RejectionKind::Lifetime(why)),
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

impl Rejection {
    /// The response with problem details as its body.
    pub fn into_http<B: From<&'static str>>(self) -> Response<B> {
        let mut response = Response::new(B::from(self.problem()));
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
        finish(self, response)
    }
}

/// Adds what the response to every rejection has.
pub(super) fn finish<B>(rejection: Rejection, mut response: Response<B>) -> Response<B> {
    response.extensions_mut().insert(rejection);
    cache::forbid(response.headers_mut());
    response
}
