//! One typed event for each decision, for operators: what the caller must not learn.

mod cause;
mod kind;
#[cfg(any(feature = "metrics", feature = "tracing"))]
mod sinks;

pub(crate) use self::cause::{HookPanic, caught, cause};
pub use self::kind::{EventKind, Renewed, Severity};

use std::{error::Error, fmt, sync::Arc};

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
    /// Why, if something failed: the error and each of its sources, as `error: source: source`, in at
    /// most 1 KB. Passwords in URLs are replaced by `***`. For operators: a database may name tables
    /// and values in it.
    pub cause: Option<Arc<str>>,
}

/// What an application is told with.
pub(crate) type Hook = dyn Fn(&Event) + Send + Sync;

/// Where events go: to the application's hook, to `tracing` and to `metrics`.
#[derive(Clone)]
pub(crate) struct Events {
    pub(crate) realm: Arc<str>,
    pub(crate) hook: Option<Arc<Hook>>,
    /// Whether `tracing` records name the subject.
    #[cfg_attr(not(feature = "tracing"), expect(dead_code, reason = "then there are no records"))]
    pub(crate) log_subjects: bool,
}

/// What an event says beyond its kind.
#[derive(Default)]
struct About<'a> {
    session: Option<&'a SessionId>,
    subject: Option<&'a Arc<str>>,
    cause: Option<Arc<str>>,
}

impl Events {
    /// Something that is of no one session.
    pub(crate) fn note(&self, kind: EventKind) {
        self.emit(kind, About::default());
    }

    /// Something that is of no one session, and what is known of it.
    pub(crate) fn note_with(&self, kind: EventKind, cause: String) {
        self.emit(kind, About { cause: Some(cause.into()), ..About::default() });
    }

    /// Something that happened to a subject, and to no one session.
    pub(crate) fn of_subject(&self, kind: EventKind, subject: &Arc<str>) {
        self.emit(kind, About { subject: Some(subject), ..About::default() });
    }

    /// Something that happened to a session.
    pub(crate) fn of(&self, kind: EventKind, session: &SessionId, subject: &Arc<str>) {
        self.emit(kind, About { session: Some(session), subject: Some(subject), cause: None });
    }

    /// Something failed, because of `error`.
    pub(crate) fn failed(&self, kind: EventKind, error: &(dyn Error + 'static)) {
        self.emit(kind, About { cause: Some(cause(error)), ..About::default() });
    }

    /// Something failed for a subject that has no session yet.
    pub(crate) fn failed_for(&self, kind: EventKind, error: &(dyn Error + 'static), subject: &Arc<str>) {
        self.emit(kind, About { subject: Some(subject), cause: Some(cause(error)), session: None });
    }

    /// Something failed for a session.
    pub(crate) fn failed_of(
        &self,
        kind: EventKind,
        error: &(dyn Error + 'static),
        session: &SessionId,
        subject: &Arc<str>,
    ) {
        self.emit(kind, About { session: Some(session), subject: Some(subject), cause: Some(cause(error)) });
    }

    /// Calls a hook of the application. If that panics, the panic is an event, and the answer is none.
    pub(crate) fn call<R>(&self, hook: &'static str, call: impl FnOnce() -> R) -> Option<R> {
        caught(call).inspect_err(|panic| self.failed(EventKind::HookPanicked { hook }, panic)).ok()
    }

    fn emit(&self, kind: EventKind, about: About<'_>) {
        self.record(&kind, &about);
        let Some(hook) = &self.hook else { return };
        let About { session, subject, cause: why } = about;
        let session = session.map(SessionId::tag);
        let event = Event { kind, realm: self.realm.clone(), session, subject: subject.cloned(), cause: why };
        if let Err(panic) = caught(|| hook(&event)) {
            // To the other places only: the hook has just shown that it cannot be told.
            let about = About { cause: Some(cause(&panic)), ..About::default() };
            self.record(&EventKind::HookPanicked { hook: "on_event" }, &about);
        }
    }

    #[cfg_attr(
        not(any(feature = "metrics", feature = "tracing")),
        expect(clippy::unused_self, reason = "without them, there is no other place")
    )]
    fn record(&self, kind: &EventKind, about: &About<'_>) {
        #[cfg(feature = "tracing")]
        sinks::trace(kind, self, about);
        #[cfg(feature = "metrics")]
        sinks::count(kind, &self.realm);
        #[cfg(not(feature = "tracing"))]
        let _ = about;
        #[cfg(not(any(feature = "metrics", feature = "tracing")))]
        let _ = kind;
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("hook", &self.hook.is_some()).finish_non_exhaustive()
    }
}
