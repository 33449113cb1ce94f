//! Writes that no request waits for. Nothing runs without a runtime.

use std::{
    collections::HashSet,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tokio::{runtime::Handle, sync::Notify};

use crate::id::SessionId;

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Write {
    /// That this generation is confirmed.
    Confirm(u64),
    /// A later idle deadline.
    Touch,
    /// The tokens in the answer of an OAuth provider. The answer has not arrived yet. A number identifies each answer.
    #[cfg(feature = "vault")]
    Answer(u64),
}

#[derive(Debug, Default)]
pub(super) struct Writes(Arc<RunningWrites>);

#[derive(Debug, Default)]
struct RunningWrites {
    writes: Mutex<HashSet<(SessionId, Write)>>,
    done: Notify,
}

impl RunningWrites {
    fn lock(&self) -> MutexGuard<'_, HashSet<(SessionId, Write)>> {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writes {
    pub(super) fn spawn<F>(&self, what: (SessionId, Write), write: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Ok(runtime) = Handle::try_current() else { return };
        if !self.0.lock().insert(what) {
            return;
        }
        runtime.spawn(WriteTask { write, entry: Entry { running: self.0.clone(), what } });
    }

    /// As long as the guard is held, [`finish`](Self::finish) waits.
    #[cfg(feature = "vault")]
    pub(super) fn hold(&self, number: u64) -> Entry {
        let what = (SessionId::from_bytes([0; 32]), Write::Answer(number));
        self.0.lock().insert(what);
        Entry { running: self.0.clone(), what }
    }

    pub(super) async fn finish(&self) {
        loop {
            let mut done = std::pin::pin!(self.0.done.notified());
            done.as_mut().enable();
            if self.0.lock().is_empty() {
                return;
            }
            done.await;
        }
    }
}

pin_project! {
    /// The task of a write. An async block would store the write twice.
    struct WriteTask<F> {
        #[pin]
        write: F,
        entry: Entry,
    }
}

impl<F: Future<Output = ()>> Future for WriteTask<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().write.poll(cx)
    }
}

/// A running write. Dropped when it has ended, also by a panic.
pub(crate) struct Entry {
    running: Arc<RunningWrites>,
    what: (SessionId, Write),
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut writes = self.running.lock();
        writes.remove(&self.what);
        if writes.is_empty() {
            self.running.done.notify_waiters();
        }
    }
}
