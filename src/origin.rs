//! Where sessions are opened and used, by the application's hooks.

use std::{fmt, sync::Arc};

use crate::{request::RequestHead, store::SessionRecord};

/// What to do with a session that is used from another origin than the recorded one. It is judged at renewals, and when
/// the store is asked about a bearer token. A copied access token stays valid until it expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OriginVerdict {
    /// Nothing.
    Ignore,
    /// Serve it, and [report](crate::EventKind::OriginChanged) it.
    Report,
    /// Serve it, and report it. Authentications at other origins do not count, so that
    /// [`Require::authenticated_within`](crate::Require::authenticated_within) asks for a re-authentication.
    StepUp,
    /// Report it, and answer as if there were no session. The session stays.
    Refuse,
}

pub(crate) type Describe = dyn Fn(&RequestHead<'_>) -> Option<String> + Send + Sync;
pub(crate) type Compare = dyn Fn(&str, Option<&str>) -> OriginVerdict + Send + Sync;

/// The application's hooks.
#[derive(Clone, Default)]
pub(crate) struct Origins {
    pub(crate) describe: Option<Arc<Describe>>,
    pub(crate) compare: Option<Arc<Compare>>,
    /// Whether reuse of the direct predecessor at the recorded origin keeps the session.
    pub(crate) keep_on_reuse: bool,
}

impl Origins {
    /// Where a request comes from, for the record.
    pub(crate) fn of(&self, request: &RequestHead<'_>) -> Option<Arc<str>> {
        self.describe.as_ref()?(request).map(Into::into)
    }

    /// Whether origins are compared.
    pub(crate) fn are_compared(&self) -> bool {
        self.compare.is_some()
    }

    /// What to do with a request from `here`. It is compared with where the session was opened, and with where its user
    /// last re-authenticated; the mildest verdict counts.
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
