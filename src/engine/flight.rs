//! Single flight: parallel renewals of the same thing share one, which no caller can lose.

use std::{
    collections::{HashMap, hash_map::Entry},
    future::poll_fn,
    hash::Hash,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tokio::{runtime::Handle, sync::Notify};

type Board<K, V> = Mutex<HashMap<K, Arc<Landing<V>>>>;
type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The flights under way.
#[derive(Debug)]
pub(super) struct Flights<K, V>(Arc<Board<K, V>>);

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K, V> Flights<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Boards the flight under way for `key`, or starts one. Answers with what it brought, and whether
    /// this call started it; with none if there is no runtime to start it on, or if it crashed.
    pub(super) async fn join<F>(&self, key: K, start: impl FnOnce() -> F) -> Option<(V, bool)>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let runtime = Handle::try_current().ok()?;
        let (landing, flight) = self.board(key, start);
        let started = flight.is_some();
        if let Some(flight) = flight {
            take_off(flight, &runtime).await;
        }
        Some((landing.wait().await?, started))
    }

    /// Where the flight lands; and the flight, if it is to be started.
    fn board<F>(&self, key: K, start: impl FnOnce() -> F) -> (Arc<Landing<V>>, Option<Task>)
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut board = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let free = match board.entry(key.clone()) {
            Entry::Occupied(taken) => return (taken.get().clone(), None),
            Entry::Vacant(free) => free,
        };
        let landing = free.insert(Arc::default()).clone();
        drop(board);
        let gate = Gate { board: self.0.clone(), key, landing: landing.clone(), brought: None };
        (landing, Some(Box::pin(Flight { future: start(), gate: Some(gate) })))
    }
}

pin_project! {
    /// What goes on until the future is ready.
    struct Flight<F, K, V>
    where
        K: Eq,
        K: Hash,
    {
        #[pin]
        future: F,
        gate: Option<Gate<K, V>>,
    }
}

impl<F: Future<Output = V>, K: Eq + Hash, V> Future for Flight<F, K, V> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let value = ready!(this.future.poll(cx));
        if let Some(mut gate) = this.gate.take() {
            gate.brought = Some(value);
        }
        Poll::Ready(())
    }
}

/// Takes a flight's first step. If that does not complete it, as it does with a store in memory, it goes
/// on as a task of its own, whatever becomes of the caller.
async fn take_off(mut flight: Task, runtime: &Handle) {
    // A task would catch it, too.
    let first = poll_fn(|cx| Poll::Ready(catch_unwind(AssertUnwindSafe(|| flight.as_mut().poll(cx)))));
    if let Ok(Poll::Pending) = first.await {
        runtime.spawn(flight);
    }
}

/// What a flight brought; none if it crashed.
#[derive(Debug)]
struct Landing<V> {
    value: OnceLock<Option<V>>,
    landed: Notify,
}

impl<V> Default for Landing<V> {
    fn default() -> Self {
        Self { value: OnceLock::new(), landed: Notify::new() }
    }
}

impl<V: Clone> Landing<V> {
    async fn wait(&self) -> Option<V> {
        while self.value.get().is_none() {
            let mut landed = pin!(self.landed.notified());
            // From here on, no landing goes by unnoticed.
            landed.as_mut().enable();
            if self.value.get().is_none() {
                landed.await;
            }
        }
        self.value.get()?.clone()
    }
}

/// Takes the flight off the board when dropped, before anybody disembarks: whoever comes after it landed,
/// or crashed, takes one of their own.
struct Gate<K: Eq + Hash, V> {
    board: Arc<Board<K, V>>,
    key: K,
    landing: Arc<Landing<V>>,
    brought: Option<V>,
}

impl<K: Eq + Hash, V> Drop for Gate<K, V> {
    fn drop(&mut self) {
        self.board.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
        self.landing.value.get_or_init(|| self.brought.take());
        self.landing.landed.notify_waiters();
    }
}
