//! A recorder of `metrics` that keeps its counters in a map.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use metrics::{Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

/// The name and the labels of a counter, as an exporter would write them.
type Counters = Arc<Mutex<BTreeMap<String, u64>>>;

#[derive(Debug, Default)]
pub(crate) struct Ledger(Counters);

impl Ledger {
    /// The counts so far.
    pub(crate) fn read(&self) -> BTreeMap<String, u64> {
        self.0.lock().unwrap().clone()
    }
}

struct Line {
    counters: Counters,
    key: String,
}

impl CounterFn for Line {
    fn increment(&self, value: u64) {
        *self.counters.lock().unwrap().entry(self.key.clone()).or_default() += value;
    }

    fn absolute(&self, _: u64) {
        panic!("no counter is set to an absolute value");
    }
}

impl Recorder for Ledger {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let labels: Vec<_> =
            key.labels().map(|label| format!("{}={:?}", label.key(), label.value())).collect();
        let key = format!("{}{{{}}}", key.name(), labels.join(","));
        Counter::from_arc(Arc::new(Line { counters: self.0.clone(), key }))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        panic!("unexpected gauge: {key}")
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        panic!("unexpected histogram: {key}")
    }
}
