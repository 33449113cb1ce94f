//! A gate: a task waits at it until the test opens it.

use std::sync::Arc;

use tokio::sync::Semaphore;

#[derive(Clone, Debug)]
pub(crate) struct Gate {
    reached: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

impl Gate {
    pub(crate) fn closed() -> Self {
        Self { reached: Arc::new(Semaphore::new(0)), open: Arc::new(Semaphore::new(0)) }
    }

    /// Waits until the gate is open.
    pub(crate) async fn pass(&self) {
        self.reached.add_permits(1);
        // One permit is enough for all waiting tasks: each gives it back.
        drop(self.open.acquire().await.unwrap());
    }

    /// Returns when one more task has reached the gate.
    pub(crate) async fn reached(&self) {
        self.reached.acquire().await.unwrap().forget();
    }

    pub(crate) fn open(&self) {
        self.open.add_permits(1);
    }
}
