//! Typed events for operators: what was decided, and what failed.

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

/// A renewal, refusal, revocation or failure, as [`on_event`](crate::SessionsBuilder::on_event) gets it. For operators.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The realm.
    pub realm: Arc<str>,
    /// The [tag](SessionId::tag) of the session.
    pub session: Option<String>,
    /// The subject, from a valid token or from the application.
    pub subject: Option<Arc<str>>,
    /// Why, if something failed: the error and each of its sources, as `error: source: source`, in at
    /// most 1 KB. Passwords in URLs are replaced by `***`. For operators: a database may name tables
    /// and values in it.
    pub cause: Option<Arc<str>>,
    /// What is known of the refresh token, if one was reused.
    pub reuse: Option<Reuse>,
}

/// What is known of a superseded refresh token that was presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reuse {
    /// How many generations it was behind. If it is 1, the client may also have been restored from a backup.
    pub generations: u64,
    /// How long ago it was superseded, at least: since the current generation was confirmed or, if it was not
    /// confirmed, was last handed out.
    pub superseded_for: Duration,
    /// Whether it was presented where the session was opened, or where its subject last re-authenticated,
    /// by [`compare_origin`](crate::SessionsBuilder::compare_origin). None if nothing was recorded, or
    /// nothing is compared.
    pub from_recorded_origin: Option<bool>,
}

/// The application's hook.
pub(crate) type Hook = dyn Fn(&Event) + Send + Sync;

/// Where events go: to the application's hook, to `tracing` and to `metrics`.
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
    /// Something that belongs to no session.
    pub(crate) fn note(&self, kind: EventKind) {
        self.emit(kind, About::default());
    }

    /// The same, with a cause.
    pub(crate) fn note_with(&self, kind: EventKind, cause: String) {
        self.emit(kind, About { cause: Some(cause.into()), ..About::default() });
    }

    /// Something that happened to a subject.
    pub(crate) fn of_subject(&self, kind: EventKind, subject: &Arc<str>) {
        self.emit(kind, About { subject: Some(subject), ..About::default() });
    }

    /// Something that happened to a session.
    pub(crate) fn of(&self, kind: EventKind, session: &SessionId, subject: &Arc<str>) {
        self.emit(kind, About { session: Some(session), subject: Some(subject), ..About::default() });
    }

    /// Something failed, because of `error`.
    pub(crate) fn failed(&self, kind: EventKind, error: &(dyn Error + 'static)) {
        self.emit(kind, About { cause: Some(cause(error)), ..About::default() });
    }

    /// Something failed for a subject that has no session yet.
    pub(crate) fn failed_for(&self, kind: EventKind, error: &(dyn Error + 'static), subject: &Arc<str>) {
        self.emit(kind, About { subject: Some(subject), cause: Some(cause(error)), ..About::default() });
    }

    /// Something failed for a session.
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

    /// A superseded refresh token was presented.
    pub(crate) fn reuse(&self, kind: EventKind, reuse: Reuse, session: &SessionId, subject: &Arc<str>) {
        let (session, subject, reuse) = (Some(session), Some(subject), Some(reuse));
        self.emit(kind, About { session, subject, reuse, ..About::default() });
    }

    /// Calls a hook of the application. If that panics, the panic is an event, and the answer is none.
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
            // Not to the hook, which would panic again.
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
