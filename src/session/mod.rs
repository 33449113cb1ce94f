//! What a handler sees: its session, its visitor, and the cookies it answers with.

mod info;
mod set_cookies;
mod visitor;

pub(crate) use self::visitor::NotWelcome;
pub use self::{
    info::SessionInfo,
    set_cookies::SetCookies,
    visitor::{SignIn, Visitor},
};

use std::{fmt, sync::Arc, time::Duration};

use http::Request;

use crate::{
    claims::Claims,
    engine::{Active, Engine, Via},
    event::Renewed,
    id::SessionId,
    store::StoreError,
    time::Timestamp,
};

/// A signed-in session, as the layer found it. In axum it is an extractor; elsewhere see
/// [`Session::of`].
///
/// Cheap to clone. `C` is the type of the application's claims; `()` for none.
pub struct Session<C = ()> {
    pub(crate) active: Arc<Active<C>>,
    pub(crate) engine: Arc<Engine<C>>,
    pub(crate) renewed: Option<Renewed>,
    pub(crate) via: Via,
}

impl<C: Claims> Session<C> {
    /// The session of a request that came through the layer; none for an anonymous one.
    pub fn of<B>(request: &Request<B>) -> Option<&Self> {
        match request.extensions().get()? {
            Slot::Session(session) => Some(session),
            Slot::Anonymous => None,
        }
    }

    /// The application's claims, as of when the access token was minted.
    #[must_use]
    pub fn claims(&self) -> &C {
        &self.active.claims
    }

    /// Who it is (`sub`).
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.active.key.subject.name
    }

    /// Which session it is (`sid`).
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.active.key.id
    }

    /// When the session began. Never changed by a renewal.
    #[must_use]
    pub fn auth_time(&self) -> Timestamp {
        self.active.auth_time
    }

    /// When the subject last proved who it is: at sign-in, or later.
    #[must_use]
    pub fn proved_at(&self) -> Timestamp {
        self.active.proof_at.map_or(self.active.auth_time, |at| at.max(self.active.auth_time))
    }

    /// Whether the last proof is at most `age` old. A proof of the future, by a clock that is
    /// ahead, counts as of now.
    #[must_use]
    pub fn proved_within(&self, age: Duration) -> bool {
        self.engine.now().since(self.proved_at()) <= age
    }

    /// How the subject proved who it is (`amr`), as the application said at sign-in.
    #[must_use]
    pub fn methods(&self) -> &[String] {
        &self.active.methods
    }

    /// How long the access token is good for yet. The session goes on after that.
    #[must_use]
    pub fn expires_in(&self) -> Duration {
        self.active.expires.since(self.engine.now())
    }

    /// How this very request renewed the session, if it did.
    #[must_use]
    pub fn renewed(&self) -> Option<Renewed> {
        self.renewed
    }

    /// How often the session's refresh token was rotated, as far as this request shows.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.active.generation
    }

    /// Ends this session, finally and everywhere. The answer removes the cookies: make it part of
    /// the response. (It removes none if the request came with a bearer token: whatever cookies
    /// came along are not this session's.)
    ///
    /// # Errors
    /// [`StoreError`] if the store may not know of it. Then the session may still be alive, and
    /// the cookies are left so that signing out can be tried again.
    pub async fn sign_out(&self) -> Result<SetCookies, StoreError> {
        self.engine.sign_out(&self.active.key).await?;
        Ok(SetCookies::new(match self.via {
            Via::Cookies => self.engine.removal_lines(),
            Via::Bearer => Vec::new(),
        }))
    }
}

impl<C> Clone for Session<C> {
    fn clone(&self) -> Self {
        Self { active: self.active.clone(), engine: self.engine.clone(), ..*self }
    }
}

impl<C> fmt::Debug for Session<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.active.key.id)
            .field("renewed", &self.renewed)
            .finish_non_exhaustive()
    }
}

/// What the layer leaves in a request: that there is no session is different from no layer.
pub(crate) enum Slot<C> {
    Session(Session<C>),
    Anonymous,
}

impl<C> Clone for Slot<C> {
    fn clone(&self) -> Self {
        match self {
            Self::Session(session) => Self::Session(session.clone()),
            Self::Anonymous => Self::Anonymous,
        }
    }
}
