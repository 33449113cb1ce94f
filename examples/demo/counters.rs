//! `GET /metrics`: the events by cause, in Prometheus' text format. An application with the `metrics`
//! facade gets the same from this crate's feature of that name.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
};

use axum::extract::State;
use tower_sliding_sessions::{Event, Severity};

type Cause = (&'static str, &'static str);

#[derive(Clone, Debug, Default)]
pub(crate) struct Counters(Arc<Mutex<BTreeMap<Cause, u64>>>);

impl Counters {
    /// Counts an event, and logs those that matter to an operator to stderr.
    pub(crate) fn note(&self, event: &Event) {
        let kind = &event.kind;
        *self.lock().entry((kind.name(), kind.outcome().unwrap_or(""))).or_default() += 1;
        if kind.severity() >= Severity::Info {
            let session = event.session.as_ref().map(|tag| format!(" session {tag}")).unwrap_or_default();
            eprintln!("{:?} {}{session}: {kind:?}", kind.severity(), kind.name());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Cause, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) async fn show(State(counters): State<Counters>) -> ([(&'static str, &'static str); 1], String) {
    let mut text = "# HELP sliding_sessions_events_total What happened to sessions.\n\
                    # TYPE sliding_sessions_events_total counter\n"
        .to_owned();
    for ((event, outcome), count) in counters.lock().iter() {
        let labels = format!("event=\"{event}\",outcome=\"{outcome}\"");
        let _a_string_takes_all = writeln!(text, "sliding_sessions_events_total{{{labels}}} {count}");
    }
    ([("content-type", "text/plain; version=0.0.4; charset=utf-8")], text)
}
