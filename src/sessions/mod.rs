//! The handle of an application to its sessions.

mod builder;

pub use self::builder::{BuildError, SessionsBuilder};
#[cfg(all(feature = "verify", any(feature = "aws_lc_rs", feature = "rust_crypto")))]
pub(crate) use self::builder::{check_realm, set_cookies};

use std::fmt;

#[cfg(feature = "test-util")]
use http::HeaderValue;
use http::{Extensions, Request};

#[cfg(feature = "test-util")]
use crate::engine::SignInError;
use crate::{
    claims::Claims,
    engine::EngineHandle,
    id::{RunId, SessionId},
    key_file::KeySource,
    middleware::{Rejection, Require, SessionLayer},
    protocol::Policy,
    request::RequestHead,
    session::{Layered, Session, SessionInfo, Visitor, know},
    store::{Revoke, StoreError},
    time::Timestamp,
    token::Keyring,
};

/// The sessions of one realm: makes the layer, lists sessions and revokes them. Cheap to clone. Keep it in the
/// application's state.
pub struct Sessions<C = ()> {
    pub(crate) engine: EngineHandle<C>,
}

impl<C: Claims> Sessions<C> {
    /// Starts building, with a [`Keyring`] or a [`KeyFile`](crate::KeyFile). Everything but the keys has a safe
    /// default.
    pub fn builder(keys: impl Into<KeySource>) -> SessionsBuilder<C> {
        SessionsBuilder::new(keys.into())
    }

    pub(crate) fn new(engine: EngineHandle<C>) -> Self {
        Self { engine }
    }

    /// The layer: protects routes and renews their sessions.
    #[must_use]
    pub fn layer(&self) -> SessionLayer<C> {
        // Access tokens are accepted without the store once the revocations are known.
        self.engine.start_followers();
        know::<C>();
        SessionLayer::new(self.engine.clone())
    }

    /// A layer that admits only some sessions, by role or step-up. Put it inside [`layer`](Self::layer).
    pub fn require(&self) -> Require<C> {
        Require::new(self.engine.id)
    }

    /// The session of this realm in a request that came through its [`layer`](Self::layer). None for an anonymous
    /// request. For applications in which several realms have one claims type; others use [`Session`].
    ///
    /// # Errors
    /// A [`Rejection`] (500) if the request did not come through this realm's layer.
    pub fn session_of<'r>(&self, extensions: &'r Extensions) -> Result<Option<&'r Session<C>>, Rejection> {
        let found = Layered::session_of(extensions, self.engine.id);
        Ok(found.inspect_err(|why| why.report::<C>("Sessions::session_of"))?)
    }

    /// The sender of `request`, for sign-in and sign-out. In axum, [`Visitor`] is an extractor.
    ///
    /// # Errors
    /// A [`Rejection`] (403) for a request from another origin with an unsafe method, and if cookies without `Secure`
    /// were chosen and the host is not localhost.
    pub fn visitor<B>(&self, request: &Request<B>) -> Result<Visitor<C>, Rejection> {
        Ok(Visitor::new((*self.engine).clone(), &RequestHead::of(request))?)
    }

    /// The live sessions of `subject`, oldest first, for a "your devices" page.
    ///
    /// # Errors
    /// [`StoreError`], also if the store cannot list.
    pub async fn list(&self, subject: impl ToString) -> Result<Vec<SessionInfo>, StoreError> {
        let interval = self.engine.config.policy.timing().rotation_interval;
        let subject = self.engine.subject(subject.to_string());
        let records = self.engine.backend.list(&subject, self.engine.now()).await?;
        Ok(records.iter().map(|record| SessionInfo::of(record, interval)).collect())
    }

    /// Revokes one session of `subject`, on all instances. Returns false if it was revoked or expired before, or is not
    /// a session of the subject.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    #[doc(alias = "denylist")]
    #[doc(alias = "blacklist")]
    #[doc(alias = "blocklist")]
    pub async fn revoke(&self, subject: impl ToString, session: SessionId) -> Result<bool, StoreError> {
        let key = self.engine.key(subject.to_string(), session);
        Ok(self.engine.revocation.revoke(Revoke::Session(key)).await? > 0)
    }

    /// Revokes all sessions of `subject`. Returns how many.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed, or cannot do it.
    pub async fn revoke_all(&self, subject: impl ToString) -> Result<usize, StoreError> {
        let subject = self.engine.subject(subject.to_string());
        self.engine.revocation.revoke(Revoke::Subject { subject, before: None, except: None }).await
    }

    /// Revokes all sessions of `subject` except `session`: "sign out everywhere else". Returns how many.
    ///
    /// This instance refuses the sessions that this call revokes at once. Those that another instance revoked just
    /// before are refused here within the lag of the store's feed.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed, or cannot do it.
    pub async fn revoke_others(
        &self,
        subject: impl ToString,
        session: SessionId,
    ) -> Result<usize, StoreError> {
        let subject = self.engine.subject(subject.to_string());
        self.engine.revocation.revoke(Revoke::Subject { subject, before: None, except: Some(session) }).await
    }

    /// Revokes the sessions of `subject` that began before `time`, except `except`. After a password change, give
    /// the time of the change and the session that it was made in. Returns how many.
    ///
    /// It includes sessions that began more than 5 s in the future, by a clock that was ahead.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed, or cannot do it.
    pub async fn revoke_before(
        &self,
        subject: impl ToString,
        time: Timestamp,
        except: Option<SessionId>,
    ) -> Result<usize, StoreError> {
        let subject = self.engine.subject(subject.to_string());
        self.engine.revocation.revoke_before(subject, time, except).await
    }

    /// Makes every access token of `subject` stale, on every device and instance: each is renewed at its next use.
    /// Call it after a change of roles. The new tokens have the claims of the
    /// [claims reload hook](SessionsBuilder::reload_claims). No session is revoked. A request with a bearer token
    /// is served with the new claims.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed, or cannot do it.
    pub async fn mark_stale(&self, subject: impl ToString) -> Result<(), StoreError> {
        self.engine.mark_stale(&subject.to_string()).await
    }

    /// The emergency stop: revokes all sessions of all users, in every realm of the store, by a new run ID. All
    /// sessions of an older run ID are invalid. Waits for the store for up to eight times the
    /// [deadline](SessionsBuilder::store_deadline) of a call.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed. In a Redis Cluster, some of its shards may have been raised. The error's
    /// source says this, and what to do.
    pub async fn revoke_everything(&self) -> Result<RunId, StoreError> {
        self.engine.revocation.revoke_everything().await
    }

    /// Signs `subject` in without a request. Returns the `Cookie` header for later requests. For tests of applications.
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

    /// The keys in force.
    #[must_use]
    pub fn keys(&self) -> Keyring {
        self.engine.tokens.codec().ring().clone()
    }

    /// Puts other keys in force, under load. Sessions whose tokens the new key ring verifies continue. A key that is no
    /// longer in it is [pulled](Keyring::pull): its tokens are void at once. The event is
    /// [`KeysChanged`](crate::EventKind::KeysChanged). Where a [`KeyFile`](crate::KeyFile) is followed, these keys are
    /// in force until the file changes.
    pub fn set_keys(&self, keys: Keyring) {
        self.engine.set_keys(keys);
    }

    /// The durations of sessions that begin on this instance. See [`Policy`] for sessions that began under other
    /// settings.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.engine.config.policy
    }

    /// The time of the builder's [clock](SessionsBuilder::clock).
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.engine.now()
    }

    /// Stops the background tasks, and waits for running background writes. Requests are still served, but each
    /// asks the store whether its session is revoked.
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
