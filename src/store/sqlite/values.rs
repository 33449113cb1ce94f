//! Values that belong to no session.

use sqlx::{Row as _, SqliteConnection};

use super::SqliteStore;
use crate::{
    store::{
        StoreError, Value, ValueKey, ValueSnapshot,
        sql::{time_from, time_to, unavailable, version_from, version_to},
        value::draw_version,
    },
    time::Timestamp,
};

async fn find(
    connection: &mut SqliteConnection,
    key: &ValueKey,
    now: Timestamp,
) -> Result<ValueSnapshot, StoreError> {
    let row = sqlx::query("SELECT version, value, keep_until FROM sliding_sessions_values WHERE key = ?1")
        .bind(key.as_bytes().as_slice())
        .fetch_optional(connection)
        .await
        .map_err(unavailable)?;
    let Some(row) = row else { return Ok(ValueSnapshot::MISSING) };
    let version = version_from(row.try_get(0).map_err(unavailable)?)?;
    let bytes = row.try_get(1).map_err(unavailable)?;
    let keep_until = time_from(row.try_get(2).map_err(unavailable)?)?;
    Ok(ValueSnapshot::found(version, Value { bytes, keep_until }, now))
}

impl SqliteStore {
    pub(super) async fn read_value(
        &self,
        key: &ValueKey,
        now: Timestamp,
    ) -> Result<ValueSnapshot, StoreError> {
        let mut reader = self.0.readers.acquire().await.map_err(unavailable)?;
        find(&mut reader, key, now).await
    }

    pub(super) async fn write_value(
        &self,
        key: &ValueKey,
        version: u64,
        to: Option<&Value>,
        now: Timestamp,
    ) -> Result<ValueSnapshot, StoreError> {
        let next = draw_version()?;
        let mut transaction = self.begin().await?;
        let found = find(&mut transaction, key, now).await?;
        if found.version != version {
            transaction.rollback().await?;
            return Ok(found);
        }
        let write = match to {
            Some(value) => sqlx::query(
                "INSERT OR REPLACE INTO sliding_sessions_values (key, version, value, keep_until) \
                 VALUES (?1, ?2, ?3, ?4)",
            )
            .bind(key.as_bytes().as_slice())
            .bind(version_to(next))
            .bind(value.bytes.as_slice())
            .bind(time_to(value.keep_until)),
            None => sqlx::query("DELETE FROM sliding_sessions_values WHERE key = ?1")
                .bind(key.as_bytes().as_slice()),
        };
        write.execute(&mut *transaction).await.map_err(unavailable)?;
        transaction.commit().await?;
        Ok(ValueSnapshot::written(next, to))
    }
}
