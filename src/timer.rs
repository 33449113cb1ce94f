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

/// Waits for `answer`, at most for this time. Without timers, there is no deadline. `None` at the deadline.
#[cfg(any(feature = "oidc", feature = "vault", feature = "verify"))]
pub(crate) async fn within<F: Future>(time: Duration, answer: F) -> Option<F::Output> {
    match timer(Duration::ZERO) {
        Some(_) => tokio::time::timeout(time, answer).await.ok(),
        None => Some(answer.await),
    }
}
