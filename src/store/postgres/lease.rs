//! Connections: how they are made, lent and given back.

use std::{
    ops::{Deref, DerefMut},
    time::Duration,
};

use sqlx::{
    Connection as _, PgConnection, PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::store::{StoreError, sql::unavailable};

/// How long to wait for a connection. The engine's deadline for a call is shorter by default.
const PATIENCE: Duration = Duration::from_secs(2);
/// Connections that lay idle for longer are tried before use: the server may have gone meanwhile.
const TRUSTED_FOR: Duration = Duration::from_secs(1);
const CONNECTIONS: u32 = 10;

/// A pool that notices dead connections, and costs a busy store no second round trip.
pub(super) fn pool(options: PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(PATIENCE)
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for > TRUSTED_FOR {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        // sqlx tries a connection that is given back, and would do so for as long as TCP is patient
        // with a server that has vanished. This comes first, and gives up sooner.
        .after_release(|connection, _| {
            Box::pin(async move {
                let ping = tokio::time::timeout(PATIENCE, connection.ping());
                ping.await.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map(|()| true)
            })
        })
        .connect_lazy_with(options)
}

/// A connection on loan. If it is dropped before all is [done](Self::done), because the caller
/// stopped waiting or the connection failed, it is closed rather than given back in the middle of
/// something.
pub(super) struct Lease(PoolConnection<Postgres>, bool);

impl Lease {
    pub(super) async fn take(pool: &PgPool) -> Result<Self, StoreError> {
        Ok(Self(pool.acquire().await.map_err(unavailable)?, false))
    }

    pub(super) fn done(mut self) {
        self.1 = true;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.1 {
            self.0.close_on_drop();
        }
    }
}

impl Deref for Lease {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.0
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.0
    }
}
