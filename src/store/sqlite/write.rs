//! Transactions that take the write lock when they begin.

use std::ops::{Deref, DerefMut};

use sqlx::{Sqlite, SqliteConnection, SqlitePool};

use crate::store::{
    StoreError,
    sql::{Lease, unavailable},
};

/// A transaction that holds the write lock. If the value is dropped before [`commit`](Self::commit), the transaction is
/// rolled back.
pub(super) struct Write(Lease<Sqlite>);

impl Write {
    pub(super) async fn begin(pool: &SqlitePool) -> Result<Self, StoreError> {
        let mut write = Self(Lease::take(pool).await?);
        write.run("BEGIN IMMEDIATE").await?;
        Ok(write)
    }

    pub(super) async fn commit(self) -> Result<(), StoreError> {
        self.end("COMMIT").await
    }

    /// Rolls the transaction back, and keeps the connection open.
    pub(super) async fn rollback(self) -> Result<(), StoreError> {
        self.end("ROLLBACK").await
    }

    async fn end(mut self, statement: &'static str) -> Result<(), StoreError> {
        self.run(statement).await?;
        self.0.done();
        Ok(())
    }

    async fn run(&mut self, statement: &'static str) -> Result<(), StoreError> {
        // sqlx prepares this statement once, and keeps it, like every other statement.
        sqlx::query(statement).execute(&mut *self.0).await.map(drop).map_err(unavailable)
    }
}

impl Deref for Write {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.0
    }
}

impl DerefMut for Write {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.0
    }
}
