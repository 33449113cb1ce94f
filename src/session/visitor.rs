//! Whoever is there, signed in or not: for signing in and out.

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

/// Whoever sent a request, for signing them in or out. In axum it is an extractor, which needs no
/// layer; elsewhere see [`Sessions::visitor`](crate::Sessions::visitor).
///
/// Unsafe requests from other sites do not get one: nobody is signed in, or out, by a stranger's
/// page.
pub struct Visitor<C = ()> {
    engine: Arc<Engine<C>>,
    /// The sessions whose tokens the request carries in cookies, dead or alive.
    named: NamedSessions,
    origin: Option<Arc<str>>,
    /// The host, if the browser will drop our cookies.
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

    /// Signs `subject` in: a new session, always with a new ID. Once it is open, every session that a
    /// cookie of the request validly names is revoked. Await it, and make the answer part of the response.
    ///
    /// `subject` is whatever your users have as an ID: a name, a number, a UUID. It is turned into a
    /// string. `claims` are given as they are or by reference.
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
    /// [`SignInError`]: the user is not signed in, and the sessions of the request's cookies go on.
    #[expect(clippy::needless_pass_by_value, reason = "callers write `user.id` and `\"ann\"`")]
    pub fn sign_in<K: Borrow<C>>(&self, subject: impl ToString, claims: K) -> SignIn<'_, C, K> {
        let options = SignInOptions { origin: self.origin.clone(), ..Default::default() };
        SignIn { visitor: self, subject: subject.to_string(), claims, options }
    }

    /// Revokes every session that a cookie of the request validly names, and removes the cookies in any
    /// case, those of former names too. Works with expired tokens and revoked sessions as well, and with
    /// several values under one name.
    ///
    /// # Errors
    /// [`SignOutError`]: a session may still be alive, and the cookies are left so that signing out can
    /// be tried again.
    pub async fn sign_out(&self) -> Result<SetCookies, SignOutError> {
        let mut outcome = Ok(());
        // One that fails must not keep the others alive.
        for session in &self.named.sessions {
            outcome = outcome.and(self.engine.revocation.revoke_by_token(session).await.map(drop));
        }
        outcome?;
        if self.named.new_key {
            return Err(engine::new_key().into());
        }
        if self.named.too_many {
            return Err(SignOutError::TooManyCookies);
        }
        Ok(SetCookies::new(self.engine.removal_lines()))
    }
}

/// Why a sign-out may not have revoked every session that the request's cookies name.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignOutError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// More than eight different tokens came under one name. The sessions of the first eight are revoked.
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

/// A sign-in to be awaited, after saying more about it if need be.
#[must_use = "nobody is signed in until this is awaited"]
pub struct SignIn<'v, C, K = C> {
    visitor: &'v Visitor<C>,
    subject: String,
    claims: K,
    options: SignInOptions,
}

impl<C, K> SignIn<'_, C, K> {
    /// "Remember me": the cookies outlive the browser, for what is left of the absolute timeout and
    /// 400 days at most. Default: they go when the browser is closed.
    pub fn remember_me(mut self, yes: bool) -> Self {
        self.options.persistent = yes;
        self
    }

    /// How long this session may lie unused. Default, and longest: the policy's idle timeout.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.options.idle_timeout = Some(timeout);
        self
    }

    /// How long this session lives however much it is used. Default, and longest: the policy's
    /// absolute timeout. An idle timeout that would be longer is cut to it.
    pub fn absolute_timeout(mut self, timeout: Duration) -> Self {
        self.options.absolute_timeout = Some(timeout);
        self
    }

    /// How the subject proved who they are (`amr` of RFC 8176), such as `["pwd", "otp"]`. Default: none.
    pub fn by<M: Into<String>>(mut self, methods: impl IntoIterator<Item = M>) -> Self {
        self.options.methods = methods.into_iter().map(Into::into).collect();
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
