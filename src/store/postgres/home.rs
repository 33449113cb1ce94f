//! The schema of a store, the prefix of its tables, and the tag of its calls.
//!
//! The store finds the schema once, or the application sets the schema. Then every statement names the schema. Reason:
//! a `search_path` is a setting of the connection, and behind a pooler the next transaction may run on another
//! connection.

use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;

use crate::store::StoreError;

/// The start of the names of all tables and functions, after the prefix.
const TABLES: &str = "sliding_sessions";
/// The longest prefix, in bytes. PostgreSQL cuts off names after 63 bytes.
const LONGEST_PREFIX: usize = 24;

/// A schema, and the prefix of the tables in the schema.
#[derive(Clone, Debug)]
pub(super) struct Home {
    name: String,
    tables: String,
    tag: String,
}

/// The prefix of the names of all tables and functions. Empty by default.
#[derive(Clone, Debug, Default)]
pub(super) struct Prefix(String);

impl Prefix {
    /// # Errors
    /// [`StoreError::Configuration`] for a prefix that would need quotes, begins with a digit, or is too long.
    pub(super) fn new(prefix: &str) -> Result<Self, StoreError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let starts = !prefix.starts_with(|c: char| c.is_ascii_digit());
        if prefix.len() > LONGEST_PREFIX || !starts || !prefix.chars().all(plain) {
            return Err(StoreError::configuration(format!(
                "{prefix:?} is not a table prefix: at most {LONGEST_PREFIX} of a-z, 0-9 and _, and no digit first"
            )));
        }
        Ok(Self(prefix.to_owned()))
    }
}

impl Home {
    /// # Errors
    /// [`StoreError::Configuration`] for a name that is empty, is longer than 63 bytes, or would need escapes.
    pub(super) fn new(name: &str, prefix: &Prefix) -> Result<Self, StoreError> {
        let plain = |c: char| !c.is_control() && !matches!(c, '"' | '\'' | '\\' | '$' | '{' | '}');
        if name.is_empty() || name.len() > 63 || !name.chars().all(plain) {
            return Err(StoreError::configuration(format!(
                "{name:?} is not a schema that this store can use"
            )));
        }
        let mut hash = Sha256::new_with_prefix(name.as_bytes());
        if !prefix.0.is_empty() {
            hash.update(b"\0");
            hash.update(prefix.0.as_bytes());
        }
        let tag = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { name: name.to_owned(), tables: format!("{}{TABLES}", prefix.0), tag })
    }

    /// Finds the schema in which the connection's `search_path` finds the tables. If there are no tables, returns the
    /// schema in which the connection would create the tables, or `None` if there is no such schema.
    pub(super) async fn find(
        connection: &mut PgConnection,
        prefix: &Prefix,
    ) -> Result<Option<String>, sqlx::Error> {
        // Do not use to_regclass, because it may use data that the server cached for the connection before another
        // migration committed. A query sees everything that was committed before the query.
        sqlx::query_scalar(
            "SELECT COALESCE((SELECT n.nspname FROM pg_catalog.pg_class AS c \
             JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
             WHERE c.relname = $1 AND pg_catalog.pg_table_is_visible(c.oid)), \
             current_schema())::text",
        )
        .bind(format!("{}{TABLES}_meta", prefix.0))
        .persistent(false)
        .fetch_one(connection)
        .await
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The name of the schema, quoted for a statement.
    pub(super) fn quoted(&self) -> String {
        format!("\"{}\"", self.name)
    }

    /// The start of the names of the tables and functions, with the prefix.
    pub(super) fn tables(&self) -> &str {
        &self.tables
    }

    /// A hash of the schema and the prefix. Each call contains this hash.
    pub(super) fn tag(&self) -> &str {
        &self.tag
    }

    /// The statements of a migration, with the names of this schema and these tables. `run` is the run ID of a new
    /// store. `run` also replaces the run IDs of the first version.
    pub(super) fn sql(&self, statements: &str, run: i64) -> String {
        // Replace the names of the tables first, because the name of the schema may contain the same text.
        let sql = statements.replace(TABLES, &self.tables).replace("{schema}", &self.quoted());
        sql.replace("{home}", &self.tag).replace("{name}", &self.name).replace("{run}", &run.to_string())
    }
}
