//! The types that handlers use: the session, the visitor, and the cookies of the response.

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

/// The session of a request, as the layer found it. In axum, `Session` is an extractor. Without axum, use
/// [`Session::of`].
///
/// A clone is cheap. `C` is the type of the application's claims: `()` for no claims. A `Session` stays usable even if
/// every [`Sessions`](crate::Sessions) and every layer is dropped.
pub struct Session<C = ()> {
    pub(crate) session: AuthenticatedSession<C>,
    pub(crate) renewed: Option<Renewed>,
    /// The generation that the request presented.
    pub(crate) presented: u64,
    pub(crate) credential: Credential,
    /// The client's origin, if origins are compared. This is not the HTTP header `Origin`.
    pub(crate) origin: Option<Arc<str>>,
}

impl<C: Claims> Session<C> {
    /// Returns the session of a request that came through a session layer. Returns `None` if the request is anonymous,
    /// or did not come through a session layer. See also [`from_parts`](Self::from_parts).
    ///
    /// If layers of several realms with the same claims type are nested, returns the session of the innermost required
    /// layer. If all of these layers are optional, returns `None`: use
    /// [`Sessions::session_of`](crate::Sessions::session_of) instead.
    pub fn of<B>(request: &Request<B>) -> Option<&Self> {
        Self::from_extensions(request.extensions())
    }

    /// As [`of`](Self::of), for a request that was split into parts.
    #[must_use]
    pub fn from_parts(parts: &Parts) -> Option<&Self> {
        Self::from_extensions(&parts.extensions)
    }

    /// As [`of`](Self::of), for the extensions of a request.
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

    /// When the user signed in, in whole seconds. Neither a renewal nor a re-authentication changes this time.
    #[must_use]
    pub fn auth_time(&self) -> Timestamp {
        self.view().auth_time
    }

    /// When the user last authenticated, in whole seconds: at the sign-in, or at the last
    /// [re-authentication](Self::reauthenticate).
    ///
    /// Returns `None` if the user must re-authenticate. There are two causes: the last authentication was at another
    /// origin and does not count for this request (see [`OriginVerdict::StepUp`](crate::OriginVerdict::StepUp)), or its
    /// time is unknown.
    #[must_use]
    pub fn authenticated_at(&self) -> Option<Timestamp> {
        self.view().authenticated_at()
    }

    /// Whether the user [last authenticated](Self::authenticated_at) at most `age` ago.
    ///
    /// The age is computed in whole seconds, and `age` is rounded up to a whole second. So the answer stays true for
    /// less than a second longer than the rounded `age`. A time at most 5 s in the future counts as now, because the
    /// clock of another instance may be ahead. A later time does not count.
    #[must_use]
    pub fn authenticated_within(&self, age: Duration) -> bool {
        let (now, age) =
            (self.now().as_secs(), age.as_secs().saturating_add(u64::from(age.subsec_nanos() > 0)));
        self.authenticated_at().is_some_and(|at| {
            at.as_secs() <= now.saturating_add(LEEWAY.as_secs()) && now.saturating_sub(at.as_secs()) <= age
        })
    }

    /// How the user authenticated (`amr` of RFC 8176): the methods of the sign-in and of the last
    /// [re-authentication](Self::reauthenticate). Empty if no authentication counts for this request: see
    /// [`OriginVerdict::StepUp`](crate::OriginVerdict::StepUp).
    #[must_use]
    pub fn methods(&self) -> &[String] {
        &self.view().methods
    }

    /// How the user [last authenticated](Self::authenticated_at): the methods of the last
    /// [re-authentication](Self::reauthenticate), or of the sign-in if there was no re-authentication. Empty if
    /// [`authenticated_at`](Self::authenticated_at) is `None`.
    #[must_use]
    pub fn last_methods(&self) -> &[String] {
        match &self.view().step_up {
            StepUp::None => self.methods(),
            StepUp::Done { amr, .. } => amr,
            StepUp::Required => &[],
        }
    }

    /// How long the access token of this request is still valid. The session continues after this time.
    #[must_use]
    pub fn expires_in(&self) -> Duration {
        self.view().expires.since(self.now())
    }

    /// Whether the session is bound to a device. The cookies of a bound session cannot renew the session without a
    /// proof of a key that stays on the device.
    ///
    /// False until a proof confirms the binding, some minutes after the sign-in. Also works for bearer tokens, and in
    /// services that only verify tokens.
    ///
    /// The answer is about the session, not about the client of this request: a copied access token works on another
    /// device until the token expires.
    #[doc(alias = "DBSC")]
    #[must_use]
    pub fn is_device_bound(&self) -> bool {
        self.view().device.is_some_and(|device| device.is_confirmed())
    }

    /// How this request renewed the session. `None` if this request did not renew the session.
    #[must_use]
    pub fn renewed(&self) -> Option<Renewed> {
        self.renewed
    }

    /// The generation of the refresh token, as far as this request shows it: how often the refresh token was rotated.
    #[must_use]
    pub fn generation(&self) -> u64 {
        // Without a renewal, return the presented generation: an attacker who polls with passive requests must not
        // learn when the refresh token was rotated.
        if self.renewed.is_some() { self.view().generation } else { self.presented }
    }

    /// Replaces the claims of this session, on every instance. Requests that are already in progress keep the old
    /// claims.
    ///
    /// Make the result part of the response: it is an access cookie with the new claims. A client with a bearer token
    /// gets no cookie. It keeps its token, and is served with the new claims.
    pub async fn update(&self, claims: &C) -> Result<SetCookies, ChangeError> {
        Ok(self.cookies(self.engine().update(self.view(), self.presented, claims).await?))
    }

    /// Records a re-authentication by `methods` (`amr` of RFC 8176), such as `["pwd"]`. Call `reauthenticate` after you
    /// have checked the password or the second factor. The new re-authentication replaces the last one.
    ///
    /// Make the result part of the response: it is an access cookie that shows the re-authentication.
    ///
    /// # Errors
    /// As for [`update`](Self::update).
    pub async fn reauthenticate<M: Into<String>>(
        &self,
        methods: impl IntoIterator<Item = M>,
    ) -> Result<SetCookies, ChangeError> {
        let methods = methods.into_iter().map(Into::into).collect();
        let origin = self.origin.clone();
        Ok(self.cookies(self.engine().reauthenticate(self.view(), self.presented, methods, origin).await?))
    }

    /// Prepares a token for another service (RFC 9068). The token is signed by the key of this application, has one
    /// audience, and is valid for minutes. Send the token as `Authorization: Bearer`.
    ///
    /// No application with these keys accepts the token as a session, in any realm. The token cannot be renewed, so
    /// mint a new token for each request. A sign-out does not revoke the token: the service accepts the token until it
    /// expires, unless the service follows the revocations.
    ///
    /// ```
    /// # use tower_sliding_sessions::{ServiceTokenError, Session};
    /// # fn invoices(session: Session) -> Result<(), ServiceTokenError> {
    /// let token = session.token_for("https://billing.example").scope("invoices:read").mint()?;
    /// # Ok(()) }
    /// ```
    ///
    /// The claims `auth_time` and `amr` describe the last authentication, as
    /// [`authenticated_at`](Self::authenticated_at) and [`last_methods`](Self::last_methods) do.
    #[doc(alias = "RFC 9068")]
    #[doc(alias = "machine to machine")]
    #[doc(alias = "token exchange")]
    pub fn token_for(&self, audience: impl Into<String>) -> TokenFor<'_, C> {
        TokenFor::new(self, audience.into())
    }

    /// Waits until this session is revoked (on any instance), expires, or belongs to an older run ID. For streams and
    /// WebSockets. An open connection does not extend a session. Only requests do.
    ///
    /// A revocation on another instance arrives by the store's feed. Without a feed, a revocation is noticed after
    /// about a second. Expiry is also noticed after about a second. After a long outage of the store, both may take up
    /// to half a minute. Poll the future within a Tokio runtime.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + use<C> {
        let token = self.session.token.clone();
        async move { token.engine.ended(&token).await }
    }

    /// Revokes all other sessions of this user: for "sign out everywhere else", and after a password change. Returns
    /// the number of revoked sessions.
    ///
    /// When the call returns, this instance already refuses the sessions that the call revoked. If another instance
    /// revoked some of these sessions just before, this instance refuses them within the lag of the store's feed.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed, or does not support this operation.
    pub async fn revoke_others(&self) -> Result<usize, StoreError> {
        let SessionKey { subject, id } = self.view().key.clone();
        self.engine().revocation.revoke(Revoke::Subject { subject, before: None, except: Some(id) }).await
    }

    /// Signs out. Once `sign_out` returns, the session is revoked. An in-flight renewal cannot restore it. Make the
    /// result part of the response: it removes the cookies. For a request with a bearer token, it removes no cookies.
    ///
    /// If the cookies of the request also name other sessions, use [`Visitor::sign_out`] to revoke all of them.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed. Then the session may still be live. The cookies stay, so that the user can
    /// try again.
    #[doc(alias = "logout")]
    pub async fn sign_out(&self) -> Result<SetCookies, StoreError> {
        self.engine().revocation.revoke_by_token(&self.view().key).await?;
        Ok(self.cookies(self.engine().removal_lines()))
    }

    /// Waits until the access token has expired, or until this instance knows that the session is revoked.
    #[cfg(feature = "verify")]
    pub(crate) fn token_ended(&self) -> impl Future<Output = ()> + Send + use<C> {
        let token = self.session.token.clone();
        async move { token.engine.token_ended(&token.view).await }
    }

    /// The details that only a token for another service has. `None` for a token of a session.
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

    /// The cookies for the response. A request with a bearer token gets none, because its cookies are not the cookies
    /// of this session.
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
