//! The PostgreSQL store behind PgBouncer in transaction mode: the conformance suite, with and without a
//! statement cache, and sessions that must survive load on others. Needs a server and a pooler:
//! `tests/run` starts them, and `tests/servers/postgres tests/servers/pgbouncer` runs a command with
//! them.

#![expect(clippy::expect_used, clippy::panic, reason = "a failed test is a panic")]

mod bystanders;
mod mix_up;
#[path = "../support/records.rs"]
mod records;
#[path = "../postgres_store/server.rs"]
#[expect(dead_code, reason = "shared with the tests of the store without a pooler")]
mod server;

use tower_sliding_sessions::store::PostgresStore;

/// The pooler's URL.
fn pooler() -> String {
    match std::env::var("TEST_PGBOUNCER_URL") {
        Ok(url) => url,
        Err(_) => panic!("TEST_PGBOUNCER_URL is not set: tests/run starts a pooler and sets it"),
    }
}

/// The pooler's URL with sqlx's statement cache turned off.
fn without_cache() -> String {
    format!("{}?statement-cache-capacity=0", pooler())
}

/// A store behind the pooler, in a new schema.
async fn behind(url: &str) -> PostgresStore {
    let schema = server::schema().await;
    PostgresStore::connect_in_schema(url, &schema).await.expect("the pooler answers")
}

mod suite {
    async fn fresh() -> tower_sliding_sessions::store::PostgresStore {
        super::behind(&super::pooler()).await
    }
    tower_sliding_sessions::store_conformance!(fresh);
}

mod suite_without_cache {
    async fn fresh() -> tower_sliding_sessions::store::PostgresStore {
        super::behind(&super::without_cache()).await
    }
    tower_sliding_sessions::store_conformance!(fresh);
}
