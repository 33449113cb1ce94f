//! Where sessions are opened from, and whether they are used from there: the application's to say.

use std::{fmt, sync::Arc};

use crate::{request::RequestHead, store::SessionRecord};

/// What to do about a session that is renewed from elsewhere than it was opened. It is judged at
/// renewals, and when a bearer token is looked up whose claims are out of date; so an access token that was
/// copied along is good for as long as it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OriginVerdict {
    /// Nothing.
    Ignore,
    /// Serve it, and [tell](crate::EventKind::OriginChanged) of it.
    Report,
    /// Serve it, and tell of it; but proofs of sign-in made elsewhere do not count here, so that
    /// [`Require::authenticated_within`](crate::Require::authenticated_within) asks for a new one.
    StepUp,
    /// Tell of it, and answer as if there were no session. The session goes on where it belongs.
    Refuse,
}

pub(crate) type Describe = dyn Fn(&RequestHead<'_>) -> Option<String> + Send + Sync;
pub(crate) type Compare = dyn Fn(&str, Option<&str>) -> OriginVerdict + Send + Sync;

/// The application's hooks.
#[derive(Clone, Default)]
pub(crate) struct Origins {
    pub(crate) describe: Option<Arc<Describe>>,
    pub(crate) compare: Option<Arc<Compare>>,
    /// Whether reuse of the direct predecessor where the session is at home keeps it.
    pub(crate) keep_on_reuse: bool,
}

impl Origins {
    /// Where a request comes from, for the record.
    pub(crate) fn of(&self, request: &RequestHead<'_>) -> Option<Arc<str>> {
        self.describe.as_ref()?(request).map(Into::into)
    }

    /// Whether it matters where a request comes from.
    pub(crate) fn are_compared(&self) -> bool {
        self.compare.is_some()
    }

    /// What to do about a request from `here`. A session is at home where it was opened, and where
    /// its subject last proved who they are; the mildest verdict counts.
    pub(crate) fn judge(&self, record: &SessionRecord, here: Option<&str>) -> OriginVerdict {
        let Some(compare) = &self.compare else { return OriginVerdict::Ignore };
        let proved = record.reauthentication.as_ref().and_then(|proof| proof.origin.as_deref());
        let homes = record.origin.as_deref().into_iter().chain(proved);
        homes.map(|home| compare(home, here)).min().unwrap_or(OriginVerdict::Ignore)
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
