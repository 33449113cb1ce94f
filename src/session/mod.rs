//! What a handler sees: its session, its visitor, and the cookies it answers with.

mod info;
mod layered;
mod set_cookies;
mod visitor;

pub(crate) use self::layered::{Layered, Misplaced, know};
pub use self::{
    info::SessionInfo,
    set_cookies::SetCookies,
    visitor::{SignIn, SignOutError, Visitor},
};

use std::{fmt, sync::Arc, time::Duration};

use http::Request;

use crate::{
    claims::Claims,
    engine::{Authenticated, ChangeError, CookieLine, Credential, Engine, SessionView},
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
    pub(crate) session: Authenticated<C>,
    pub(crate) renewed: Option<Renewed>,
    /// The generation that the request presented.
    pub(crate) presented: u64,
    pub(crate) credential: Credential,
    /// Where the request comes from, if that is compared.
    pub(crate) origin: Option<Arc<str>>,
}

impl<C: Claims> Session<C> {
    /// The session of a request that came through the layer. None for an anonymous one, and for one
    /// that came through no layer.
    ///
    /// Where layers of several realms with one claims type are nested, it is the session of the
    /// innermost one that is required, and none if all are optional:
    /// [`Sessions::session_of`](crate::Sessions::session_of) names the realm.
    pub fn of<B>(request: &Request<B>) -> Option<&Self> {
        Layered::session(request.extensions()).ok().flatten()
    }

    /// The application's claims, as of when the access token was minted.
    #[must_use]
    pub fn claims(&self) -> &C {
        &self.view().claims
    }

    /// Who it is (`sub`).
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.view().key.subject.name
    }

    /// Which session it is (`sid`).
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.view().key.id
    }

    /// When the session began, in whole seconds. Never changed by a renewal.
    #[must_use]
    pub fn auth_time(&self) -> Timestamp {
        self.view().auth_time
    }

    /// When the subject last proved who they are: at sign-in, or [later](Self::reauthenticate), in whole
    /// seconds. None if the proof was made elsewhere and does not count here: see
    /// [`OriginVerdict::StepUp`](crate::OriginVerdict::StepUp).
    #[must_use]
    pub fn authenticated_at(&self) -> Option<Timestamp> {
        self.view().authenticated_at()
    }

    /// Whether the last proof counts, and is at most `age` old. Ages are counted in whole seconds, as
    /// [`authenticated_at`](Self::authenticated_at) is, and `age` is rounded up: a proof counts for no less than `age`,
    /// and for less than a second more. A proof up to 5 s in the future, by a clock that is ahead,
    /// counts as of now. One further in the future does not count.
    #[must_use]
    pub fn authenticated_within(&self, age: Duration) -> bool {
        let (now, age) =
            (self.now().as_secs(), age.as_secs().saturating_add(u64::from(age.subsec_nanos() > 0)));
        self.authenticated_at().is_some_and(|at| {
            at.as_secs() <= now.saturating_add(LEEWAY.as_secs()) && now.saturating_sub(at.as_secs()) <= age
        })
    }

    /// How the subject proved who they are (`amr` of RFC 8176): the methods of the sign-in, and of
    /// the last [proof](Self::reauthenticate) after it.
    #[must_use]
    pub fn methods(&self) -> &[String] {
        &self.view().methods
    }

    /// How the subject [last](Self::authenticated_at) proved who they are: the methods of the last
    /// [proof](Self::reauthenticate), or of the sign-in if there was none. None if the proof does not count
    /// here.
    #[must_use]
    pub fn last_methods(&self) -> &[String] {
        match &self.view().step_up {
            StepUp::None => self.methods(),
            StepUp::Done { amr, .. } => amr,
            StepUp::Required => &[],
        }
    }

    /// How long the access token is good for yet. The session goes on after that.
    #[must_use]
    pub fn expires_in(&self) -> Duration {
        self.view().expires.since(self.now())
    }

    /// How this very request renewed the session, if it did.
    #[must_use]
    pub fn renewed(&self) -> Option<Renewed> {
        self.renewed
    }

    /// How often the session's refresh token was rotated, as far as this request shows.
    #[must_use]
    pub fn generation(&self) -> u64 {
        // A request that was only looked up shows no more than it presented: a thief who polls must
        // not learn when the token was rotated.
        if self.renewed.is_some() { self.view().generation } else { self.presented }
    }

    /// Replaces the claims of this session, now: a second factor was added, a name was changed. The
    /// answer is an access cookie that has them: make it part of the response. Requests already on
    /// their way have the old ones; all later ones have the new ones, on every instance. (A client
    /// that came with a bearer token keeps it, and is served with the new ones, for which the store is asked
    /// once.)
    ///
    /// # Errors
    /// [`ChangeError`] if the claims do not fit, if the session has ended, or if the store may not
    /// know of it.
    pub async fn update(&self, claims: &C) -> Result<SetCookies, ChangeError> {
        Ok(self.cookies(self.engine().update(self.view(), self.presented, claims).await?))
    }

    /// Records that the subject has just proved who they are by `methods` (`amr` of RFC 8176), such
    /// as `["pwd"]`. It takes the place of the last such proof; `auth_time` stays. The answer is an
    /// access cookie that shows it: make it part of the response.
    ///
    /// # Errors
    /// As of [`update`](Self::update).
    pub async fn reauthenticate<M: Into<String>>(
        &self,
        methods: impl IntoIterator<Item = M>,
    ) -> Result<SetCookies, ChangeError> {
        let methods = methods.into_iter().map(Into::into).collect();
        let origin = self.origin.clone();
        Ok(self.cookies(self.engine().reauthenticate(self.view(), self.presented, methods, origin).await?))
    }

    /// Returns when this session has ended: signed out, revoked, run out or of an earlier run, on
    /// whatever instance that happened. For streams and WebSockets, which go on when their request
    /// was long answered. An open connection does not keep a session alive; requests do.
    ///
    /// Ends on other instances are heard of within the lag of the store's feed; with a store that
    /// has none, and of sessions that run out, within a second or so; half a minute after the store was
    /// away for long. Must be polled within a Tokio runtime.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + use<C> {
        let token = self.session.token.clone();
        async move { token.engine.ended(&token).await }
    }

    /// Ends all other sessions of this subject: "sign out everywhere else", and what to do when a
    /// password was changed. Answers with how many.
    ///
    /// # Errors
    /// [`StoreError`] if the store may not know of it, or cannot do it.
    pub async fn revoke_others(&self) -> Result<usize, StoreError> {
        let SessionKey { subject, id } = self.view().key.clone();
        self.engine().revocation.revoke(Revoke::Subject { subject, before: None, except: Some(id) }).await
    }

    /// Ends this session, finally and everywhere. The answer removes the cookies: make it part of
    /// the response. (It removes none if the request came with a bearer token.)
    ///
    /// If the cookies of the request name other sessions as well, those go on:
    /// [`Visitor::sign_out`] revokes them too.
    ///
    /// # Errors
    /// [`StoreError`] if the store may not know of it. Then the session may still be alive, and
    /// the cookies are left so that signing out can be tried again.
    pub async fn sign_out(&self) -> Result<SetCookies, StoreError> {
        self.engine().revocation.revoke_by_token(&self.view().key).await?;
        Ok(self.cookies(self.engine().removal_lines()))
    }

    fn now(&self) -> Timestamp {
        self.engine().now()
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
