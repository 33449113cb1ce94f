//! The error responses of the endpoints (RFC 6749, section 5.2).

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use super::{GrantError, body};
use crate::{
    engine::{ExchangeError, SignInError},
    store::StoreError,
};

/// An error response. It tells the client what to do, and nothing else.
#[derive(Debug, Serialize)]
pub(super) struct Refused {
    #[serde(skip)]
    status: StatusCode,
    error: &'static str,
    error_description: &'static str,
}

impl Refused {
    pub(super) const UNSUPPORTED_GRANT_TYPE: Self =
        Self::bad("unsupported_grant_type", "there is no such grant here");
    /// The same response for every cause.
    const INVALID_GRANT: Self = Self::bad("invalid_grant", "the grant is invalid, expired or revoked");
    pub(super) const UNAVAILABLE: Self = Self {
        status: StatusCode::SERVICE_UNAVAILABLE,
        error: "temporarily_unavailable",
        error_description: "try again in a moment, with the same tokens",
    };
    const INTERNAL: Self = Self {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        error: "server_error",
        error_description: "something failed, as the logs say",
    };
    const UNSUPPORTED: Self = Self {
        status: StatusCode::NOT_IMPLEMENTED,
        error: "server_error",
        error_description: "the session store cannot do this",
    };
    const INVALID_CLIENT: Self = Self {
        status: StatusCode::UNAUTHORIZED,
        error: "invalid_client",
        error_description: "the client is not known, or did not authenticate",
    };
    pub(super) const NOT_LOOPBACK: Self = Self {
        status: StatusCode::FORBIDDEN,
        error: "invalid_request",
        error_description: "sessions over plain HTTP are for localhost only",
    };
    pub(super) const NOT_POST: Self = Self {
        status: StatusCode::METHOD_NOT_ALLOWED,
        error: "invalid_request",
        error_description: "the method must be POST",
    };
    /// The caller may not introspect tokens (RFC 7662, section 2.3).
    pub(super) const MAY_NOT_ASK: Self = Self::INVALID_CLIENT;

    const fn bad(error: &'static str, error_description: &'static str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, error, error_description }
    }

    pub(super) const fn invalid_request(description: &'static str) -> Self {
        Self::bad("invalid_request", description)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = body::json(self.status, &self);
        let headers = response.headers_mut();
        match self.status {
            // RFC 9110, section 15.5.2: a 401 must come with a challenge.
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(r#"Basic realm="oauth""#));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}

impl From<ExchangeError> for Refused {
    fn from(error: ExchangeError) -> Self {
        match error {
            ExchangeError::Unavailable => Self::UNAVAILABLE,
            ExchangeError::Refused => Self::INVALID_GRANT,
            ExchangeError::NotMinted => Self::INTERNAL,
        }
    }
}

impl From<GrantError> for Refused {
    fn from(error: GrantError) -> Self {
        match error {
            GrantError::InvalidRequest => Self::invalid_request("a parameter is missing, or is not one"),
            GrantError::InvalidClient => Self::INVALID_CLIENT,
            GrantError::InvalidGrant => Self::INVALID_GRANT,
            GrantError::Unavailable => Self::UNAVAILABLE,
            GrantError::AuthorizationPending => {
                Self::bad("authorization_pending", "the user has not answered yet")
            }
            GrantError::SlowDown => Self::bad("slow_down", "ask less often"),
            GrantError::AccessDenied => Self::bad("access_denied", "the user refused"),
            GrantError::ExpiredToken => Self::bad("expired_token", "the device code has expired"),
        }
    }
}

impl From<SignInError> for Refused {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::Refused => Self::INVALID_GRANT,
            SignInError::TooManySessions => Self::bad("invalid_grant", "there are too many sessions"),
            SignInError::Store(error) => error.into(),
            SignInError::EmptySubject => Self::bad("invalid_grant", "the subject is empty"),
            SignInError::Timeouts(_) => Self::invalid_request("the session cannot have such timeouts"),
            _ => Self::INTERNAL,
        }
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) | StoreError::Configuration(_) | StoreError::Full => Self::UNAVAILABLE,
            StoreError::Unsupported(_) => Self::UNSUPPORTED,
            StoreError::Corrupt(_) => Self::INTERNAL,
        }
    }
}
