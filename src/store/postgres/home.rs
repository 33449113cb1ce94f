//! The schema of a store, and what its calls are named.
//!
//! The schema is found once, or given by the application. Then every statement names it. A
//! `search_path` is a setting of the connection, and behind a pooler the next transaction may run on
//! another connection.

use sha2::{Digest as _, Sha256};
use sqlx::{AssertSqlSafe, PgConnection, SqlSafeStr as _, SqlStr};

use crate::store::StoreError;

/// A schema.
#[derive(Clone, Debug)]
pub(super) struct Home {
    name: String,
    tag: String,
}

impl Home {
    /// # Errors
    /// [`StoreError::Configuration`] for a name that would need escapes: no schema is called so by accident.
    pub(super) fn new(name: &str) -> Result<Self, StoreError> {
        let plain = |c: char| !c.is_control() && !matches!(c, '"' | '\'' | '\\' | '$' | '{' | '}');
        if name.is_empty() || name.len() > 63 || !name.chars().all(plain) {
            return Err(StoreError::configuration(format!(
                "{name:?} is not a schema that this store can use"
            )));
        }
        let hash = Sha256::digest(name.as_bytes());
        let tag = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { name: name.to_owned(), tag })
    }

    /// The schema in which the connection's `search_path` finds the tables, or else where it would
    /// create them.
    pub(super) async fn find(connection: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
        // Not by to_regclass: that goes by what the server remembers for the connection, and waiting
        // for a lock of ours does not make it look again. A query sees what was committed before it.
        sqlx::query_scalar(
            "SELECT COALESCE((SELECT n.nspname FROM pg_catalog.pg_class AS c \
             JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
             WHERE c.relname = 'sliding_sessions_meta' AND pg_catalog.pg_table_is_visible(c.oid)), \
             current_schema())::text",
        )
        .persistent(false)
        .fetch_one(connection)
        .await
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The name, quoted for a statement.
    pub(super) fn quoted(&self) -> String {
        format!("\"{}\"", self.name)
    }

    /// The schema, as calls name it.
    pub(super) fn tag(&self) -> &str {
        &self.tag
    }

    /// A statement of a migration, for this schema. `run` replaces run IDs of the first version.
    pub(super) fn sql(&self, statement: &str, run: i64) -> SqlStr {
        let sql = statement.replace("{schema}", &self.quoted()).replace("{home}", &self.tag);
        AssertSqlSafe(sql.replace("{run}", &run.to_string())).into_sql_str()
    }
}
