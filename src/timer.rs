//! Timers, where the runtime has them: `Builder::enable_time` turns them on.

use std::{panic::catch_unwind, time::Duration};

use tokio::{
    runtime::Handle,
    time::{Sleep, sleep},
};

/// A timer on the runtime of the caller; none if there is no runtime, or if it has no timers.
pub(crate) fn timer(time: Duration) -> Option<Sleep> {
    Handle::try_current().ok()?;
    // Tokio panics where timers are disabled, and there is no other way to ask.
    catch_unwind(|| sleep(time)).ok()
}
