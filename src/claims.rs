//! The application's claims, and how they follow the user.

use std::{borrow::Cow, error::Error, fmt, pin::Pin, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};

/// What an application keeps in its sessions, such as roles: anything that is JSON.
///
/// Claims are part of the access token, in every request. Everyone who has the cookie can read them, unless it is
/// [encrypted](crate::guide::encrypted_cookies). Keep them small, and keep personal data out of them. Implemented for
/// every type with these bounds.
///
/// Claims must be readable after they are written. Otherwise a sign-in, an [update](crate::Session::update) and the
/// claims reload hook fail with [`MintError::NotReadable`](crate::MintError::NotReadable), before anything is stored.
/// Two causes are easy to miss. JSON has no `NaN` and no infinity: `serde_json` writes `null`. And if any crate of the
/// build turns on `serde_json/arbitrary_precision`, `serde` cannot read floats and 128-bit integers within
/// `#[serde(flatten)]`, `#[serde(tag = "…")]` and `#[serde(untagged)]`: keep such numbers out of them, or write them as
/// text.
pub trait Claims: Serialize + DeserializeOwned + Send + Sync + 'static {}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Claims for T {}

/// The answer of the claims reload hook: see [`SessionsBuilder::reload_claims`](crate::SessionsBuilder::reload_claims).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reload<C> {
    /// Keep the session's claims. If they cannot be read, the session is refused.
    Keep,
    /// The new access token gets these claims. The session's record keeps its own.
    Replace(C),
    /// The user is locked or deleted: revoke the session.
    Revoke {
        /// The reason, for [the event](crate::EventKind::RevokedByApplication). The client does not see it.
        reason: Cow<'static, str>,
    },
}

impl<C> Reload<C> {
    /// Revokes the session, because of `reason`.
    pub fn revoke(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Revoke { reason: reason.into() }
    }
}

type Reloading<C> = Pin<Box<dyn Future<Output = Result<Reload<C>, Box<dyn Error + Send + Sync>>> + Send>>;

type Hook<C> = dyn Fn(Arc<str>, Option<C>) -> Reloading<C> + Send + Sync;

/// The application's hook.
pub(crate) struct Reloader<C>(Arc<Hook<C>>);

impl<C: 'static> Reloader<C> {
    pub(crate) fn new<F, E>(hook: impl Fn(Arc<str>, Option<C>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Reload<C>, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        Self(Arc::new(move |subject, claims| {
            let reloaded = hook(subject, claims);
            Box::pin(async move { reloaded.await.map_err(Into::into) })
        }))
    }

    /// Asks the application. `claims` are those of the record, if they still parse.
    pub(crate) fn reload(&self, subject: Arc<str>, claims: Option<C>) -> Reloading<C> {
        (self.0)(subject, claims)
    }
}

impl<C> fmt::Debug for Reloader<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reloader")
    }
}
