//! Connections on loan.

use std::ops::{Deref, DerefMut};

use sqlx::{Database, Pool, pool::PoolConnection};

use super::error::unavailable;
use crate::store::StoreError;

/// A connection on loan. If it is dropped before all is [done](Self::done), because the caller
/// stopped waiting or something failed, it is closed, and its transaction is undone.
///
/// sqlx would give it back to the pool instead. But what sqlx believes of a transaction is not
/// always so: SQLite ends one by itself when the disk is full, and a `BEGIN` without a waiting caller
/// may have begun one. A new connection costs little next to one that can never be used again.
pub(in crate::store) struct Lease<DB: Database> {
    connection: PoolConnection<DB>,
    done: bool,
}

impl<DB: Database> Lease<DB> {
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
