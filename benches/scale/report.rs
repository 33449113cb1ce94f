//! Figures: medians and 99th percentiles, and what they are at a million sessions over what they are at ten thousand.

use std::{collections::BTreeMap, time::Duration};

/// The samples of one size, in microseconds, by operation in the order of the first sample.
#[derive(Default)]
pub(crate) struct Samples {
    order: Vec<&'static str>,
    of: BTreeMap<&'static str, Vec<f64>>,
}

impl Samples {
    pub(crate) fn add(&mut self, operation: &'static str, took: Duration) {
        let samples = self.of.entry(operation).or_insert_with(|| {
            self.order.push(operation);
            Vec::new()
        });
        samples.push(took.as_secs_f64() * 1e6);
    }

    pub(crate) fn quantile(&self, operation: &str, share: f64) -> f64 {
        let mut samples = self.of[operation].clone();
        samples.sort_by(f64::total_cmp);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "few samples"
        )]
        let index = ((samples.len() - 1) as f64 * share).round() as usize;
        samples[index]
    }
}

/// Microseconds, or milliseconds if there are many.
pub(crate) fn time(micros: f64) -> String {
    match micros {
        few if few < 10.0 => format!("{few:.1} us"),
        some if some < 10_000.0 => format!("{some:.0} us"),
        many => format!("{:.0} ms", many / 1000.0),
    }
}

/// A row for each operation.
pub(crate) fn table(sizes: &[u64], all: &[Samples]) {
    let head: Vec<_> = sizes.iter().map(|size| format!("{size} sessions, median / p99")).collect();
    println!("| operation | {} | ratio of the medians |", head.join(" | "));
    println!("|---|{}---|", "---|".repeat(sizes.len()));
    let (Some(first), Some(last)) = (all.first(), all.last()) else { return };
    for operation in &first.order {
        let cells: Vec<_> = all
            .iter()
            .map(|samples| [0.5, 0.99].map(|share| time(samples.quantile(operation, share))).join(" / "))
            .collect();
        let ratio = last.quantile(operation, 0.5) / first.quantile(operation, 0.5);
        println!("| {operation} | {} | {ratio:.2} |", cells.join(" | "));
    }
}
