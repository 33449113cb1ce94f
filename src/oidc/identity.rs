//! A user's identity, from the provider.

use std::{fmt, time::Duration};

use openidconnect::{OAuth2TokenResponse as _, core::CoreTokenResponse};
use serde_json::{Map, Value};

use crate::time::Timestamp;

/// A user, as the provider's verified ID token describes the user.
///
/// The issuer and the subject together identify a user permanently. An email address does not: its owner can change,
/// and a provider may not have checked the address (`email_verified`).
#[non_exhaustive]
pub struct Identity {
    /// `iss`: the provider.
    pub issuer: String,
    /// `sub`: the user, at this provider.
    pub subject: String,
    /// `sid`: the provider's session.
    pub session: Option<String>,
    /// `auth_time`: when the user authenticated at the provider.
    pub auth_time: Option<Timestamp>,
    /// `amr`: how the user authenticated. At most 8 methods of at most 32 bytes each. They become the session's
    /// methods.
    pub methods: Vec<String>,
    /// `acr`: the class of the authentication.
    pub context: Option<String>,
    /// All claims of the ID token.
    pub claims: Map<String, Value>,
    /// The claims of the userinfo endpoint, if [`userinfo`](super::OidcBuilder::userinfo) asks for them.
    pub userinfo: Option<Map<String, Value>>,
    /// The provider's tokens for this user.
    pub tokens: Tokens,
}

/// Tokens of the provider, for requests to its services. They are secrets.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tokens {
    /// The access token.
    pub access_token: String,
    /// The refresh token, if the provider issued one. Most providers issue one only if the scope `offline_access` was
    /// requested.
    pub refresh_token: Option<String>,
    /// How long the access token is valid.
    pub expires_in: Option<Duration>,
}

impl Tokens {
    pub(super) fn of(answer: &CoreTokenResponse) -> Self {
        Self {
            access_token: answer.access_token().secret().clone(),
            refresh_token: answer.refresh_token().map(|token| token.secret().clone()),
            expires_in: answer.expires_in(),
        }
    }
}

/// Does not show the tokens.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}

impl Identity {
    /// A claim that is a text. The claim of the userinfo endpoint is preferred to the claim of the ID token.
    #[must_use]
    pub fn text(&self, claim: &str) -> Option<&str> {
        self.userinfo.as_ref().and_then(|claims| claims.get(claim)).or(self.claims.get(claim))?.as_str()
    }

    /// The email address, if the provider says that it has checked the address.
    #[must_use]
    pub fn verified_email(&self) -> Option<&str> {
        let of = |claims: &Map<String, Value>| match claims.get("email_verified") {
            Some(Value::Bool(verified)) => *verified,
            // Some providers send `email_verified` as a text.
            Some(Value::String(verified)) => verified == "true",
            _ => false,
        };
        let claims =
            self.userinfo.iter().chain([&self.claims]).find(|claims| claims.contains_key("email"))?;
        claims.get("email").filter(|_| of(claims))?.as_str()
    }
}

/// Does not show tokens or personal data.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// A user of this application, as the hook of [`OidcBuilder::build`](super::OidcBuilder::build) returns it.
#[must_use]
pub struct User<C> {
    pub(super) subject: String,
    pub(super) claims: C,
    pub(super) remember_me: bool,
}

impl<C> User<C> {
    /// Signs in `subject`, the user's ID in this application, with these claims.
    #[expect(clippy::needless_pass_by_value, reason = "callers write `user.id` and `\"ann\"`")]
    pub fn new(subject: impl ToString, claims: C) -> Self {
        Self { subject: subject.to_string(), claims, remember_me: false }
    }

    /// Whether the session's cookies outlive the browser: see [`SignIn::remember_me`](crate::SignIn::remember_me).
    pub fn remember_me(mut self, yes: bool) -> Self {
        self.remember_me = yes;
        self
    }
}

/// Does not show the claims.
impl<C> fmt::Debug for User<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("remember_me", &self.remember_me).finish_non_exhaustive()
    }
}
