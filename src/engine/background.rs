//! What goes on beside the requests: following the store's feed, and writes that nobody waits for.
//!
//! Nothing starts before there is a runtime, and nothing outlives [`Background::shut_down`].

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tokio::{runtime::Handle, sync::Notify, task::AbortHandle};

#[derive(Debug, Default)]
pub(super) struct Background {
    started: AtomicBool,
    follower: Mutex<Option<AbortHandle>>,
    writes: Arc<Writes>,
}

#[derive(Debug, Default)]
struct Writes {
    under_way: AtomicUsize,
    done: Notify,
}

impl Background {
    /// Starts `follower` on the runtime at hand, once. Without one, a later call will.
    pub(super) fn follow<F>(&self, follower: impl FnOnce() -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if self.started.load(Ordering::Relaxed) {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        if !self.started.swap(true, Ordering::SeqCst) {
            let task = runtime.spawn(follower());
            *self.follower.lock().unwrap_or_else(PoisonError::into_inner) = Some(task.abort_handle());
        }
    }

    /// Has `write` done without waiting for it. Without a runtime it is not done at all.
    pub(super) fn write<F>(&self, write: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Ok(runtime) = Handle::try_current() else { return };
        let ticket = Ticket::new(&self.writes);
        runtime.spawn(async move {
            let _ticket = ticket;
            write.await;
        });
    }

    /// Ends the follower, and waits for the writes under way.
    pub(super) async fn shut_down(&self) {
        self.started.store(true, Ordering::SeqCst);
        let follower = self.follower.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(follower) = follower {
            follower.abort();
        }
        loop {
            let mut done = std::pin::pin!(self.writes.done.notified());
            done.as_mut().enable();
            if self.writes.under_way.load(Ordering::SeqCst) == 0 {
                return;
            }
            done.await;
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(follower) = self.follower.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            follower.abort();
        }
    }
}

struct Ticket(Arc<Writes>);

impl Ticket {
    fn new(writes: &Arc<Writes>) -> Self {
        writes.under_way.fetch_add(1, Ordering::SeqCst);
        Self(writes.clone())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.0.under_way.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.done.notify_waiters();
        }
    }
}
