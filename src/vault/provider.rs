//! A provider of a vault: where its tokens are kept, and how they are renewed.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use super::{error::RefreshError, tokens::TokenSet};

type Renewing = Pin<Box<dyn Future<Output = Result<TokenSet, RefreshError>> + Send>>;
pub(super) type Renew = dyn Fn(TokenSet) -> Renewing + Send + Sync;

/// A provider whose tokens are kept in a [`Vault`](super::Vault).
#[derive(Clone)]
pub struct Provider {
    pub(super) name: Arc<str>,
    /// How long tokens are kept with the subject. `None` if tokens are kept with the session.
    pub(super) with_subject: Option<Duration>,
    pub(super) renew: Option<Arc<Renew>>,
    pub(super) margin: Duration,
    pub(super) deadline: Duration,
}

impl Provider {
    /// Makes a provider with this name, for example `github`. By default, its tokens are kept with the session that
    /// they are given to, until this session is revoked or expires. By default, its tokens are not renewed.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            with_subject: None,
            renew: None,
            margin: Duration::from_secs(60),
            deadline: Duration::from_secs(10),
        }
    }

    /// Keeps the tokens with the subject, for background work between sessions. The tokens are kept until the
    /// application [deletes](super::Vault::forget) them. They are kept for at most `age` after the vault last got new
    /// tokens, from the application or by a renewal.
    ///
    /// The store must support values that belong to no session. The stores of this crate do.
    #[must_use]
    pub fn with_subject(self, age: Duration) -> Self {
        Self { with_subject: Some(age), ..self }
    }

    /// Renews access tokens by this function. The function gets the stored tokens, and asks the provider. It sends the
    /// refresh token, or the access token if the provider requires this (Facebook).
    ///
    /// The error [`RefreshError::Refused`] means that the tokens are void. Return it only for `invalid_grant`. Return
    /// [`RefreshError::failed`] for all other errors. For providers that follow RFC 6749, see
    /// [`TokenEndpoint`](super::TokenEndpoint).
    #[must_use]
    pub fn renew<F, R>(self, renew: F) -> Self
    where
        F: Fn(TokenSet) -> R + Send + Sync + 'static,
        R: Future<Output = Result<TokenSet, RefreshError>> + Send + 'static,
    {
        Self { renew: Some(Arc::new(move |tokens| Box::pin(renew(tokens)))), ..self }
    }

    /// How long before its expiry an access token is renewed. Default: 60 seconds. The margin is at most half of the
    /// access token's lifetime.
    #[must_use]
    pub fn margin(self, margin: Duration) -> Self {
        Self { margin, ..self }
    }

    /// How long a renewal may take. Default: 10 seconds. The maximum is 5 minutes. If an instance crashes during a
    /// renewal, the other instances do not ask the provider for this time plus two store deadlines plus 5 seconds.
    #[must_use]
    pub fn deadline(self, deadline: Duration) -> Self {
        Self { deadline: deadline.min(Duration::from_secs(300)), ..self }
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider")
            .field("name", &self.name)
            .field("with_subject", &self.with_subject)
            .field("renews", &self.renew.is_some())
            .finish_non_exhaustive()
    }
}
