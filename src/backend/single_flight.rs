//! Parallel calls for the same key share one run.

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
use quick_cache::DefaultHashBuilder;
use tokio::{runtime::Handle, sync::Notify};

/// Its hash is faster than that of the standard library, and also differs from process to process.
type Runs<K, V> = Mutex<HashMap<K, Arc<Outcome<V>>, DefaultHashBuilder>>;
type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The runs that have not ended, by key. A run goes on if its caller is dropped.
#[derive(Debug)]
pub(crate) struct SingleFlight<K, V>(Arc<Runs<K, V>>);

impl<K, V> Default for SingleFlight<K, V> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K, V> SingleFlight<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Joins the run for `key`, or starts one. Returns its value, and whether this call started it. `None` if there is
    /// no runtime, or if the run panicked.
    ///
    /// The call registers the run, and the first poll starts it. An `async fn` would store the key and
    /// `start` for as long as it waits.
    pub(crate) fn join<F>(
        &self,
        key: K,
        start: impl FnOnce() -> F,
    ) -> impl Future<Output = Option<(V, bool)>> + Send
    where
        F: Future<Output = V> + Send + 'static,
    {
        let joined = Handle::try_current().ok().map(|runtime| (self.enter(key, start), runtime));
        async move {
            let ((outcome, run), runtime) = joined?;
            let started = run.is_some();
            if let Some(run) = run {
                poll_then_spawn(run, &runtime).await;
            }
            Some((Outcome::wait(outcome).await?, started))
        }
    }

    /// Removes a run that makes no progress, because its runtime stopped. So the next call starts another one.
    pub(crate) fn give_up(&self, key: &K) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Where the run's value will be; and the run, if this call is to start it.
    fn enter<F>(&self, key: K, start: impl FnOnce() -> F) -> (Arc<Outcome<V>>, Option<Task>)
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let vacant = match running.entry(key.clone()) {
            Entry::Occupied(run) => return (run.get().clone(), None),
            Entry::Vacant(vacant) => vacant,
        };
        let outcome = vacant.insert(Arc::default()).clone();
        drop(running);
        let publisher = Publisher { running: self.0.clone(), key, outcome: outcome.clone(), value: None };
        (outcome, Some(Box::pin(Run { future: start(), publisher: Some(publisher) })))
    }
}

pin_project! {
    /// Runs the future, and then publishes its value.
    struct Run<F, K, V>
    where
        K: Clone,
        K: Eq,
        K: Hash,
    {
        #[pin]
        future: F,
        publisher: Option<Publisher<K, V>>,
    }
}

impl<F: Future<Output = V>, K: Clone + Eq + Hash, V> Future for Run<F, K, V> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let value = ready!(this.future.poll(cx));
        if let Some(mut publisher) = this.publisher.take() {
            publisher.value = Some(value);
        }
        Poll::Ready(())
    }
}

/// Polls a run once. A store in memory completes it; any other run goes on as a task of its own.
async fn poll_then_spawn(mut run: Task, runtime: &Handle) {
    // A task would catch a panic, too.
    let first = poll_fn(|cx| Poll::Ready(catch_unwind(AssertUnwindSafe(|| run.as_mut().poll(cx)))));
    if let Ok(Poll::Pending) = first.await {
        runtime.spawn(run);
    }
}

/// The value of a run; none if it panicked.
#[derive(Debug)]
struct Outcome<V> {
    value: OnceLock<Option<V>>,
    ended: Notify,
}

impl<V> Default for Outcome<V> {
    fn default() -> Self {
        Self { value: OnceLock::new(), ended: Notify::new() }
    }
}

impl<V: Clone> Outcome<V> {
    async fn wait(mut outcome: Arc<Self>) -> Option<V> {
        while outcome.value.get().is_none() {
            let mut ended = pin!(outcome.ended.notified());
            // From here on, no notification is missed.
            ended.as_mut().enable();
            if outcome.value.get().is_none() {
                ended.await;
            }
        }
        // The last call that waits need not clone the value.
        match Arc::get_mut(&mut outcome) {
            Some(outcome) => outcome.value.take()?,
            None => outcome.value.get()?.clone(),
        }
    }
}

/// Publishes the value when dropped, also after a panic. It removes the run first: a call that comes later
/// starts its own.
struct Publisher<K: Clone + Eq + Hash, V> {
    running: Arc<Runs<K, V>>,
    key: K,
    outcome: Arc<Outcome<V>>,
    value: Option<V>,
}

impl<K: Clone + Eq + Hash, V> Drop for Publisher<K, V> {
    fn drop(&mut self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        // A newer run, which took the place of this one, stays.
        if let Entry::Occupied(run) = running.entry(self.key.clone())
            && Arc::ptr_eq(run.get(), &self.outcome)
        {
            run.remove();
        }
        drop(running);
        self.outcome.value.get_or_init(|| self.value.take());
        self.outcome.ended.notify_waiters();
    }
}
