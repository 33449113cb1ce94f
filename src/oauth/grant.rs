//! Grants: a client's request for tokens, and the application's answer.

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use http::request::Parts;

use super::form::Form;
use crate::{RequestHead, engine};

/// The application's hook that decides about a grant.
pub(super) type Hook<C> = Box<dyn Fn(GrantRequest) -> GrantFuture<C> + Send + Sync>;
type GrantFuture<C> = Pin<Box<dyn Future<Output = Result<Grant<C>, GrantError>> + Send>>;

/// A client's request for tokens. Its `Debug` shows no parameters.
pub struct GrantRequest {
    parts: Parts,
    form: Form,
}

impl GrantRequest {
    pub(super) fn new(parts: Parts, form: Form) -> Self {
        Self { parts, form }
    }

    /// A parameter of the form. A parameter without a value counts as missing (RFC 6749, section 3.2).
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.form.get(name)
    }

    /// The parameter `username`.
    ///
    /// # Errors
    /// [`GrantError::InvalidRequest`] if the parameter is missing.
    pub fn username(&self) -> Result<&str, GrantError> {
        self.parameter("username").ok_or(GrantError::InvalidRequest)
    }

    /// The parameter `password`.
    ///
    /// # Errors
    /// [`GrantError::InvalidRequest`] if the parameter is missing.
    pub fn password(&self) -> Result<&str, GrantError> {
        self.parameter("password").ok_or(GrantError::InvalidRequest)
    }

    /// The head of the request. Use it to read the client's own credentials, or its address.
    #[must_use]
    pub fn head(&self) -> RequestHead<'_> {
        RequestHead::of_parts(&self.parts)
    }
}

impl fmt::Debug for GrantRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrantRequest").finish_non_exhaustive()
    }
}

/// The session that a grant opens: the answer of a grant's hook.
#[derive(Clone)]
#[must_use = "it is an answer: return it"]
pub struct Grant<C = ()> {
    pub(super) subject: String,
    pub(super) claims: C,
    pub(super) sign_in: engine::SignInOptions,
}

impl<C> Grant<C> {
    /// A session of `subject`, with these claims.
    #[expect(clippy::needless_pass_by_value, reason = "callers write `user.id` and `\"ann\"`")]
    pub fn new(subject: impl ToString, claims: C) -> Self {
        Self { subject: subject.to_string(), claims, sign_in: engine::SignInOptions::default() }
    }

    /// The idle timeout of this session. The maximum is the policy's idle timeout. Default: the policy's idle timeout,
    /// or this session's absolute timeout, if that is shorter.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.sign_in.idle_timeout = Some(timeout);
        self
    }

    /// The absolute timeout of this session. The default and the maximum are the policy's absolute timeout.
    pub fn absolute_timeout(mut self, timeout: Duration) -> Self {
        self.sign_in.absolute_timeout = Some(timeout);
        self
    }

    /// The origin from which the session is opened. Default at a token endpoint: the origin that the
    /// [hook](crate::SessionsBuilder::origin) returns for the request.
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.sign_in.origin = Some(origin.into().into());
        self
    }

    pub(super) fn or_from(mut self, origin: Option<Arc<str>>) -> Self {
        self.sign_in.origin = self.sign_in.origin.or(origin);
        self
    }

    /// How the user authenticated (`amr` of RFC 8176), such as `["pwd", "otp"]`. Default: none.
    pub fn by<M: Into<String>>(mut self, methods: impl IntoIterator<Item = M>) -> Self {
        self.sign_in.methods = methods.into_iter().map(Into::into).collect();
        self
    }
}

impl<C> fmt::Debug for Grant<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant").field("subject", &self.subject).finish_non_exhaustive()
    }
}

/// Why the application refuses a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GrantError {
    /// 400 `invalid_request`: a parameter is missing or invalid.
    #[error("a parameter is missing, or is not one")]
    InvalidRequest,
    /// 401 `invalid_client`: the client is not known, or did not authenticate.
    #[error("the client is not known, or did not authenticate")]
    InvalidClient,
    /// 400 `invalid_grant`: the grant is invalid, for example because of a wrong password. Use it for every such
    /// reason.
    #[error("the grant is not good")]
    InvalidGrant,
    /// 400 `authorization_pending`: a device asks for tokens, and its user has not answered yet (RFC 8628, section
    /// 3.5).
    #[error("the user has not answered yet")]
    AuthorizationPending,
    /// 400 `slow_down`: a device asks too often. From now on, the device must wait 5 s longer between requests (RFC
    /// 8628, section 3.5).
    #[error("asked too often")]
    SlowDown,
    /// 400 `access_denied`: the user of a device refused (RFC 8628, section 3.5).
    #[error("the user refused")]
    AccessDenied,
    /// 400 `expired_token`: the device code has expired, so the device must start again (RFC 8628, section 3.5).
    #[error("the device code has expired")]
    ExpiredToken,
    /// 503 `temporarily_unavailable`: the application cannot decide now.
    #[error("the application cannot decide now")]
    Unavailable,
}
