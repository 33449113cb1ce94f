//! Typed events for operators: the decisions, and the failures.

mod cause;
mod kind;
mod outcome;
mod severity;
#[cfg(any(feature = "metrics", feature = "tracing"))]
mod sinks;

pub(crate) use self::cause::{HookPanic, caught, cause};
pub use self::{kind::EventKind, outcome::Renewed, severity::Severity};

use std::{error::Error, fmt, sync::Arc, time::Duration};

use crate::id::SessionId;

/// An event, for operators: a renewal, refusal, revocation or failure. [`on_event`](crate::SessionsBuilder::on_event)
/// gets it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Event {
    /// The kind of the event.
    pub kind: EventKind,
    /// The realm.
    pub realm: Arc<str>,
    /// The [tag](SessionId::tag) of the session. `None` if the event belongs to no session.
    pub session: Option<String>,
    /// The subject, from a valid token or from the application. `None` if the event belongs to no subject.
    pub subject: Option<Arc<str>>,
    /// The cause of a failure: the error and each of its sources, as `error: source: source`, with at most 1 KB.
    /// Passwords in URLs are replaced by `***`. Show it to operators only, because the error of a database may name
    /// tables and values.
    pub cause: Option<Arc<str>>,
    /// The details of refresh token reuse. `None` for other events.
    pub reuse: Option<Reuse>,
}

/// The details of a superseded refresh token that was presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reuse {
    /// How many generations the token was behind. If it is 1, the cause may also be a client that was restored from a
    /// backup.
    pub generations: u64,
    /// How long ago the token was superseded, at least. Counts from the confirmation of the current generation. If the
    /// current generation is provisional, counts from its recorded hand-out.
    pub superseded_for: Duration,
    /// Whether the token came from the origin of the sign-in, or from the origin of the last re-authentication, by the
    /// hook [`compare_origin`](crate::SessionsBuilder::compare_origin). `None` if no origin was recorded, if the hook
    /// is not set, or if the hook panicked.
    pub from_recorded_origin: Option<bool>,
}

/// The hook of the application, as set by `on_event`.
pub(crate) type Hook = dyn Fn(&Event) + Send + Sync;

/// The receivers of events: the application's hook, `tracing` and `metrics`.
#[derive(Clone)]
pub(crate) struct Events {
    pub(crate) realm: Arc<str>,
    pub(crate) hook: Option<Arc<Hook>>,
    /// Whether `tracing` records name the subject.
    pub(crate) log_subjects: bool,
}

/// The parts of an event besides its kind.
#[derive(Default)]
struct About<'a> {
    session: Option<&'a SessionId>,
    subject: Option<&'a Arc<str>>,
    cause: Option<Arc<str>>,
    reuse: Option<Reuse>,
}

impl Events {
    /// Reports an event that belongs to no session.
    pub(crate) fn note(&self, kind: EventKind) {
        self.emit(kind, About::default());
    }

    /// As [`note`](Self::note), with a cause.
    pub(crate) fn note_with(&self, kind: EventKind, cause: String) {
        self.emit(kind, About { cause: Some(cause.into()), ..About::default() });
    }

    /// Reports an event of a subject.
    pub(crate) fn of_subject(&self, kind: EventKind, subject: &Arc<str>) {
        self.emit(kind, About { subject: Some(subject), ..About::default() });
    }

    /// Reports an event of a session.
    pub(crate) fn of(&self, kind: EventKind, session: &SessionId, subject: &Arc<str>) {
        self.emit(kind, About { session: Some(session), subject: Some(subject), ..About::default() });
    }

    /// Reports a failure, with `error` as its cause.
    pub(crate) fn failed(&self, kind: EventKind, error: &(dyn Error + 'static)) {
        self.emit(kind, About { cause: Some(cause(error)), ..About::default() });
    }

    /// Reports a failure for a subject that has no session yet.
    pub(crate) fn failed_for(&self, kind: EventKind, error: &(dyn Error + 'static), subject: &Arc<str>) {
        self.emit(kind, About { subject: Some(subject), cause: Some(cause(error)), ..About::default() });
    }

    /// Reports a failure for a session.
    pub(crate) fn failed_of(
        &self,
        kind: EventKind,
        error: &(dyn Error + 'static),
        session: &SessionId,
        subject: &Arc<str>,
    ) {
        let (session, subject, cause) = (Some(session), Some(subject), Some(cause(error)));
        self.emit(kind, About { session, subject, cause, ..About::default() });
    }

    /// Reports that a superseded refresh token was presented.
    pub(crate) fn reuse(&self, kind: EventKind, reuse: Reuse, session: &SessionId, subject: &Arc<str>) {
        let (session, subject, reuse) = (Some(session), Some(subject), Some(reuse));
        self.emit(kind, About { session, subject, reuse, ..About::default() });
    }

    /// Calls a hook of the application. If the hook panics, reports the panic as an event, and returns `None`.
    pub(crate) fn call<R>(&self, hook: &'static str, call: impl FnOnce() -> R) -> Option<R> {
        caught(call).inspect_err(|panic| self.failed(EventKind::HookPanicked { hook }, panic)).ok()
    }

    fn emit(&self, kind: EventKind, about: About<'_>) {
        self.record(&kind, &about);
        let Some(hook) = &self.hook else { return };
        let About { session, subject, cause: why, reuse } = about;
        let session = session.map(SessionId::tag);
        let (realm, subject) = (self.realm.clone(), subject.cloned());
        let event = Event { kind, realm, session, subject, cause: why, reuse };
        if let Err(panic) = caught(|| hook(&event)) {
            // Do not pass this event to the hook, which would panic again.
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
