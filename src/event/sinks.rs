//! Writes events as `tracing` records and as `metrics` counters. Their names do not change in later versions.

use super::EventKind;
#[cfg(feature = "tracing")]
use super::{About, Events, Severity};

/// Counts an event. All kinds share one counter, so new kinds are counted, too.
#[cfg(feature = "metrics")]
pub(super) fn count(kind: &EventKind, realm: &str) {
    let labels = [
        ("event", kind.name().to_owned()),
        ("outcome", kind.outcome().unwrap_or_default().to_owned()),
        ("realm", realm.to_owned()),
    ];
    metrics::counter!("sliding_sessions_events_total", &labels).increment(1);
}

#[cfg(feature = "tracing")]
pub(super) fn trace(kind: &EventKind, events: &Events, about: &About<'_>) {
    macro_rules! at {
        ($level:ident) => {
            if tracing::enabled!(target: "tower_sliding_sessions", tracing::Level::$level) {
                let session = about.session.map(|session| tracing::field::display(session.tag()));
                let subject = about.subject.filter(|_| events.log_subjects).map(|subject| &**subject);
                let (event, outcome, cause) = (kind.name(), kind.outcome(), about.cause.as_deref());
                let reuse = about.reuse.map(tracing::field::debug);
                // Operators filter by the target, so it is a fixed name and not the path of this file.
                tracing::event!(
                    target: "tower_sliding_sessions", tracing::Level::$level,
                    event, outcome, detail = ?kind, realm = &*events.realm, session, subject, cause, reuse, "{event}"
                );
            }
        };
    }
    match kind.severity() {
        Severity::Debug => at!(DEBUG),
        Severity::Info => at!(INFO),
        Severity::Warning => at!(WARN),
        Severity::Error | Severity::Critical => at!(ERROR),
    }
}
