//! The tokens of a user at a provider.

use std::{fmt, time::Duration};

use http::HeaderValue;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::secret::Secret;
use crate::time::Timestamp;

/// The tokens of one user at a provider: an access token, and the values that came with it.
///
/// `Debug` shows none of the tokens. The memory of the tokens is wiped when the set is dropped.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenSet {
    access_token: Secret,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) refresh_token: Option<Secret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) scope: Option<String>,
    token_type: String,
}

/// A token response (RFC 6749, section 5.1). It may contain an error: GitHub and others also send errors with status
/// 200.
#[derive(Deserialize)]
pub(super) struct Response {
    access_token: Option<Secret>,
    refresh_token: Option<Secret>,
    token_type: Option<String>,
    #[serde(default, deserialize_with = "seconds")]
    expires_in: Option<u64>,
    scope: Option<String>,
    pub(super) error: Option<String>,
}

/// Reads a number of seconds. Some providers send the number as text.
fn seconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Seconds {
        Number(u64),
        Text(String),
    }
    Ok(match Option::deserialize(deserializer)? {
        Some(Seconds::Number(seconds)) => Some(seconds),
        Some(Seconds::Text(text)) => text.parse().ok(),
        None => None,
    })
}

impl Response {
    pub(super) fn tokens(self, now: Timestamp) -> Option<TokenSet> {
        let access_token = self.access_token.filter(|token| !token.expose().is_empty())?;
        let token_type = self.token_type.unwrap_or_else(|| "Bearer".to_owned());
        let expires_at = self.expires_in.map(|seconds| now + Duration::from_secs(seconds));
        let refresh_token = self.refresh_token.filter(|token| !token.expose().is_empty());
        Some(TokenSet { access_token, refresh_token, expires_at, scope: self.scope, token_type })
    }
}

impl TokenSet {
    /// Makes a set with an access token of the type `Bearer` that does not expire.
    #[must_use]
    pub fn new(access_token: impl Into<String>) -> Self {
        Self {
            access_token: Secret::new(access_token),
            refresh_token: None,
            expires_at: None,
            scope: None,
            token_type: "Bearer".to_owned(),
        }
    }

    /// Reads the tokens of a token response (RFC 6749, section 5.1) that was received at `now`. Returns `None` if the
    /// response has no access token.
    #[must_use]
    pub fn from_response(json: &[u8], now: Timestamp) -> Option<Self> {
        serde_json::from_slice::<Response>(json).ok()?.tokens(now)
    }

    /// Sets the refresh token.
    #[must_use]
    pub fn with_refresh_token(self, token: impl Into<String>) -> Self {
        Self { refresh_token: Some(Secret::new(token)), ..self }
    }

    /// Sets the time from which on the access token is invalid.
    #[must_use]
    pub fn expires_at(self, time: Timestamp) -> Self {
        Self { expires_at: Some(time), ..self }
    }

    /// Sets the scope that the provider granted: words with spaces between them.
    #[must_use]
    pub fn with_scope(self, scope: impl Into<String>) -> Self {
        Self { scope: Some(scope.into()), ..self }
    }

    /// The access token.
    #[must_use]
    pub fn access_token(&self) -> &str {
        self.access_token.expose()
    }

    /// The refresh token. A [`Vault`](super::Vault) passes the refresh token only to the function that renews the
    /// tokens.
    #[must_use]
    pub fn refresh_token(&self) -> Option<&str> {
        self.refresh_token.as_ref().map(Secret::expose)
    }

    /// When the access token expires. `None` if the access token does not expire, or if the provider does not say when.
    #[must_use]
    pub fn expiry(&self) -> Option<Timestamp> {
        self.expires_at
    }

    /// The scope that the provider granted.
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// The value of an `Authorization` header with the access token. The value is marked as sensitive. Returns `None`
    /// if the access token has characters that a header cannot contain.
    #[must_use]
    pub fn authorization(&self) -> Option<HeaderValue> {
        let text = Zeroizing::new(format!("{} {}", self.token_type, self.access_token()));
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Whether the access token is valid at `now`, by the expiry that the provider named.
    pub(super) fn is_valid(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }

    /// The tokens for the application: without the refresh token.
    pub(super) fn to_use(&self) -> Self {
        Self { refresh_token: None, ..self.clone() }
    }

    /// The tokens after a renewal. The provider's answer may leave out the refresh token or the scope if they did not
    /// change.
    pub(super) fn renewed(&self, answer: Self) -> Self {
        let refresh_token = answer.refresh_token.or_else(|| self.refresh_token.clone());
        let scope = answer.scope.or_else(|| self.scope.clone());
        Self { refresh_token, scope, ..answer }
    }

    pub(super) fn secrets(&self) -> Vec<&str> {
        std::iter::once(self.access_token()).chain(self.refresh_token()).collect()
    }
}

impl fmt::Debug for TokenSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSet")
            .field("has_refresh_token", &self.refresh_token.is_some())
            .field("expires_at", &self.expires_at)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_response_is_read() {
        let now = Timestamp::from_secs(1000);
        let read = |json: &str| TokenSet::from_response(json.as_bytes(), now);
        let full = read(
            r#"{"access_token":"a","token_type":"bearer","expires_in":60,"refresh_token":"r","scope":"x y"}"#,
        );
        let full = full.expect("tokens");
        assert_eq!((full.access_token(), full.refresh_token(), full.scope()), ("a", Some("r"), Some("x y")));
        assert_eq!(full.expiry(), Some(Timestamp::from_secs(1060)));
        assert_eq!(full.authorization().expect("a header"), "bearer a");
        let text = read(r#"{"access_token":"a","expires_in":"60","refresh_token":""}"#).expect("tokens");
        assert_eq!((text.expiry(), text.refresh_token()), (full.expiry(), None));
        assert_eq!(read(r#"{"access_token":"a"}"#), Some(TokenSet::new("a")));
        for bad in [r#"{"error":"bad_refresh_token"}"#, r#"{"access_token":""}"#, "", "[]"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        let debug = format!("{full:?}");
        assert!(!debug.contains("\"a\"") && !debug.contains("\"r\""), "{debug}");
    }
}
