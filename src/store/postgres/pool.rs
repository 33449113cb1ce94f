//! How connections are made.

use std::time::Duration;

use sqlx::{
    Connection as _, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

/// How long to wait for a connection. The engine's deadline for a call is shorter by default.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Connections that were idle for longer are tested before use: the server may have stopped meanwhile.
const TRUSTED_FOR: Duration = Duration::from_secs(1);
const CONNECTIONS: u32 = 10;

/// A pool that notices dead connections, and costs a busy store no second round trip.
pub(super) fn lazy(options: PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(CONNECT_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for > TRUSTED_FOR {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        // sqlx tests a connection that is given back. If the server has vanished, that takes as long as the TCP
        // timeout. This test comes first, and gives up sooner.
        .after_release(|connection, _| {
            Box::pin(async move {
                let ping = tokio::time::timeout(CONNECT_TIMEOUT, connection.ping());
                ping.await.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map(|()| true)
            })
        })
        .connect_lazy_with(options)
}
