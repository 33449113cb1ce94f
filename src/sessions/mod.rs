//! The application's handle to its sessions.

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

/// The sessions of one realm. Makes the layer, lists sessions and revokes sessions. A clone is cheap. Keep `Sessions`
/// in the application's state.
pub struct Sessions<C = ()> {
    pub(crate) engine: EngineHandle<C>,
}

impl<C: Claims> Sessions<C> {
    /// Returns a builder. `keys` is a [`Keyring`] or a [`KeyFile`](crate::KeyFile). All other settings have safe
    /// defaults.
    pub fn builder(keys: impl Into<KeySource>) -> SessionsBuilder<C> {
        SessionsBuilder::new(keys.into())
    }

    pub(crate) fn new(engine: EngineHandle<C>) -> Self {
        Self { engine }
    }

    /// The layer. It protects routes, and renews the sessions of requests.
    #[must_use]
    pub fn layer(&self) -> SessionLayer<C> {
        // Start early: the layer accepts an access token without a store call only after the revocations are known.
        self.engine.start_followers();
        know::<C>();
        SessionLayer::new(self.engine.clone())
    }

    /// A layer that admits only some sessions: for example, by role or after a step-up. Put it inside
    /// [`layer`](Self::layer).
    pub fn require(&self) -> Require<C> {
        Require::new(self.engine.id)
    }

    /// Returns the session of this realm, for a request that came through this realm's [`layer`](Self::layer). Returns
    /// `None` for an anonymous request. For applications in which several realms have the same claims type. Other
    /// applications use [`Session`].
    pub fn session_of<'r>(&self, extensions: &'r Extensions) -> Result<Option<&'r Session<C>>, Rejection> {
        let found = Layered::session_of(extensions, self.engine.id);
        Ok(found.inspect_err(|why| why.report::<C>("Sessions::session_of"))?)
    }

    /// The sender of `request`, for sign-in and sign-out. In axum, [`Visitor`] is an extractor.
    ///
    /// # Errors
    /// A [`Rejection`] (403) in two cases: a request with an unsafe method comes from another origin that is not
    /// trusted, or the cookies have no `Secure` and the request is for another host than localhost.
    pub fn visitor<B>(&self, request: &Request<B>) -> Result<Visitor<C>, Rejection> {
        Ok(Visitor::new((*self.engine).clone(), &RequestHead::of(request))?)
    }

    /// The live sessions of `subject`, oldest first, for a "your devices" page.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed, or cannot list sessions.
    pub async fn list(&self, subject: impl ToString) -> Result<Vec<SessionInfo>, StoreError> {
        let interval = self.engine.config.policy.timing().rotation_interval;
        let subject = self.engine.subject(subject.to_string());
        let records = self.engine.backend.list(&subject, self.engine.now()).await?;
        Ok(records.iter().map(|record| SessionInfo::of(record, interval)).collect())
    }

    /// Revokes one session of `subject`, on all instances. Returns false if the session was already revoked or expired,
    /// or is not a session of `subject`.
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

    /// Revokes all sessions of `subject`. Returns the number of revoked sessions.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed, or does not support this operation.
    pub async fn revoke_all(&self, subject: impl ToString) -> Result<usize, StoreError> {
        let subject = self.engine.subject(subject.to_string());
        self.engine.revocation.revoke(Revoke::Subject { subject, before: None, except: None }).await
    }

    /// Revokes all sessions of `subject` except `session`: "sign out everywhere else". Returns the number of revoked
    /// sessions.
    ///
    /// When the call returns, this instance already refuses the sessions that the call revoked. If another instance
    /// revoked some of these sessions just before, this instance refuses them within the lag of the store's feed.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed, or does not support this operation.
    pub async fn revoke_others(
        &self,
        subject: impl ToString,
        session: SessionId,
    ) -> Result<usize, StoreError> {
        let subject = self.engine.subject(subject.to_string());
        self.engine.revocation.revoke(Revoke::Subject { subject, before: None, except: Some(session) }).await
    }

    /// Revokes the sessions of `subject` that began before `time`, except the session `except`. Returns the number of
    /// revoked sessions. After a password change, pass the time of the change and the session in which the password was
    /// changed.
    ///
    /// Also revokes sessions that seem to begin more than 5 s in the future. An instance whose clock was ahead opened
    /// these sessions, so they may be older than `time`.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed, or does not support this operation.
    pub async fn revoke_before(
        &self,
        subject: impl ToString,
        time: Timestamp,
        except: Option<SessionId>,
    ) -> Result<usize, StoreError> {
        let subject = self.engine.subject(subject.to_string());
        self.engine.revocation.revoke_before(subject, time, except).await
    }

    /// Marks every access token of `subject` as stale, on every device and instance. Each stale token is renewed at its
    /// next use. The new tokens have the claims of the [claims reload hook](SessionsBuilder::reload_claims). Call
    /// `mark_stale` after a change of roles. No session is revoked. A client with a bearer token keeps its token, and
    /// is served with the new claims.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed, or does not support this operation.
    pub async fn mark_stale(&self, subject: impl ToString) -> Result<(), StoreError> {
        self.engine.mark_stale(&subject.to_string()).await
    }

    /// The emergency stop: revokes all sessions of all users, in every realm of the store. The store gets a new run ID,
    /// and all sessions of an older run ID are invalid. The call waits for the store's answer for up to eight times the
    /// [deadline](SessionsBuilder::store_deadline) of a store call.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed. In a Redis Cluster, some shards may already have the new run ID. The source
    /// of the error then says so, and says what to do.
    pub async fn revoke_everything(&self) -> Result<RunId, StoreError> {
        self.engine.revocation.revoke_everything().await
    }

    /// For tests of applications: signs `subject` in without a request. Returns the `Cookie` header for later requests.
    ///
    /// # Errors
    /// [`SignInError`], as for any sign-in.
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

    /// The keys that are in force on this instance.
    #[must_use]
    pub fn keys(&self) -> Keyring {
        self.engine.tokens.codec().ring().clone()
    }

    /// Puts other keys in force on this instance, while it serves requests. A session continues if the new key ring can
    /// verify its tokens. A key that the new key ring does not have is [pulled](Keyring::pull): its tokens are invalid
    /// at once. The change is reported as the event [`KeysChanged`](crate::EventKind::KeysChanged). If the instance
    /// follows a [`KeyFile`](crate::KeyFile), `keys` are in force until the file changes.
    pub fn set_keys(&self, keys: Keyring) {
        self.engine.set_keys(keys);
    }

    /// The durations of sessions that begin on this instance. See [`Policy`] for sessions that began under other
    /// settings.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.engine.config.policy
    }

    /// The current time, by the [clock](SessionsBuilder::clock) of the builder.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.engine.now()
    }

    /// Stops the background tasks, and waits for running background writes. Requests are still served. But each request
    /// then asks the store whether its session is revoked.
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
