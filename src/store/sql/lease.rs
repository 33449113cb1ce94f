//! Connections that are taken from a pool and given back.

use std::ops::{Deref, DerefMut};

#[cfg(feature = "sqlite")]
use sqlx::Pool;
use sqlx::{Database, pool::PoolConnection};

#[cfg(feature = "sqlite")]
use super::error::unavailable;
#[cfg(feature = "sqlite")]
use crate::store::StoreError;

/// A connection that was taken from a pool. [`done`](Self::done) gives the connection back. If the lease is dropped
/// before that, because the caller stopped waiting or something failed, the connection is closed, and its transaction
/// is rolled back.
///
/// Without this type, sqlx would give the connection back to the pool. But sqlx does not always know the state of the
/// transaction: SQLite itself ends a transaction when the disk is full, and a `BEGIN` may have taken effect after its
/// caller stopped waiting. A new connection costs less than a connection that can never be used again.
pub(in crate::store) struct Lease<DB: Database> {
    connection: PoolConnection<DB>,
    done: bool,
}

impl<DB: Database> Lease<DB> {
    #[cfg(feature = "sqlite")]
    pub(in crate::store) async fn take(pool: &Pool<DB>) -> Result<Self, StoreError> {
        pool.acquire().await.map(Self::of).map_err(unavailable)
    }

    pub(in crate::store) const fn of(connection: PoolConnection<DB>) -> Self {
        Self { connection, done: false }
    }

    pub(in crate::store) fn done(mut self) {
        self.done = true;
    }
}

impl<DB: Database> Drop for Lease<DB> {
    fn drop(&mut self) {
        if !self.done {
            self.connection.close_on_drop();
        }
    }
}

impl<DB: Database> Deref for Lease<DB> {
    type Target = DB::Connection;

    fn deref(&self) -> &DB::Connection {
        &self.connection
    }
}

impl<DB: Database> DerefMut for Lease<DB> {
    fn deref_mut(&mut self) -> &mut DB::Connection {
        &mut self.connection
    }
}
