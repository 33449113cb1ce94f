//! Creates pools of connections.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::{
    Connection as _, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;

/// How long to wait for a connection. The engine's deadline for a call is shorter by default.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A connection that was idle for longer is tested before use, because the server may have stopped meanwhile.
const TRUSTED_FOR: Duration = Duration::from_secs(1);
const CONNECTIONS: u32 = 10;

/// Whether a pool has closed a broken connection. sqlx then uses another connection, so no call fails.
#[derive(Clone, Debug, Default)]
pub(super) struct BrokenConnection(Arc<AtomicBool>);

impl BrokenConnection {
    /// Whether a pool has closed a broken connection since the last call of `take`.
    pub(super) fn take(&self) -> bool {
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::Relaxed)
    }

    /// Tests a connection. If the connection is broken, notes this.
    async fn test(&self, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        // Without this timeout, a test of a server that has vanished takes as long as the TCP timeout.
        let ping = timeout(CONNECT_TIMEOUT, connection.ping());
        let tested = ping.await.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        if tested.is_err() {
            self.0.store(true, Ordering::Relaxed);
        }
        tested.map(|()| true)
    }
}

/// Creates a pool that notices broken connections. A connection in frequent use is not tested before use, so a busy
/// store needs no second round trip.
pub(super) fn lazy(options: PgConnectOptions, broken: &BrokenConnection) -> PgPool {
    let (before, after) = (broken.clone(), broken.clone());
    PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(CONNECT_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(move |connection, meta| {
            let broken = before.clone();
            Box::pin(async move {
                match meta.idle_for > TRUSTED_FOR {
                    true => broken.test(connection).await,
                    false => Ok(true),
                }
            })
        })
        // sqlx tests each connection that is given back. The test here comes first, and has a shorter timeout.
        .after_release(move |connection, _| {
            let broken = after.clone();
            Box::pin(async move { broken.test(connection).await })
        })
        .connect_lazy_with(options)
}
