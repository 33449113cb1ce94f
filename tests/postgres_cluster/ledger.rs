//! What the store itself has acknowledged: sessions of another realm, which no instance knows and so none writes again.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{task::JoinHandle, time::Instant};
use tower_sliding_sessions::{
    Clock as _, SystemClock,
    store::{PostgresStore, Revoke, SessionKey, SessionRecord, SessionStore as _, Subject},
};

use crate::records;

pub(crate) struct Ledger {
    done: Arc<AtomicBool>,
    revoked: Arc<Mutex<Vec<SessionKey>>>,
    tasks: Vec<JoinHandle<()>>,
}

const HOUR: Duration = Duration::from_secs(3600);
/// How long reads may fail after a failover.
const READABLE_WITHIN: Duration = Duration::from_secs(10);

impl Ledger {
    /// Writes without a pause until it is stopped.
    pub(crate) fn start(store: &PostgresStore) -> Self {
        let (done, revoked) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<SessionKey>>>::default());
        let writer = |_| {
            let (store, done, revoked) = (store.clone(), done.clone(), revoked.clone());
            tokio::spawn(async move {
                while !done.load(Ordering::SeqCst) {
                    if let Some(key) = write_one(&store).await {
                        revoked.lock().unwrap_or_else(PoisonError::into_inner).push(key);
                    } else {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            })
        };
        let tasks = (0..4).map(writer).collect();
        Self { done, revoked, tasks }
    }

    pub(crate) async fn stop(self) -> Vec<SessionKey> {
        self.done.store(true, Ordering::SeqCst);
        for task in self.tasks {
            task.await.expect("no panic");
        }
        std::mem::take(&mut self.revoked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Opens and revokes a session. None if the revocation was not acknowledged.
async fn write_one(store: &PostgresStore) -> Option<SessionKey> {
    let now = SystemClock.now();
    let record = records::record(now, HOUR, HOUR);
    let subject = Subject { realm: "ledger".into(), name: record.id().encode().into() };
    store.create(&subject, &record, None).await.ok()?;
    let key = SessionKey { subject, id: record.id() };
    store.revoke(&Revoke::Session(key.clone()), now).await.ok()?;
    Some(key)
}

/// Reads a session. The failover may still be in progress, so a read that fails is tried again.
async fn read(store: &PostgresStore, key: &SessionKey) -> Option<SessionRecord> {
    let began = Instant::now();
    loop {
        match store.get(key).await {
            Ok(snapshot) => return snapshot.record,
            Err(error) => assert!(began.elapsed() < READABLE_WITHIN, "the store cannot be read: {error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// How many of them the store has not.
pub(crate) async fn lost(store: &PostgresStore, revoked: &[SessionKey]) -> usize {
    let mut lost = 0;
    for key in revoked {
        let record = read(store, key).await;
        lost += usize::from(record.is_none_or(|record| !record.is_revoked()));
    }
    lost
}
