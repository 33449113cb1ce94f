//! The example of an application with clients of its own. Needs servers, which `tests/run` starts.

#![expect(clippy::expect_used, clippy::panic, reason = "in a test, that is how things fail")]

#[path = "support/browser.rs"]
mod browser;
#[path = "../examples/existing_clients.rs"]
#[expect(dead_code, reason = "its `main` is not run here")]
mod existing_clients;

use std::{sync::Arc, time::Duration};

use axum::http::{StatusCode, header::SET_COOKIE};
use tower_sliding_sessions::{
    Clock as _, ManualClock, SessionId, SessionsBuilder, SystemClock,
    store::sqlx::{self, Connection as _, PgConnection},
};

use self::{
    browser::{Browser, text},
    existing_clients::{Clients, app},
};

fn url(of: &str) -> String {
    std::env::var(of).unwrap_or_else(|_| panic!("{of} is not set: tests/run starts a server"))
}

/// Clients that share nothing with other tests: in a schema of their own.
async fn clients() -> (Clients, String) {
    let id = SessionId::random().expect("random bytes").encode();
    let name = format!("example_{}", id.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_"));
    let mut server = PgConnection::connect(&url("TEST_POSTGRES_URL")).await.expect("a server");
    let create = sqlx::AssertSqlSafe(format!("CREATE SCHEMA {name}"));
    sqlx::query(create).execute(&mut server).await.expect("a schema");
    let database = format!("{}?options=-csearch_path%3D{name}", url("TEST_POSTGRES_URL"));
    (Clients::connect(&database, &url("TEST_REDIS_URL")).await.expect("both servers"), name)
}

/// Signs in, renews, signs out.
async fn walk(clients: Clients, builder: SessionsBuilder) {
    // Servers expire what they keep by their own clocks.
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let app = app(clients, builder.clock(clock.clone())).expect("an application");
    let mut ann = Browser::new(&app);
    assert_eq!(ann.get("/").await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(ann.post("/login", "text/plain", "eve").await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(ann.post("/login", "text/plain", "ann").await.status(), StatusCode::OK);
    let first = text(ann.get("/").await).await;
    assert!(first.starts_with("Hello ann, this is page view "), "{first}");
    clock.advance(Duration::from_secs(10 * 60));
    let renewed = ann.get("/").await;
    assert_eq!(renewed.headers().get_all(SET_COOKIE).iter().count(), 2);
    assert_ne!(text(renewed).await, first);
    let mut copied = ann.clone();
    assert_eq!(ann.post("/logout", "text/plain", "").await.status(), StatusCode::OK);
    assert_eq!(ann.jar.names().count(), 0);
    assert_eq!(copied.get("/").await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_kept_by_the_pool_of_the_application() {
    let (clients, schema) = clients().await;
    let builder = clients.sessions_in_postgres().await.expect("a store");
    walk(clients.clone(), builder).await;
    // In the schema that the application's connections name.
    let tables =
        "SELECT count(*) FROM pg_tables WHERE schemaname = $1 AND tablename LIKE 'sliding_sessions%'";
    let tables: i64 =
        sqlx::query_scalar(tables).bind(schema).fetch_one(&clients.pool).await.expect("an answer");
    assert_eq!(tables, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_kept_by_the_redis_client_of_the_application() {
    let (clients, prefix) = clients().await;
    let builder = clients.sessions_in_redis(&prefix).expect("a store");
    walk(clients.clone(), builder).await;
    let mut redis = clients.redis.get_multiplexed_async_connection().await.expect("a connection");
    use tower_sliding_sessions::store::redis_client::AsyncTypedCommands as _;
    let keys = redis.keys(format!("{prefix}:*")).await.expect("keys");
    assert!(keys.iter().any(|key| key.ends_with(":feed")), "{keys:?}");
}
