//! The application's claims, and how they follow the user.

use std::{borrow::Cow, error::Error, fmt, pin::Pin, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};

/// What an application keeps in its sessions, such as roles: anything that is JSON.
///
/// It travels in the access token, in every request, readable to whoever holds the cookie: keep it
/// small, and personal data out of it. Implemented for every type that can be.
///
/// What is written must be readable: a sign-in, an [update](crate::Session::update) and the claims hook
/// fail with [`MintError::NotReadable`](crate::MintError::NotReadable) where it is not, before anything
/// is stored. Two causes are easy to miss. JSON has no `NaN` and no infinity: `serde_json` writes `null`.
/// And if any crate of the build turns on `serde_json/arbitrary_precision`, `serde` cannot read floats
/// and 128-bit integers within `#[serde(flatten)]`, `#[serde(tag = "…")]` and `#[serde(untagged)]`: keep
/// such numbers out of them, or write them as text.
pub trait Claims: Serialize + DeserializeOwned + Send + Sync + 'static {}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Claims for T {}

/// What an application says of a user whose session is about to be renewed: see
/// [`SessionsBuilder::reload_claims`](crate::SessionsBuilder::reload_claims).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reload<C> {
    /// The session's claims are right as they are. If they no longer parse, it is refused.
    Keep,
    /// The new access token gets these claims. The session's record keeps its own.
    Replace(C),
    /// The user may not go on, locked or deleted as they are: the session ends.
    Revoke {
        /// Why, in words for [the event](crate::EventKind::RevokedByApplication). The caller does not
        /// learn it.
        reason: Cow<'static, str>,
    },
}

impl<C> Reload<C> {
    /// The session ends, because of `reason`.
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
