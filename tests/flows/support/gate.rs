//! A place where something waits until the test lets it go on.

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

    /// Waits here until the gate is opened.
    pub(crate) async fn pass(&self) {
        self.reached.add_permits(1);
        // One permit lets everybody through: it is given back.
        drop(self.open.acquire().await.unwrap());
    }

    /// Returns when one more has come to the gate.
    pub(crate) async fn reached(&self) {
        self.reached.acquire().await.unwrap().forget();
    }

    pub(crate) fn open(&self) {
        self.open.add_permits(1);
    }
}
