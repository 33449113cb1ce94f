//! Sign-outs that another system requests: an identity provider, or a tool that watches for incidents.
//!
//! | endpoint | request | standard |
//! |---|---|---|
//! | `/global-token-revocation` | a JSON body with `sub_id` (RFC 9493) | draft-parecki-oauth-global-token-revocation |
//! | `/security-events` | a Security Event Token (RFC 8417) with `session-revoked` of CAEP 1.0 | push delivery (RFC 8935). Needs the feature `aws_lc_rs` or `rust_crypto` |
//!
//! Both endpoints revoke the sessions of one subject, on every instance. The application finds the subject:
//!
//! ```no_run
//! use axum::Router;
//! use tower_sliding_sessions::{Rejection, Sessions, signals::{Signals, SubjectId}};
//!
//! # async fn find_user(_: &str) -> Result<Option<String>, std::io::Error> { Ok(None) }
//! pub fn app(sessions: &Sessions) -> Router {
//!     let signals = Signals::new(sessions, async |subject: SubjectId| match subject.format() {
//!         "email" => find_user(subject.get("email").unwrap_or_default()).await,
//!         _ => Ok(None),
//!     });
//!     let signals = signals.global_revocation(|head, _subject| {
//!         // Compare a secret in constant time, or verify a token, and check that this caller may name this subject.
//!         match head.headers.get("authorization") {
//!             Some(_) => Ok(()),
//!             None => Err(Rejection::unauthenticated()),
//!         }
//!     });
//!     Router::new().merge(signals.router())
//! }
//! ```
//!
//! Serve these endpoints over HTTPS only, and limit the rate of requests.

mod global;
#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
mod receive;
mod subject;

#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
pub use self::receive::Transmitter;
pub use self::subject::SubjectId;

use std::{error::Error, fmt, pin::Pin, sync::Arc};

use axum::{Router, extract::Request, routing::post};
use http::{HeaderMap, HeaderValue, header};

use crate::{
    claims::Claims,
    engine::EngineHandle,
    event::EventKind,
    middleware::Rejection,
    request::RequestHead,
    sessions::Sessions,
    store::{Revoke, StoreError},
    time::Timestamp,
};

/// The longest body that is read, in bytes.
const LONGEST: usize = 16 * 1024;

type BoxError = Box<dyn Error + Send + Sync>;
type Found = Pin<Box<dyn Future<Output = Result<Option<String>, BoxError>> + Send>>;
type Resolve = dyn Fn(SubjectId) -> Found + Send + Sync;
type MayRevoke = dyn Fn(&RequestHead<'_>, &SubjectId) -> Result<(), Rejection> + Send + Sync;

/// Builds the router of the endpoints: see the [module](self).
#[must_use = "call `router`"]
pub struct Signals<C = ()> {
    engine: EngineHandle<C>,
    resolve: Box<Resolve>,
    may_revoke: Option<Box<MayRevoke>>,
    #[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
    transmitters: Vec<Transmitter>,
}

impl<C: Claims> Signals<C> {
    /// Endpoints for these sessions. `resolve` finds the user of a subject identifier. It returns the subject that was
    /// given to [`sign_in`](crate::Visitor::sign_in), or `None` if there is no such user. If `resolve` fails, the
    /// response is 503, so that the caller tries again.
    pub fn new<F, E>(sessions: &Sessions<C>, resolve: impl Fn(SubjectId) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Option<String>, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let resolve = move |subject| -> Found {
            let found = resolve(subject);
            Box::pin(async move { found.await.map_err(Into::into) })
        };
        Self {
            engine: sessions.engine.clone(),
            resolve: Box::new(resolve),
            may_revoke: None,
            #[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
            transmitters: Vec::new(),
        }
    }

    /// Adds `POST /global-token-revocation`, which revokes all sessions of a subject. `may_revoke` authenticates the
    /// caller, and decides whether the caller may name this subject.
    ///
    /// | response | when |
    /// |---|---|
    /// | 204 | the sessions are revoked |
    /// | 400 | the request is malformed |
    /// | 401 | `may_revoke` returned [`Rejection::unauthenticated`] |
    /// | 403 | `may_revoke` returned another rejection |
    /// | 404 | there is no such user |
    /// | 422 | the store cannot revoke by subject, or has a record that cannot be read |
    /// | 503 | there is an outage of the store, `resolve` failed, or `may_revoke` returned a rejection with the status 503 |
    #[doc(alias = "universal logout")]
    pub fn global_revocation(
        mut self,
        may_revoke: impl Fn(&RequestHead<'_>, &SubjectId) -> Result<(), Rejection> + Send + Sync + 'static,
    ) -> Self {
        self.may_revoke = Some(Box::new(may_revoke));
        self
    }

    /// Adds `POST /security-events`, which accepts the events of this transmitter. Call this method once for each
    /// transmitter.
    ///
    /// An event `session-revoked` revokes the sessions of its subject that began before the event. So an event does not
    /// revoke a session that began later, even if the event arrives twice or late, or if an attacker sends a copy of
    /// the event. Other events are accepted and ignored. Events about unknown subjects are also accepted and ignored.
    ///
    /// The response is 202 if the event is accepted. The response is 400 with an error code of RFC 8935, section 2.4,
    /// if the event is refused, and 503 if the store or `resolve` fails.
    #[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
    #[cfg_attr(docsrs, doc(cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))))]
    #[doc(alias = "CAEP")]
    #[doc(alias = "shared signals")]
    pub fn receive_from(mut self, transmitter: Transmitter) -> Self {
        self.transmitters.push(transmitter);
        self
    }

    /// The router of the endpoints. Merge the router, or nest it. Only `POST` is accepted.
    pub fn router<S: Clone + Send + Sync + 'static>(self) -> Router<S> {
        let signals = Arc::new(self);
        let mut router = Router::new();
        if signals.may_revoke.is_some() {
            let signals = signals.clone();
            let endpoint = async move |request: Request| signals.clone().revoke_globally(request).await;
            router = router.route("/global-token-revocation", post(endpoint));
        }
        #[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
        if !signals.transmitters.is_empty() {
            let endpoint = async move |request: Request| signals.clone().receive(request).await;
            router = router.route("/security-events", post(endpoint));
        }
        router
    }

    /// Revokes all sessions of a subject, or its sessions that began before a time. Returns false if there is no such
    /// user.
    async fn revoke(&self, subject: SubjectId, before: Option<Timestamp>) -> Result<bool, StoreError> {
        let found = (self.resolve)(subject).await.map_err(|error| {
            let event = EventKind::InternalError { operation: "signals" };
            self.engine.config.events.failed(event, &*error);
            StoreError::unavailable("the application could not find the subject")
        })?;
        let Some(subject) = found else { return Ok(false) };
        let subject = self.engine.subject(subject);
        let revocation = &self.engine.revocation;
        match before {
            Some(time) => revocation.revoke_before(subject, time, None).await?,
            None => revocation.revoke(Revoke::Subject { subject, before: None, except: None }).await?,
        };
        Ok(true)
    }
}

/// Whether the request has exactly one content type, and it is `wanted`. Parameters of the content type are ignored.
fn has_type(headers: &HeaderMap, wanted: &str) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter().map(HeaderValue::as_bytes);
    let (Some(first), None) = (types.next(), types.next()) else { return false };
    let essence = first.split(|b| *b == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes())
}

impl<C> fmt::Debug for Signals<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals").field("engine", &self.engine).finish_non_exhaustive()
    }
}
