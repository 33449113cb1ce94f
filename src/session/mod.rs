//! What a handler uses: the session, the visitor, and the cookies of its response.

mod info;
mod layered;
mod service_token;
mod set_cookies;
mod visitor;

pub(crate) use self::layered::{Layered, Misplaced, know};
pub use self::{
    info::SessionInfo,
    service_token::TokenFor,
    set_cookies::SetCookies,
    visitor::{SignIn, SignOutError, Visitor},
};

use std::{fmt, sync::Arc, time::Duration};

use http::{Extensions, Request, request::Parts};

use crate::{
    claims::Claims,
    engine::{AuthenticatedSession, ChangeError, CookieLine, Credential, Engine, SessionView},
    event::Renewed,
    id::SessionId,
    protocol::LEEWAY,
    store::{Revoke, SessionKey, StoreError},
    time::Timestamp,
    token::StepUp,
};

/// A signed-in session, as the layer found it. In axum it is an extractor; elsewhere see
/// [`Session::of`].
///
/// Cheap to clone. `C` is the type of the application's claims; `()` for none. It works as long as it is
/// held, also if every [`Sessions`](crate::Sessions) and layer was dropped.
pub struct Session<C = ()> {
    pub(crate) session: AuthenticatedSession<C>,
    pub(crate) renewed: Option<Renewed>,
    /// The generation that the request presented.
    pub(crate) presented: u64,
    pub(crate) credential: Credential,
    /// Where the request comes from, if that is compared.
    pub(crate) origin: Option<Arc<str>>,
}

impl<C: Claims> Session<C> {
    /// The session of a request that came through the layer. None for an anonymous request, and without a
    /// layer. See also [`from_parts`](Self::from_parts).
    ///
    /// If layers of several realms with one claims type are nested, it is the session of the innermost layer
    /// that is required, and none if all are optional. Then use
    /// [`Sessions::session_of`](crate::Sessions::session_of).
    pub fn of<B>(request: &Request<B>) -> Option<&Self> {
        Self::from_extensions(request.extensions())
    }

    /// The same, for a request in parts.
    #[must_use]
    pub fn from_parts(parts: &Parts) -> Option<&Self> {
        Self::from_extensions(&parts.extensions)
    }

    /// The same, for the extensions of a request.
    #[must_use]
    pub fn from_extensions(extensions: &Extensions) -> Option<&Self> {
        Layered::session(extensions).ok().flatten()
    }

    /// The application's claims.
    #[must_use]
    pub fn claims(&self) -> &C {
        &self.view().claims
    }

    /// The user's ID (`sub`).
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.view().key.subject.name
    }

    /// The session's ID (`sid`).
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.view().key.id
    }

    /// When the user signed in, in whole seconds. A renewal does not change it.
    #[must_use]
    pub fn auth_time(&self) -> Timestamp {
        self.view().auth_time
    }

    /// When the user last authenticated, in whole seconds: at sign-in, or [later](Self::reauthenticate). None if
    /// that was at another origin and does not count here: see
    /// [`OriginVerdict::StepUp`](crate::OriginVerdict::StepUp).
    #[must_use]
    pub fn authenticated_at(&self) -> Option<Timestamp> {
        self.view().authenticated_at()
    }

    /// Whether the user [last authenticated](Self::authenticated_at) at most `age` ago. Ages count in whole
    /// seconds, and `age` is rounded up, so the answer is yes for less than a second longer than `age`. A time up
    /// to 5 s in the future, by a clock that is ahead, counts as now; a later one does not count.
    #[must_use]
    pub fn authenticated_within(&self, age: Duration) -> bool {
        let (now, age) =
            (self.now().as_secs(), age.as_secs().saturating_add(u64::from(age.subsec_nanos() > 0)));
        self.authenticated_at().is_some_and(|at| {
            at.as_secs() <= now.saturating_add(LEEWAY.as_secs()) && now.saturating_sub(at.as_secs()) <= age
        })
    }

    /// How the user authenticated (`amr` of RFC 8176): the methods of the sign-in and of the last
    /// [re-authentication](Self::reauthenticate).
    #[must_use]
    pub fn methods(&self) -> &[String] {
        &self.view().methods
    }

    /// How the user [last authenticated](Self::authenticated_at): the methods of the last
    /// [re-authentication](Self::reauthenticate), or of the sign-in if there was none. Empty if that does not
    /// count here.
    #[must_use]
    pub fn last_methods(&self) -> &[String] {
        match &self.view().step_up {
            StepUp::None => self.methods(),
            StepUp::Done { amr, .. } => amr,
            StepUp::Required => &[],
        }
    }

    /// How long the access token is still valid. The session continues after that.
    #[must_use]
    pub fn expires_in(&self) -> Duration {
        self.view().expires.since(self.now())
    }

    /// Whether the session is bound to a device: its cookies renew nothing without a proof of a key that stays on the
    /// device. False until the browser has proven it once, some minutes after the sign-in. Also known to services that
    /// only verify, and for bearer tokens.
    ///
    /// It is known of the session, not of the request: until its access token expires, a copy of it works elsewhere.
    #[doc(alias = "DBSC")]
    #[must_use]
    pub fn is_device_bound(&self) -> bool {
        self.view().device.is_some_and(|device| device.is_confirmed())
    }

    /// How this request renewed the session, if it did.
    #[must_use]
    pub fn renewed(&self) -> Option<Renewed> {
        self.renewed
    }

    /// How often the session's refresh token was rotated, as far as this request shows.
    #[must_use]
    pub fn generation(&self) -> u64 {
        // A passive request shows what it presented: an attacker who polls must not learn when the token was
        // rotated.
        if self.renewed.is_some() { self.view().generation } else { self.presented }
    }

    /// Replaces the claims of this session, on every instance. Make the answer part of the response: it is an
    /// access cookie with the new claims. Requests that are being handled keep the old claims.
    ///
    /// A client with a bearer token keeps its token, and is served with the new claims.
    ///
    /// # Errors
    /// [`ChangeError`] if the claims do not fit, if the session is revoked or expired, or if the store failed.
    pub async fn update(&self, claims: &C) -> Result<SetCookies, ChangeError> {
        Ok(self.cookies(self.engine().update(self.view(), self.presented, claims).await?))
    }

    /// Records a re-authentication by `methods` (`amr` of RFC 8176), such as `["pwd"]`: call it after you have
    /// checked the password or the second factor. It replaces the last re-authentication. Make the answer part
    /// of the response: it is an access cookie that shows it.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub async fn reauthenticate<M: Into<String>>(
        &self,
        methods: impl IntoIterator<Item = M>,
    ) -> Result<SetCookies, ChangeError> {
        let methods = methods.into_iter().map(Into::into).collect();
        let origin = self.origin.clone();
        Ok(self.cookies(self.engine().reauthenticate(self.view(), self.presented, methods, origin).await?))
    }

    /// Begins a token for another service (RFC 9068): signed by the key of this application, for one audience, valid
    /// for minutes. Send it as `Authorization: Bearer`.
    ///
    /// No application with these keys accepts it as a session, in any realm. It cannot be renewed:
    /// mint one for each request. A sign-out does not reach it: the service accepts it until it expires, unless it
    /// follows the revocations.
    ///
    /// ```
    /// # use tower_sliding_sessions::{ServiceTokenError, Session};
    /// # fn invoices(session: Session) -> Result<(), ServiceTokenError> {
    /// let token = session.token_for("https://billing.example").scope("invoices:read").mint()?;
    /// # Ok(()) }
    /// ```
    ///
    /// The claims `auth_time` and `amr` tell of the last authentication, as
    /// [`authenticated_at`](Self::authenticated_at) and [`last_methods`](Self::last_methods) do.
    #[doc(alias = "RFC 9068")]
    #[doc(alias = "machine to machine")]
    #[doc(alias = "token exchange")]
    pub fn token_for(&self, audience: impl Into<String>) -> TokenFor<'_, C> {
        TokenFor::new(self, audience.into())
    }

    /// Returns when this session has ended: revoked on any instance, expired, or of an older run ID. For streams
    /// and WebSockets. An open connection does not keep a session alive; requests do.
    ///
    /// A revocation on another instance takes as long as the store's feed. Without a feed, and for expiry, it
    /// takes about a second; after a long outage of the store, up to half a minute. Must be polled within a
    /// Tokio runtime.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + use<C> {
        let token = self.session.token.clone();
        async move { token.engine.ended(&token).await }
    }

    /// Revokes all other sessions of this user: "sign out everywhere else", and after a password change. Answers
    /// with how many.
    ///
    /// This instance refuses the sessions that this call revokes at once. Those that another instance revoked just
    /// before are refused here within the lag of the store's feed.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed, or cannot do it.
    pub async fn revoke_others(&self) -> Result<usize, StoreError> {
        let SessionKey { subject, id } = self.view().key.clone();
        self.engine().revocation.revoke(Revoke::Subject { subject, before: None, except: Some(id) }).await
    }

    /// Signs out. Once this returns, the session is revoked, and no in-flight renewal can restore it. Make the
    /// answer part of the response: it removes the cookies (none for a request with a bearer token).
    ///
    /// If the cookies of the request name other sessions, too, [`Visitor::sign_out`] revokes all of them.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed. Then the session may still be live, and the cookies stay, so that the
    /// user can try again.
    #[doc(alias = "logout")]
    pub async fn sign_out(&self) -> Result<SetCookies, StoreError> {
        self.engine().revocation.revoke_by_token(&self.view().key).await?;
        Ok(self.cookies(self.engine().removal_lines()))
    }

    /// Returns when the access token has expired, or the session is known to be revoked.
    #[cfg(feature = "verify")]
    pub(crate) fn token_ended(&self) -> impl Future<Output = ()> + Send + use<C> {
        let token = self.session.token.clone();
        async move { token.engine.token_ended(&token.view).await }
    }

    /// What only a token for another service has.
    #[cfg(feature = "verify")]
    pub(crate) fn service(&self) -> Option<&crate::token::ServiceDetails> {
        self.view().service.as_deref()
    }

    #[cfg(feature = "verify")]
    pub(crate) fn has_scope(&self, scope: &str) -> bool {
        let scopes = self.service().and_then(|service| service.scope.as_deref());
        scopes.is_some_and(|scopes| scopes.split(' ').any(|one| one == scope))
    }

    fn now(&self) -> Timestamp {
        self.engine().now()
    }

    #[cfg(feature = "vault")]
    pub(crate) fn key(&self) -> &SessionKey {
        &self.view().key
    }

    fn view(&self) -> &SessionView<C> {
        self.session.view()
    }

    fn engine(&self) -> &Engine<C> {
        &self.session.token.engine
    }

    /// Cookies that came with a bearer token are not this session's.
    fn cookies(&self, lines: Vec<CookieLine>) -> SetCookies {
        SetCookies::new(match self.credential {
            Credential::Cookies => lines,
            Credential::Bearer => Vec::new(),
        })
    }
}

impl<C> Clone for Session<C> {
    fn clone(&self) -> Self {
        Self { session: self.session.clone(), origin: self.origin.clone(), ..*self }
    }
}

impl<C> fmt::Debug for Session<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.session.view().key.id)
            .field("renewed", &self.renewed)
            .finish_non_exhaustive()
    }
}
