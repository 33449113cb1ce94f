//! Single flight: parallel renewals of the same thing share one, which no caller can lose.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{runtime::Handle, sync::watch};

type Seats<K, V> = Mutex<HashMap<K, watch::Receiver<Option<V>>>>;

/// The flights under way.
#[derive(Debug)]
pub(super) struct Flights<K, V>(Arc<Seats<K, V>>);

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
    /// Boards the flight under way for `key`, or starts one as a task of its own. Answers with
    /// what it brought, and whether this call started it; with none if there is no runtime to
    /// start it on, or if it crashed.
    pub(super) async fn join<F>(&self, key: K, start: impl FnOnce() -> F) -> Option<(V, bool)>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let (mut seat, started) = self.board(key, start)?;
        let arrived = seat.wait_for(Option::is_some).await.ok()?;
        Some((arrived.clone()?, started))
    }

    fn board<F>(&self, key: K, start: impl FnOnce() -> F) -> Option<(watch::Receiver<Option<V>>, bool)>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut seats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seat) = seats.get(&key) {
            return Some((seat.clone(), false));
        }
        let runtime = Handle::try_current().ok()?;
        let (landing, seat) = watch::channel(None);
        seats.insert(key.clone(), seat.clone());
        let gate = Gate { seats: self.0.clone(), key };
        let flight = start();
        runtime.spawn(async move {
            // Closed before anybody disembarks, and also if the flight crashes: whoever comes
            // after it landed takes one of their own.
            let value = {
                let _gate = gate;
                flight.await
            };
            landing.send_replace(Some(value));
        });
        Some((seat, true))
    }
}

/// Takes the flight off the board when dropped.
struct Gate<K: Eq + Hash, V> {
    seats: Arc<Seats<K, V>>,
    key: K,
}

impl<K: Eq + Hash, V> Drop for Gate<K, V> {
    fn drop(&mut self) {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}
