//! Records every span and event with all fields, at every level.

use std::{
    cell::RefCell,
    fmt::{Debug, Write as _},
    sync::Once,
};

use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

thread_local! {
    /// The log of this thread since it began to listen.
    static LOG: RefCell<Option<String>> = const { RefCell::new(None) };
}

struct Scribe;

/// Starts to record this thread, and returns a function that returns the log. (The subscriber is
/// process-wide: with one for each thread, `tracing` may cache a call site as disabled that another
/// thread reached first.)
pub(crate) fn listen() -> impl FnOnce() -> String {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing::subscriber::set_global_default(Scribe).expect("no other subscriber is set"));
    tracing::callsite::rebuild_interest_cache();
    LOG.set(Some(String::new()));
    || LOG.take().expect("listening")
}

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").expect("writing to a string never fails");
    }
}

impl Scribe {
    fn line(metadata: Option<&Metadata<'_>>, record: impl FnOnce(&mut Line<'_>)) {
        LOG.with_borrow_mut(|log| {
            let Some(log) = log else { return };
            if let Some(metadata) = metadata {
                let (level, target, name) = (metadata.level(), metadata.target(), metadata.name());
                write!(log, "\n{level} {target} {name}").expect("writing to a string never fails");
            }
            record(&mut Line(log));
        });
    }
}

impl Subscriber for Scribe {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        Self::line(Some(span.metadata()), |line| span.record(line));
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, values: &Record<'_>) {
        Self::line(None, |line| values.record(line));
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        Self::line(Some(event.metadata()), |line| event.record(line));
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}
