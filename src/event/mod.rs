//! One typed event for each decision, for operators: what the caller must not learn.

mod kind;
#[cfg(any(feature = "metrics", feature = "tracing"))]
mod sinks;

pub use self::kind::{EventKind, Renewed, Severity};

use std::{fmt, sync::Arc};

use crate::id::{SessionId, SessionTag};

/// Something that happened, and to whom.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// In which realm.
    pub realm: Arc<str>,
    /// To which session, as far as a log may know: see [`SessionId::tag`].
    pub session: Option<SessionTag>,
    /// To whom. Only ever what a good signature or the application said.
    pub subject: Option<Arc<str>>,
}

/// What an application is told with.
pub(crate) type Hook = dyn Fn(&Event) + Send + Sync;

/// Where events go: to the application's hook, to `tracing` and to `metrics`.
#[derive(Clone)]
pub(crate) struct Events {
    pub(crate) realm: Arc<str>,
    pub(crate) hook: Option<Arc<Hook>>,
}

impl Events {
    /// Something that is of no one session.
    pub(crate) fn note(&self, kind: EventKind) {
        self.emit(kind, None, None);
    }

    /// Something that happened to a subject, and to no one session.
    pub(crate) fn of_subject(&self, kind: EventKind, subject: &Arc<str>) {
        self.emit(kind, None, Some(subject));
    }

    /// Something that happened to a session.
    pub(crate) fn of(&self, kind: EventKind, session: &SessionId, subject: &Arc<str>) {
        self.emit(kind, Some(session), Some(subject));
    }

    fn emit(&self, kind: EventKind, session: Option<&SessionId>, subject: Option<&Arc<str>>) {
        #[cfg(feature = "tracing")]
        sinks::trace(&kind, &self.realm, session);
        #[cfg(feature = "metrics")]
        sinks::count(&kind, &self.realm);
        if let Some(hook) = &self.hook {
            let session = session.map(SessionId::tag);
            hook(&Event { kind, realm: self.realm.clone(), session, subject: subject.cloned() });
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("hook", &self.hook.is_some()).finish_non_exhaustive()
    }
}
