//! The application's claims, and the hook that reloads them.

use std::{borrow::Cow, error::Error, fmt, pin::Pin, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};

/// The data that an application keeps in its sessions: for example, roles. Every type that can be written as JSON and
/// read back is suitable. The trait is implemented for every type with these bounds.
///
/// Claims are part of the access token, so each request carries them. Everyone who has the access cookie can read them,
/// unless the cookie is [encrypted](crate::guide::encrypted_cookies). Keep claims small, and keep personal data out of
/// them.
///
/// Claims that were written must be readable. Otherwise a sign-in, an [update](crate::Session::update) and the claims
/// reload hook fail with [`MintError::NotReadable`](crate::MintError::NotReadable), before anything is stored. Two
/// causes are easy to miss:
///
/// - JSON has no `NaN` and no infinity: `serde_json` writes `null`.
/// - If any crate of the build turns on `serde_json/arbitrary_precision`, `serde` cannot read floats and 128-bit
///   integers within `#[serde(flatten)]`, `#[serde(tag = "…")]` and `#[serde(untagged)]`. Keep such numbers out of
///   these types, or write the numbers as text.
pub trait Claims: Serialize + DeserializeOwned + Send + Sync + 'static {}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Claims for T {}

/// The answer of the claims reload hook: see [`SessionsBuilder::reload_claims`](crate::SessionsBuilder::reload_claims).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reload<C> {
    /// Keep the claims of the session's record. If these claims cannot be read, the request is refused.
    Keep,
    /// Use these claims in the new access token. The session's record keeps its claims.
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

/// The claims reload hook of the application.
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

    /// Calls the hook. `claims` are the claims of the record, if they can be read.
    pub(crate) fn reload(&self, subject: Arc<str>, claims: Option<C>) -> Reloading<C> {
        (self.0)(subject, claims)
    }
}

impl<C> fmt::Debug for Reloader<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reloader")
    }
}
