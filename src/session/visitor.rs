//! The sender of a request, for sign-in and sign-out.

use std::{borrow::Borrow, fmt, pin::Pin, sync::Arc, time::Duration};

use super::SetCookies;
use crate::{
    claims::Claims,
    cross_site,
    engine::{self, Engine, NamedSessions, SignInError, SignInOptions},
    rejection::RejectionKind,
    request::RequestHead,
    store::StoreError,
};

/// The sender of a request, signed in or not. Signs users in and out. In axum, `Visitor` is an extractor, and needs no
/// layer. Without axum, use [`Sessions::visitor`](crate::Sessions::visitor).
///
/// A request with an unsafe method from another origin is rejected, unless the origin is
/// [trusted](crate::CookieOptions::trusted_origin). So no other site can sign a user in or out.
#[doc(alias = "login csrf")]
pub struct Visitor<C = ()> {
    engine: Arc<Engine<C>>,
    /// The sessions whose tokens are in the cookies, live or not.
    named: NamedSessions,
    origin: Option<Arc<str>>,
    /// The host of the request, if the browser will drop the cookies: they have `Secure`, and the page was loaded over
    /// plain HTTP.
    plain_http_host: Option<String>,
}

impl<C: Claims> Visitor<C> {
    pub(crate) fn new(engine: Arc<Engine<C>>, request: &RequestHead<'_>) -> Result<Self, RejectionKind> {
        engine.check_loopback(request)?;
        engine.check_cross_site(request)?;
        let RequestHead { uri, headers, .. } = *request;
        let named = engine.named_sessions(headers);
        let origin = engine.origin_of(request);
        let plain_http_host = match engine.config.cookies.secure {
            true => cross_site::plain_http_host(uri, headers),
            false => None,
        };
        Ok(Self { engine, named, origin, plain_http_host })
    }

    /// Signs in: opens a new session with a new ID. Then revokes the sessions whose tokens are in the cookies of the
    /// request, to prevent session fixation. Await the sign-in, and make its result part of the response.
    ///
    /// `subject` is the user's ID: for example, a name, a number or a UUID. Pass `claims` by value or by reference.
    ///
    /// ```
    /// # use tower_sliding_sessions::{Visitor, SetCookies, SignInError};
    /// # struct User { id: u64, roles: Vec<String> }
    /// # async fn login(visitor: Visitor<Vec<String>>, user: User) -> Result<SetCookies, SignInError> {
    /// let cookies = visitor.sign_in(user.id, &user.roles).await?;
    /// # Ok(cookies) }
    /// ```
    ///
    /// # Errors
    /// [`SignInError`]. Then no client has tokens of the new session. The sessions of the request's cookies stay, with
    /// two exceptions: see [`SignInError`].
    #[doc(alias = "login")]
    #[doc(alias = "session fixation")]
    #[expect(clippy::needless_pass_by_value, reason = "callers write `user.id` and `\"ann\"`")]
    pub fn sign_in<K: Borrow<C>>(&self, subject: impl ToString, claims: K) -> SignIn<'_, C, K> {
        let options = SignInOptions { origin: self.origin.clone(), ..Default::default() };
        SignIn { visitor: self, subject: subject.to_string(), claims, options }
    }

    /// The sessions whose tokens are in the cookies of the request.
    #[cfg(feature = "oidc")]
    pub(crate) fn named(&self) -> &[crate::store::SessionKey] {
        &self.named.sessions
    }

    /// Signs out: revokes each session whose token is in the cookies of the request. Removes the cookies, and also the
    /// [former cookies](crate::CookieOptions::former). Works with expired tokens, with revoked sessions, and with
    /// several cookies of the same name.
    ///
    /// # Errors
    /// [`SignOutError`]. Then a session may still be live. The cookies stay, so that the user can try again.
    #[doc(alias = "logout")]
    pub async fn sign_out(&self) -> Result<SetCookies, SignOutError> {
        let mut outcome = Ok(());
        // One failure must not keep the other sessions alive.
        for session in &self.named.sessions {
            outcome = outcome.and(self.engine.revocation.revoke_by_token(session).await.map(drop));
        }
        outcome?;
        if self.named.has_token_of_new_key {
            return Err(engine::new_key_error().into());
        }
        if self.named.too_many {
            return Err(SignOutError::TooManyCookies);
        }
        Ok(SetCookies::new(self.engine.removal_lines()))
    }
}

/// Why a sign-out may not have revoked every session.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignOutError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// More than eight different tokens have the same cookie name. The sessions of the first eight are revoked.
    #[error("too many different cookies have the same name")]
    TooManyCookies,
}

impl<C> fmt::Debug for Visitor<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visitor")
            .field("sessions", &self.named.sessions.iter().map(|key| key.id).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// A sign-in and its options. The sign-in runs when it is awaited.
#[must_use = "the user is only signed in when this is awaited"]
pub struct SignIn<'v, C, K = C> {
    visitor: &'v Visitor<C>,
    subject: String,
    claims: K,
    options: SignInOptions,
}

impl<C, K> SignIn<'_, C, K> {
    /// "Remember me": the browser keeps the cookies after it is closed, until the absolute timeout, and for at most 400
    /// days. Default: the browser deletes the cookies when it is closed.
    #[doc(alias = "remember me")]
    pub fn remember_me(mut self, yes: bool) -> Self {
        self.options.persistent = yes;
        self
    }

    /// The idle timeout of this session. Default and maximum: the idle timeout of the
    /// [`Policy`](crate::protocol::Policy).
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.options.idle_timeout = Some(timeout);
        self
    }

    /// The absolute timeout of this session. Default and maximum: the absolute timeout of the
    /// [`Policy`](crate::protocol::Policy).
    ///
    /// If the policy's idle timeout is longer than `timeout`, the session's idle timeout is cut to `timeout`. If you
    /// set [`idle_timeout`](Self::idle_timeout) to more than `timeout`, the sign-in fails.
    pub fn absolute_timeout(mut self, timeout: Duration) -> Self {
        self.options.absolute_timeout = Some(timeout);
        self
    }

    /// How the user authenticated (`amr` of RFC 8176), such as `["pwd", "otp"]`. Default: none.
    pub fn by<M: Into<String>>(mut self, methods: impl IntoIterator<Item = M>) -> Self {
        self.options.methods = methods.into_iter().map(Into::into).collect();
        self
    }
}

#[cfg(any(feature = "oidc", feature = "vault"))]
impl<C, K> SignIn<'_, C, K> {
    /// Changes options that other parts of this crate set.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut SignInOptions)) -> Self {
        change(&mut self.options);
        self
    }
}

impl<'v, C: Claims, K: Borrow<C> + Send + 'v> IntoFuture for SignIn<'v, C, K> {
    type Output = Result<SetCookies, SignInError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'v>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Self { visitor, subject, claims, options } = self;
            let replaced = visitor.named.sessions.clone();
            let opened = visitor.engine.sign_in(&subject, claims.borrow(), options, replaced);
            let (session, lines) = opened.await?;
            if let Some(host) = &visitor.plain_http_host {
                visitor.engine.warn_of_plain_http(host);
            }
            Ok(SetCookies::of_session(session, lines, visitor.engine.clone()))
        })
    }
}

impl<C, K> fmt::Debug for SignIn<'_, C, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignIn").finish_non_exhaustive()
    }
}
