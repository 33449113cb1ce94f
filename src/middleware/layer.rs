//! The layer and its settings. For its requests, see `service`.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use tower_layer::Layer;

use super::{IntoRejectionResponse, ProblemJson, Reject, Rejection, SessionService};
use crate::{
    engine::{CacheRules, EngineHandle},
    request::RequestHead,
};

/// Returns whether a request is passive.
pub(super) type IsPassive = dyn Fn(&RequestHead<'_>) -> bool + Send + Sync;

/// The middleware: a tower layer that protects routes and renews their sessions. Made by
/// [`Sessions::layer`](crate::Sessions::layer).
///
/// A request without a session gets 401 and does not reach a handler, unless the layer is
/// [`optional`](Self::optional). Put a CORS layer outside of this one, because a preflight request carries no cookies.
#[doc(alias = "middleware")]
#[doc(alias = "sliding")]
pub struct SessionLayer<C, R = ProblemJson> {
    pub(super) engine: EngineHandle<C>,
    pub(super) optional: bool,
    pub(super) rules: CacheRules,
    pub(super) passive: Option<Arc<IsPassive>>,
    pub(super) reject: R,
}

impl<C> SessionLayer<C> {
    pub(crate) fn new(engine: EngineHandle<C>) -> Self {
        let cookie_names = engine.config.cookies.names();
        let rules = CacheRules { accepts_bearer: false, no_store: false, cookie_names };
        Self { engine, optional: false, rules, passive: None, reject: ProblemJson }
    }
}

impl<C, R> SessionLayer<C, R> {
    /// Accepts requests without a session: handlers take an `Option<Session<C>>`. During an outage of the store, a
    /// request whose session cannot be renewed still gets 503.
    #[must_use]
    pub fn optional(self) -> Self {
        Self { optional: true, ..self }
    }

    /// Also accepts an access token as `Authorization: Bearer` (RFC 6750), for clients without cookies. Default:
    /// cookies only.
    ///
    /// For a request with a bearer token:
    /// - The token alone decides. The cookies of the request are ignored.
    /// - There is no CSRF check, because no browser adds a bearer token by itself.
    /// - The session is not renewed, and the response sets no cookies.
    /// - If the session's claims have changed, the handler gets the current claims.
    /// - If the token is invalid or expired, the answer is 401 with
    ///   `WWW-Authenticate: Bearer error="invalid_token"`. An [`optional`](Self::optional) layer gives the same answer.
    ///   The client then renews at its token endpoint, such as the one of the module `oauth`.
    #[must_use]
    pub fn accept_bearer(self) -> Self {
        Self { rules: CacheRules { accepts_bearer: true, ..self.rules }, ..self }
    }

    /// Sends `Cache-Control: no-store` instead of `private, no-cache` where a handler sets no `Cache-Control`. For such
    /// pages, the browser's back button always sends a request. So after a sign-out, the button shows no page of the
    /// session.
    #[must_use]
    pub fn no_store(self) -> Self {
        Self { rules: CacheRules { no_store: true, ..self.rules }, ..self }
    }

    /// Writes the responses to rejected requests by a closure. For a type, see [`with_reject`](Self::with_reject).
    /// Default: [`ProblemJson`]. In the two cases that [`Reject`] names, the layer writes the response itself.
    ///
    /// The closure gets the rejection and the head of the request. The layer adds `Cache-Control: no-store` to the
    /// response.
    ///
    /// With the feature `axum`, the closure returns any `IntoResponse`. Without the feature, it returns a `Response`.
    ///
    /// ```
    /// # #[cfg(feature = "axum")] fn layer(sessions: tower_sliding_sessions::Sessions) {
    /// use axum::response::Html;
    ///
    /// let layer = sessions.layer().with_rejection(|rejection, request| {
    ///     (rejection.status(), Html(format!("<p>Sign in to see {}.", request.uri.path())))
    /// });
    /// # }
    /// ```
    #[must_use]
    pub fn with_rejection<F, A>(self, reject: F) -> SessionLayer<C, F>
    where
        F: Fn(Rejection, &RequestHead<'_>) -> A + Clone,
        A: IntoRejectionResponse,
    {
        self.with_reject(reject)
    }

    /// Writes the responses to rejected requests by a type that implements [`Reject`], such as
    /// [`RedirectToLogin`](super::RedirectToLogin), or an `Arc<dyn Reject + Send + Sync>`. For a closure, see
    /// [`with_rejection`](Self::with_rejection). Default: [`ProblemJson`]. In the two cases that [`Reject`] names, the
    /// layer writes the response itself.
    #[must_use]
    pub fn with_reject<R2: Reject + Clone>(self, reject: R2) -> SessionLayer<C, R2> {
        let Self { engine, optional, rules, passive, .. } = self;
        SessionLayer { engine, optional, rules, passive, reject }
    }

    /// Decides which requests are passive, such as those of a page that polls. A passive request is authenticated, but
    /// does not count as use: it does not extend the idle timeout, and its response sets no cookies. If its access
    /// token is expired, the store is asked.
    ///
    /// The predicate may trust a header that the client sets, because a client can only shorten its own session by
    /// that.
    #[must_use]
    pub fn passive(self, is_passive: impl Fn(&RequestHead<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.engine.has_passive_requests.store(true, Ordering::Relaxed);
        Self { passive: Some(Arc::new(is_passive)), ..self }
    }
}

impl<S, C, R: Clone> Layer<S> for SessionLayer<C, R> {
    type Service = SessionService<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        SessionService { inner, layer: self.clone() }
    }
}

impl<C, R: Clone> Clone for SessionLayer<C, R> {
    fn clone(&self) -> Self {
        self.with_engine(self.engine.clone())
    }
}

impl<C, R: Clone> SessionLayer<C, R> {
    /// A clone for one request. References to the engine are counted on a cache line of this thread.
    pub(super) fn for_this_thread(&self) -> Self {
        self.with_engine(self.engine.for_this_thread())
    }

    fn with_engine(&self, engine: EngineHandle<C>) -> Self {
        Self { engine, passive: self.passive.clone(), reject: self.reject.clone(), ..*self }
    }
}

impl<C, R> fmt::Debug for SessionLayer<C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionLayer")
            .field("engine", &self.engine)
            .field("optional", &self.optional)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}
