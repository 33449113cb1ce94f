//! Timers, if the runtime has them. `Builder::enable_time` of Tokio enables them.

use std::{panic::catch_unwind, time::Duration};

use tokio::{
    runtime::Handle,
    time::{Sleep, sleep},
};

/// Creates a timer on the caller's runtime. Returns `None` if there is no runtime, or if the runtime has no timers.
pub(crate) fn timer(time: Duration) -> Option<Sleep> {
    Handle::try_current().ok()?;
    // Tokio panics if timers are disabled, and there is no other way to find this out.
    catch_unwind(|| sleep(time)).ok()
}

/// Waits for `answer` for at most `time`. Returns `None` if there is no answer in this time. Without timers, there is
/// no deadline.
#[cfg(any(feature = "oidc", feature = "vault", feature = "verify"))]
pub(crate) async fn within<F: Future>(time: Duration, answer: F) -> Option<F::Output> {
    match timer(Duration::ZERO) {
        Some(_) => tokio::time::timeout(time, answer).await.ok(),
        None => Some(answer.await),
    }
}
