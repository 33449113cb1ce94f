//! The verified token of a request, for handlers of a service that only verifies.

use std::{fmt, time::Duration};

use http::{Extensions, Request, request::Parts};

use crate::{
    claims::Claims,
    id::SessionId,
    session::{Layered, Session},
    time::Timestamp,
};

/// The verified access token of a request, for a service that only verifies. A handler cannot change the session with
/// it. In axum, `Verified` is an extractor. Without axum, see [`Verified::of`].
///
/// `Verified` works inside the layer of a [`Verifier`](crate::Verifier) and inside a
/// [`SessionLayer`](crate::SessionLayer), so a handler can be used in both. Cheap to clone.
pub struct Verified<C = ()>(Session<C>);

impl<C: Claims> Verified<C> {
    pub(super) fn found(session: &Session<C>) -> Self {
        Self(session.clone())
    }

    /// The token of a request that came through the layer. Returns `None` for an anonymous request, and without a
    /// layer.
    pub fn of<B>(request: &Request<B>) -> Option<Self> {
        Self::from_extensions(request.extensions())
    }

    /// The token of a request, from the head of the request. See [`of`](Self::of).
    #[must_use]
    pub fn from_parts(parts: &Parts) -> Option<Self> {
        Self::from_extensions(&parts.extensions)
    }

    /// The token of a request, from the extensions of the request. See [`of`](Self::of).
    #[must_use]
    pub fn from_extensions(extensions: &Extensions) -> Option<Self> {
        Layered::readable(extensions).ok().flatten().map(Self::found)
    }

    /// The application's claims (`ext`).
    #[must_use]
    pub fn claims(&self) -> &C {
        self.0.claims()
    }

    /// The user's ID (`sub`).
    #[must_use]
    pub fn subject(&self) -> &str {
        self.0.subject()
    }

    /// The session's ID (`sid`). Returns `None` for a token for this service that was minted without a session ID.
    #[must_use]
    pub fn session_id(&self) -> Option<SessionId> {
        self.0.service().is_none_or(|service| service.has_session).then(|| self.0.id())
    }

    /// The scopes (`scope`, RFC 9068) of a token for this service. A session's access token has no scopes.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        let scope = self.0.service().and_then(|service| service.scope.as_deref());
        scope.into_iter().flat_map(|scope| scope.split(' '))
    }

    /// Whether the token has this scope.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.0.has_scope(scope)
    }

    /// The application that asked for the token (`client_id`, RFC 9068). Returns `None` for a session's access token.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        self.0.service().map(|service| &*service.client_id)
    }

    /// The token's ID (`jti`). Returns `None` for a session's access token.
    #[must_use]
    pub fn token_id(&self) -> Option<&str> {
        self.0.service().map(|service| &*service.id)
    }

    /// When the user last authenticated (`auth_time`). Returns `None` if no authentication counts here: the session
    /// requires a re-authentication, or a token for this service has no `auth_time`.
    #[must_use]
    pub fn authenticated_at(&self) -> Option<Timestamp> {
        self.0.authenticated_at()
    }

    /// Whether the user last authenticated at most `age` ago: see
    /// [`Session::authenticated_within`](crate::Session::authenticated_within).
    #[must_use]
    pub fn authenticated_within(&self, age: Duration) -> bool {
        self.0.authenticated_within(age)
    }

    /// How the user authenticated (`amr` of RFC 8176).
    #[must_use]
    pub fn methods(&self) -> &[String] {
        self.0.methods()
    }

    /// Returns when the token has expired. If the feed [is followed](crate::VerifierBuilder::follow), also returns when
    /// the session is revoked. For streams and WebSockets. Must be polled within a Tokio runtime.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + use<C> {
        self.0.token_ended()
    }

    /// How long the token is still valid.
    #[must_use]
    pub fn expires_in(&self) -> Duration {
        self.0.expires_in()
    }
}

impl<C> Clone for Verified<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<C> fmt::Debug for Verified<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Verified").field(&self.0).finish()
    }
}
