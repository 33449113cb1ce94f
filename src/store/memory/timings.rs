//! The timings of the records. Each timing is kept once, because most sessions of a service have the same timing.

use std::sync::{Arc, Mutex, PoisonError};

use crate::protocol::RotationTiming;

/// How many timings are shared. A record with any other timing has a separate copy.
const SHARED: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Timings(Mutex<Vec<Arc<RotationTiming>>>);

impl Timings {
    pub(super) fn share(&self, timing: &RotationTiming) -> Arc<RotationTiming> {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = shared.iter().find(|known| ***known == *timing) {
            return known.clone();
        }
        let timing = Arc::new(*timing);
        if shared.len() < SHARED {
            shared.push(timing.clone());
        }
        timing
    }
}
