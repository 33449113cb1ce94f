//! The processor time of this thread, which other processes cannot stretch.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of processor time.
pub fn now() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}
