//! The origins of clients, by the application's hooks: from where a session was opened, and from where it is used.

use std::{fmt, sync::Arc};

use crate::{request::RequestHead, store::SessionRecord};

/// What to do with a session that is used from another origin than the recorded origin.
///
/// Origins are compared at renewals, and when the store is asked about a bearer token or about the access token of a
/// device-bound session. For other requests, origins are not compared, so a copied access token stays valid until it
/// expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OriginVerdict {
    /// Serve the request.
    Ignore,
    /// Serve the request, and [report](crate::EventKind::OriginChanged) it.
    Report,
    /// Serve the request, and report it. Authentications at other origins do not count, so
    /// [`Require::authenticated_within`](crate::Require::authenticated_within) requires a re-authentication.
    StepUp,
    /// Report the request, and answer as if the request had no session. The session is not revoked.
    Refuse,
}

pub(crate) type Describe = dyn Fn(&RequestHead<'_>) -> Option<String> + Send + Sync;
pub(crate) type Compare = dyn Fn(&str, Option<&str>) -> OriginVerdict + Send + Sync;

/// The hooks of the application.
#[derive(Clone, Default)]
pub(crate) struct Origins {
    pub(crate) describe: Option<Arc<Describe>>,
    pub(crate) compare: Option<Arc<Compare>>,
    /// Whether refresh token reuse keeps the session, if the token is the direct predecessor and the client is at the
    /// recorded origin.
    pub(crate) keep_on_reuse: bool,
}

impl Origins {
    /// The client's origin of a request, for the record.
    pub(crate) fn of(&self, request: &RequestHead<'_>) -> Option<Arc<str>> {
        self.describe.as_ref()?(request).map(Into::into)
    }

    /// Whether origins are compared.
    pub(crate) fn are_compared(&self) -> bool {
        self.compare.is_some()
    }

    /// The verdict about a request from the origin `here`. It is compared with the origin of the sign-in, and with the
    /// origin of the last re-authentication. The mildest verdict counts.
    pub(crate) fn judge(&self, record: &SessionRecord, here: Option<&str>) -> OriginVerdict {
        let Some(compare) = &self.compare else { return OriginVerdict::Ignore };
        let later = record.reauthentication.as_ref().and_then(|later| later.origin.as_deref());
        let recorded = record.origin.as_deref().into_iter().chain(later);
        recorded.map(|origin| compare(origin, here)).min().unwrap_or(OriginVerdict::Ignore)
    }
}

impl fmt::Debug for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origins")
            .field("describe", &self.describe.is_some())
            .field("compare", &self.compare.is_some())
            .finish()
    }
}
