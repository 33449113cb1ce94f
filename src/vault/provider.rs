//! One provider of a vault: where its tokens are kept, and how they are renewed.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use super::{error::RefreshError, tokens::TokenSet};

type Renewing = Pin<Box<dyn Future<Output = Result<TokenSet, RefreshError>> + Send>>;
pub(super) type Renew = dyn Fn(TokenSet) -> Renewing + Send + Sync;

/// A provider whose tokens a [`Vault`](super::Vault) keeps.
#[derive(Clone)]
pub struct Provider {
    pub(super) name: Arc<str>,
    /// For how long tokens are kept with the subject; none for with the session.
    pub(super) with_subject: Option<Duration>,
    pub(super) renew: Option<Arc<Renew>>,
    pub(super) margin: Duration,
    pub(super) deadline: Duration,
}

impl Provider {
    /// A provider of this name, such as `github`. By default, its tokens are kept with the session that they are given
    /// to, until that session is revoked or expires. By default, they are not renewed.
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

    /// Keeps the tokens with the subject, for background work between sessions. They are kept until they are
    /// [forgotten](super::Vault::forget), and no longer than `age` after the provider last answered.
    ///
    /// The store must keep values that belong to no session. Those of this crate do.
    #[must_use]
    pub fn with_subject(self, age: Duration) -> Self {
        Self { with_subject: Some(age), ..self }
    }

    /// Renews access tokens by this function. It gets the tokens as they are kept, and asks the provider: with the
    /// refresh token, or with the access token if the provider requires that (Facebook).
    ///
    /// [`RefreshError::Refused`] says that the tokens are void. Return it for `invalid_grant` only, and
    /// [`RefreshError::failed`] for everything else. See [`TokenEndpoint`](super::TokenEndpoint) for providers that
    /// follow RFC 6749.
    #[must_use]
    pub fn renew<F, R>(self, renew: F) -> Self
    where
        F: Fn(TokenSet) -> R + Send + Sync + 'static,
        R: Future<Output = Result<TokenSet, RefreshError>> + Send + 'static,
    {
        Self { renew: Some(Arc::new(move |tokens| Box::pin(renew(tokens)))), ..self }
    }

    /// How long before its expiry an access token is renewed. Default: 60 seconds. At most half of its lifetime counts.
    #[must_use]
    pub fn margin(self, margin: Duration) -> Self {
        Self { margin, ..self }
    }

    /// How long a renewal may take. Default: 10 seconds; at most 5 minutes count. If an instance dies while it renews,
    /// the others wait for this time, two deadlines of the store and 5 seconds before they ask the provider.
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
