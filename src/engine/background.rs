//! What goes on beside the requests: the task that follows the store's feed, the one that asserts
//! revocations again, and writes that no request waits for.
//!
//! Nothing starts before there is a runtime, and nothing outlives [`Background::shut_down`].

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{runtime::Handle, sync::Notify};

use super::task::BackgroundTask;
use crate::id::SessionId;

#[derive(Debug, Default)]
pub(super) struct Background {
    pub(super) follower: BackgroundTask,
    /// Asserts revocations again after an outage.
    pub(super) assertion: BackgroundTask,
    writes: Arc<Writes>,
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Write {
    /// That this generation was seen in use.
    Confirm(u64),
    /// That the session was.
    Touch,
}

#[derive(Debug, Default)]
struct Writes {
    under_way: Mutex<HashSet<(SessionId, Write)>>,
    done: Notify,
}

impl Writes {
    fn lock(&self) -> MutexGuard<'_, HashSet<(SessionId, Write)>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Background {
    /// Has `write` done without waiting for it, unless the same is under way for that session. Without a
    /// runtime it is not done at all.
    pub(super) fn write<F>(&self, what: (SessionId, Write), write: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Ok(runtime) = Handle::try_current() else { return };
        let Some(ticket) = Ticket::new(&self.writes, what) else { return };
        runtime.spawn(async move {
            let _ticket = ticket;
            write.await;
        });
    }

    /// Ends both tasks for good, and waits for the writes under way.
    pub(super) async fn shut_down(&self) {
        self.follower.shut_down();
        self.assertion.shut_down();
        loop {
            let mut done = std::pin::pin!(self.writes.done.notified());
            done.as_mut().enable();
            if self.writes.lock().is_empty() {
                return;
            }
            done.await;
        }
    }
}

struct Ticket {
    writes: Arc<Writes>,
    what: (SessionId, Write),
}

impl Ticket {
    fn new(writes: &Arc<Writes>, what: (SessionId, Write)) -> Option<Self> {
        writes.lock().insert(what).then(|| Self { writes: writes.clone(), what })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut under_way = self.writes.lock();
        under_way.remove(&self.what);
        if under_way.is_empty() {
            self.writes.done.notify_waiters();
        }
    }
}
