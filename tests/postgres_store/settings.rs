//! Each setting in the documentation of the store, and the error at start for an invalid one.

use std::{
    error::Error as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tower_sliding_sessions::store::{
    FeedFrom, PostgresStore, Revoke, SessionStore as _, StoreError,
    sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, postgres::PgPoolOptions},
};

use crate::server::{DAY, now, open, pool, schema, schema_url, url};

/// Opens, reads, lists, revokes and follows, on more tasks than the pool has connections.
pub(crate) async fn use_it(store: &PostgresStore) {
    for _ in 0..12 {
        let key = open(store, now()).await;
        assert_eq!(store.list(&key.subject, now()).await.expect("it is listed").len(), 1);
        store.revoke(&Revoke::Session(key.clone()), now()).await.expect("it is revoked");
        assert!(store.get(&key).await.expect("it is read").record.expect("it is kept").is_revoked());
    }
    assert!(!store.feed(&FeedFrom::Since(now() - DAY)).await.expect("the feed is read").events.is_empty());
}

/// Checks that starting fails with a configuration error with these words.
#[track_caller]
pub(crate) fn misconfigured<T: std::fmt::Debug>(started: Result<T, StoreError>, words: &str) {
    let error = started.expect_err("that cannot work");
    assert!(matches!(error, StoreError::Configuration(_)), "{error:?}");
    let mut error_text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        error_text = format!("{error_text}: {next}");
        cause = next.source();
    }
    assert!(error_text.contains(words), "{error_text}");
    assert!(!error_text.contains("secret"), "{error_text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_size_of_the_statement_cache_works() {
    for capacity in [0, 1, 3, 100] {
        let url = format!("{}&statement-cache-capacity={capacity}", schema_url().await);
        use_it(&PostgresStore::connect(&url).await.expect("it starts")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn connection_without_a_statement_cache_leaves_no_statements() {
    let schema = schema().await;
    let options = format!("{}?statement-cache-capacity=0", url()).parse().expect("a URL");
    let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(options);
    let store = PostgresStore::new(pool.clone()).with_schema(&schema).expect("a schema");
    store.migrate().await.expect("it is migrated");
    use_it(&store).await;
    let mut connection = pool.acquire().await.expect("a connection");
    let left: i64 = sqlx_scalar(&mut connection, "SELECT count(*) FROM pg_prepared_statements").await;
    assert!(left <= 2, "{left} statements");
}

async fn sqlx_scalar(connection: &mut PgConnection, sql: &'static str) -> i64 {
    let query = tower_sliding_sessions::store::sqlx::query_scalar(sql).persistent(false);
    query.fetch_one(connection).await.expect("the server answers")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn schema_can_be_named_and_is_looked_up_once() {
    let mut admin = PgConnection::connect(&url()).await.expect("the server answers");
    for name in [schema().await, format!("{} of-Änne", schema().await)] {
        admin
            .execute(AssertSqlSafe(format!("CREATE SCHEMA IF NOT EXISTS \"{name}\"")))
            .await
            .expect("a schema");
        let store = PostgresStore::connect_in_schema(&url(), &name).await.expect("it starts");
        use_it(&store).await;
        // The same tables, found by the search_path, which then changes.
        let path = pool(&url()).await;
        let set = AssertSqlSafe(format!("SET search_path TO \"{name}\""));
        let mut connection = path.acquire().await.expect("a connection");
        connection.execute(set).await.expect("it is set");
        drop(connection);
        let found = PostgresStore::new(path.clone());
        found.migrate().await.expect("it only reads");
        for _ in 0..path.size() {
            let mut connection = path.acquire().await.expect("a connection");
            connection.execute("SET search_path TO pg_catalog").await.expect("it is set");
        }
        use_it(&found).await;
    }
    for odd in ["", "a\"b", "a'b", "a\\b", "$$", "{home}", "a\0b"] {
        misconfigured(PostgresStore::connect_in_schema(&url(), odd).await, "schema");
    }
    misconfigured(PostgresStore::connect_in_schema(&url(), "no_such_schema").await, "no_such_schema");
    let nowhere = format!("{}?options=-csearch_path%3Dno_such_schema", url());
    misconfigured(PostgresStore::connect(&nowhere).await, "search_path");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pool_of_the_application_works_with_and_without_tests_before_use() {
    for test in [false, true] {
        let url = schema_url().await;
        let options = url.parse().expect("a URL");
        let pool = PgPoolOptions::new().max_connections(2).test_before_acquire(test);
        let store = PostgresStore::new(pool.connect_with(options).await.expect("the server answers"));
        store.migrate().await.expect("it is migrated");
        use_it(&store).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn silent_feed_is_read_once_in_each_interval() {
    let reads = Arc::<AtomicU64>::default();
    let count = reads.clone();
    let options = url().parse().expect("a URL");
    let pool = PgPoolOptions::new().test_before_acquire(false).before_acquire(move |_, _| {
        count.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Ok(true) })
    });
    let (schema, interval) = (schema().await, Duration::from_millis(500));
    let store = PostgresStore::new(pool.max_connections(1).connect_lazy_with(options));
    let store = store.with_feed_interval(interval).with_schema(&schema).expect("a schema");
    let store = store.with_prefix("shop_").expect("a prefix");
    store.migrate().await.expect("it is migrated");
    let first = store.feed(&FeedFrom::Since(now())).await.expect("the feed is read");
    let before = reads.load(Ordering::SeqCst);
    store.feed(&FeedFrom::After(first.position)).await.expect("the feed is read");
    // One at once, one after each interval, and the last one after a second.
    let reads = reads.load(Ordering::SeqCst) - before;
    assert!(reads <= 4, "{reads} reads");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn store_without_a_migration_reports_what_is_missing() {
    let store = PostgresStore::new(pool(&schema_url().await).await);
    let error = store.list(&crate::server::subject("x"), now()).await.expect_err("there is nothing");
    let StoreError::Unavailable(cause) = &error else { panic!("{error:?}") };
    assert!(cause.to_string().contains("does not exist"), "{cause}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn error_that_the_operator_must_fix_is_a_configuration_error_at_start() {
    let start = async |url: &str| PostgresStore::connect(url).await;
    let host = url().rsplit_once('@').expect("an address").1.to_owned();
    misconfigured(start(&format!("postgres://tester:secret@{host}")).await, "password authentication failed");
    misconfigured(start(&format!("{}_not", url())).await, "does not exist");
    misconfigured(start("postgres://u:secret@[/db").await, "");
    misconfigured(start("mysql://u:secret@localhost/db").await, "");
    misconfigured(start(&format!("{}?statement-cache-capacity=many", url())).await, "");
    misconfigured(start(&format!("{}?sslmode=require", url())).await, "TLS");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn missing_rights_are_named_at_start() {
    let name = schema().await;
    let mut admin = PgConnection::connect(&url()).await.expect("the server answers");
    let user = format!("user_{name}");
    let host = url().rsplit_once('@').expect("an address").1.to_owned();
    let theirs = format!("postgres://{user}:secret@{host}");
    let script = format!("CREATE USER {user} PASSWORD 'secret'; GRANT USAGE ON SCHEMA {name} TO {user}");
    admin.execute(AssertSqlSafe(script)).await.expect("a user");
    let start = || PostgresStore::connect_in_schema(&theirs, &name);
    misconfigured(start().await, "permission denied for schema");
    PostgresStore::connect_in_schema(&url(), &name).await.expect("another user migrates it");
    misconfigured(start().await, "permission denied");
    let grant = format!("GRANT SELECT ON ALL TABLES IN SCHEMA {name} TO {user}");
    admin.execute(AssertSqlSafe(grant)).await.expect("rights");
    misconfigured(start().await, "sliding_sessions_feed: INSERT");
    let grant = format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {name} TO {user}");
    admin.execute(AssertSqlSafe(grant)).await.expect("rights");
    use_it(&start().await.expect("these rights suffice")).await;
}
