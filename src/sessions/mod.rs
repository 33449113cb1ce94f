//! The one handle that a person holds.

mod builder;

pub use self::builder::{BuildError, SessionsBuilder};

use std::fmt;

#[cfg(feature = "test-util")]
use http::HeaderValue;
use http::{Extensions, Request};

#[cfg(feature = "test-util")]
use crate::engine::SignInError;
use crate::{
    claims::Claims,
    engine::Handle,
    id::{RunId, SessionId},
    middleware::{Rejection, Require, SessionLayer},
    protocol::Policy,
    request::RequestHead,
    session::{Layered, Session, SessionInfo, Visitor, know},
    store::{Revoke, StoreError},
    time::Timestamp,
    token::Keyring,
};

/// The sessions of one realm: makes the layer, and ends sessions. Cheap to clone; keep it in the
/// application's state.
pub struct Sessions<C = ()> {
    pub(crate) engine: Handle<C>,
}

impl<C: Claims> Sessions<C> {
    /// Starts building, with the one choice that has no safe default.
    pub fn builder(keys: Keyring) -> SessionsBuilder<C> {
        SessionsBuilder::new(keys)
    }

    pub(crate) fn new(engine: Handle<C>) -> Self {
        Self { engine }
    }

    /// The layer: protects the routes it wraps, and keeps their sessions alive.
    #[must_use]
    pub fn layer(&self) -> SessionLayer<C> {
        // The sooner the revocations are known, the sooner access tokens count.
        self.engine.revocation.start();
        know::<C>();
        SessionLayer::new(self.engine.clone())
    }

    /// A layer that admits only some of this realm's sessions: say which by its methods. Put it inside
    /// of [`layer`](Self::layer).
    pub fn require(&self) -> Require<C> {
        Require::new(self.engine.id)
    }

    /// The session of this realm in a request that came through its [`layer`](Self::layer). None for an
    /// anonymous request. In axum, [`Session`] is an extractor; where several realms share a claims
    /// type, this one names the realm.
    ///
    /// # Errors
    /// A [`Rejection`] (500) if the request did not come through this realm's layer.
    pub fn session_of<'r>(&self, extensions: &'r Extensions) -> Result<Option<&'r Session<C>>, Rejection> {
        let found = Layered::session_of(extensions, self.engine.id);
        Ok(found.inspect_err(|why| why.report::<C>("Sessions::session_of"))?)
    }

    /// Whoever sent `request`, for signing them in or out. In axum, [`Visitor`] is an extractor.
    ///
    /// # Errors
    /// A [`Rejection`] (403) if it is an unsafe request from another site, or over plain HTTP for
    /// another host than localhost.
    pub fn visitor<B>(&self, request: &Request<B>) -> Result<Visitor<C>, Rejection> {
        Ok(Visitor::new((*self.engine).clone(), &RequestHead::of(request))?)
    }

    /// The live sessions of `subject`, oldest first: a "your devices" page.
    ///
    /// # Errors
    /// [`StoreError`], also if the store cannot list.
    pub async fn list(&self, subject: impl ToString) -> Result<Vec<SessionInfo>, StoreError> {
        let interval = self.engine.config.policy.timing().rotation_interval;
        let subject = self.engine.subject(subject.to_string());
        let records = self.engine.backend.list(&subject, self.engine.now()).await?;
        Ok(records.iter().map(|record| SessionInfo::of(record, interval)).collect())
    }

    /// Ends one session of `subject`, finally and everywhere. Answers with how many ended: 0 if it
    /// had ended before, or is not one of the subject's.
    ///
    /// # Errors
    /// [`StoreError`] if the store may not know of it.
    pub async fn revoke(&self, subject: impl ToString, session: SessionId) -> Result<usize, StoreError> {
        self.engine.revocation.revoke(Revoke::Session(self.engine.key(subject.to_string(), session))).await
    }

    /// Ends all sessions of `subject`. Answers with how many.
    ///
    /// # Errors
    /// [`StoreError`] if the store may not know of it, or cannot do it.
    pub async fn revoke_all(&self, subject: impl ToString) -> Result<usize, StoreError> {
        let subject = self.engine.subject(subject.to_string());
        self.engine.revocation.revoke(Revoke::Subject { subject, before: None, except: None }).await
    }

    /// Ends all sessions of `subject` but `session`: "sign out everywhere else". Answers with how
    /// many.
    ///
    /// # Errors
    /// [`StoreError`] if the store may not know of it, or cannot do it.
    pub async fn revoke_others(
        &self,
        subject: impl ToString,
        session: SessionId,
    ) -> Result<usize, StoreError> {
        let subject = self.engine.subject(subject.to_string());
        self.engine.revocation.revoke(Revoke::Subject { subject, before: None, except: Some(session) }).await
    }

    /// Revokes the sessions of `subject` that began before `time`, except `except`: after a password
    /// was changed, give the time of the change and the session it was changed in. Answers with how
    /// many.
    ///
    /// Sessions that began more than 5 s in the future are included: a clock that was ahead opened
    /// them.
    ///
    /// # Errors
    /// [`StoreError`] if the store may not know of it, or cannot do it.
    pub async fn revoke_before(
        &self,
        subject: impl ToString,
        time: Timestamp,
        except: Option<SessionId>,
    ) -> Result<usize, StoreError> {
        let subject = self.engine.subject(subject.to_string());
        self.engine.revocation.revoke_before(subject, time, except).await
    }

    /// Has every access token of `subject` renewed at its next use, on every device and instance:
    /// after a change of roles. Nobody is signed out. The new tokens have the claims that the
    /// [hook](SessionsBuilder::reload_claims) gives. (A bearer token cannot be renewed, and is served with
    /// those.)
    ///
    /// # Errors
    /// [`StoreError`] if the store may not know of it, or cannot do it.
    pub async fn mark_stale(&self, subject: impl ToString) -> Result<(), StoreError> {
        self.engine.mark_stale(&subject.to_string()).await
    }

    /// The emergency stop: a new run ID ends every session of everyone at once, in every realm that
    /// shares the store.
    ///
    /// # Errors
    /// [`StoreError`] if the store may not know of it.
    pub async fn revoke_everything(&self) -> Result<RunId, StoreError> {
        self.engine.revocation.revoke_everything().await
    }

    /// Signs `subject` in without a request, and answers with the `Cookie` header of one that is
    /// signed in. For tests of applications.
    ///
    /// # Errors
    /// [`SignInError`], as at any sign-in.
    #[cfg(feature = "test-util")]
    #[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
    pub async fn cookie_of(&self, subject: impl ToString, claims: C) -> Result<HeaderValue, SignInError> {
        let (_, lines) =
            self.engine.sign_in(&subject.to_string(), &claims, Default::default(), Vec::new()).await?;
        let pairs = lines.iter().filter_map(|line| line.value.as_bytes().split(|b| *b == b';').next());
        let header = HeaderValue::from_bytes(&pairs.collect::<Vec<_>>().join(&b"; "[..]));
        header.map_err(|error| {
            SignInError::Claims(crate::token::MintError::NotJson(std::sync::Arc::new(error)))
        })
    }

    /// Replaces the keys of a running service. Sessions whose tokens the new ring still verifies
    /// go on; the others have ended.
    pub fn set_keys(&self, keys: Keyring) {
        self.engine.tokens.set_keys(keys);
    }

    /// The durations of sessions that begin on this instance. What of it is in force for sessions that
    /// began under other settings, [`Policy::timing`](crate::protocol::Policy::timing) says.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.engine.config.policy
    }

    /// The time by this realm's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.engine.now()
    }

    /// Ends the background work, and waits for the writes under way. Requests are still served,
    /// but the feed is no longer followed: each asks the store whether its session was revoked.
    pub async fn shutdown(&self) {
        self.engine.shut_down().await;
    }
}

impl<C> Clone for Sessions<C> {
    fn clone(&self) -> Self {
        Self { engine: self.engine.clone() }
    }
}

impl<C> fmt::Debug for Sessions<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("engine", &self.engine).finish()
    }
}
