//! A user who may not create tables, an administrator who migrates, and prefixes of tables.

use std::error::Error as _;

use tokio::{io::AsyncWriteExt as _, net::TcpListener};
use tower_sliding_sessions::store::{
    FeedEvent, FeedFrom, PostgresStore, Revoke, SessionStore as _, StoreError,
    sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, raw_sql},
};

use crate::server::{DAY, now, open, schema, url};
use crate::settings::{misconfigured, use_it};

async fn admin() -> PgConnection {
    PgConnection::connect(&url()).await.expect("the server answers")
}

/// A user with `USAGE` on a new schema, and no other right. Returns the schema, and the user's store in it.
async fn poor_user(admin: &mut PgConnection) -> (String, String, PostgresStore) {
    let name = schema().await;
    let user = format!("user_{name}");
    // Each of these characters means something in a URL.
    let script =
        format!("CREATE USER {user} PASSWORD 'p@ss:w/o?r#d %&='; GRANT USAGE ON SCHEMA {name} TO {user}");
    admin.execute(AssertSqlSafe(script)).await.expect("a user");
    let host = url().rsplit_once('@').expect("an address").1.to_owned();
    let theirs = format!("postgres://{user}:p%40ss%3Aw%2Fo%3Fr%23d%20%25%26%3D@{host}");
    let store = PostgresStore::lazy(&theirs).expect("a URL").with_schema(&name).expect("a schema");
    (name, user, store)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn user_without_the_right_to_create_tables_works_after_an_administrator_ran_the_printed_sql() {
    let mut admin = admin().await;
    let (name, user, store) = poor_user(&mut admin).await;
    misconfigured(store.check().await, &format!("the schema \"{name}\" has no tables sliding_sessions"));
    misconfigured(store.migrate().await, "an administrator");
    misconfigured(store.migrate().await, "permission denied for schema");

    let script = store.pending_migration().await.expect("it is read").expect("there is something to do");
    raw_sql(AssertSqlSafe(script.clone())).execute(&mut admin).await.expect("it runs");
    // The rights that the script names.
    misconfigured(store.check().await, "permission denied for table sliding_sessions_meta");
    let rights: String = script
        .lines()
        .filter_map(|line| line.strip_prefix("-- GRANT "))
        .map(|right| format!("GRANT {}", right.replace('…', &user)))
        .collect();
    raw_sql(AssertSqlSafe(rights)).execute(&mut admin).await.expect("rights");
    store.check().await.expect("nothing is missing");
    store.migrate().await.expect("it only reads");
    assert!(store.pending_migration().await.expect("it is read").is_none());
    use_it(&store).await;

    let revoke = format!("REVOKE UPDATE ON {name}.sliding_sessions FROM {user}");
    admin.execute(AssertSqlSafe(revoke)).await.expect("a right less");
    misconfigured(store.check().await, "lacks rights on sliding_sessions: UPDATE");
    let function = format!(
        "GRANT UPDATE ON {name}.sliding_sessions TO {user}; \
         REVOKE EXECUTE ON FUNCTION {name}.sliding_sessions_get_v3 FROM PUBLIC"
    );
    admin.execute(AssertSqlSafe(function)).await.expect("a right less");
    misconfigured(store.check().await, "sliding_sessions_get_v3: EXECUTE");
    let usage = format!("REVOKE USAGE ON SCHEMA {name} FROM {user}");
    admin.execute(AssertSqlSafe(usage)).await.expect("a right less");
    misconfigured(store.check().await, "permission denied for schema");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn older_tables_are_named_at_start_and_the_printed_sql_updates_them() {
    let mut admin = admin().await;
    let name = schema().await;
    let tables = include_str!("../../src/store/postgres/migration_1.sql").replace("{schema}", &name)
        + &format!("; INSERT INTO {name}.sliding_sessions_meta (version, run) VALUES (1, 5)");
    admin.execute(AssertSqlSafe(tables)).await.expect("the tables of the first version");
    let store = PostgresStore::lazy(&url()).expect("a URL").with_schema(&name).expect("a schema");
    misconfigured(store.check().await, "are of version 1, and version 4 is needed");
    let script = store.pending_migration().await.expect("it is read").expect("there is something to do");
    assert!(
        !script.contains(&format!("CREATE TABLE \"{name}\".sliding_sessions (")),
        "the first migration was applied"
    );
    raw_sql(AssertSqlSafe(script)).execute(&mut admin).await.expect("it runs");
    store.check().await.expect("nothing is missing");
    use_it(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn stores_with_different_prefixes_share_a_schema_and_nothing_else() {
    // The names of schema and tables are alike.
    let name = format!("{}_sliding_sessions", schema().await);
    admin().await.execute(AssertSqlSafe(format!("CREATE SCHEMA {name}"))).await.expect("a schema");
    let in_schema = || PostgresStore::lazy(&url()).expect("a URL").with_schema(&name).expect("a schema");
    let first = in_schema().with_prefix("shop_").expect("a prefix");
    // The order does not matter.
    let second = PostgresStore::lazy(&url()).expect("a URL").with_prefix("blog_").expect("a prefix");
    let second = second.with_schema(&name).expect("a schema");
    let plain = in_schema();
    for store in [&first, &second, &plain] {
        store.migrate().await.expect("it is migrated");
        use_it(store).await;
    }
    let key = open(&first, now()).await;
    for other in [&second, &plain] {
        assert!(other.get(&key).await.expect("it is read").record.is_none());
        assert!(other.revoke(&Revoke::Session(key.clone()), now()).await.expect("it is none").is_empty());
    }
    first.revoke(&Revoke::Session(key.clone()), now()).await.expect("it is revoked");
    let feed = async |store: &PostgresStore| {
        let batch = store.feed(&FeedFrom::Since(now() - DAY)).await.expect("the feed is read");
        batch.events.contains(&FeedEvent::Revoked(key.clone()))
    };
    assert!(feed(&first).await && !feed(&second).await && !feed(&plain).await);

    // The search_path finds tables with the prefix, too.
    let by_path = format!("{}?options=-csearch_path%3D{name}", url());
    let found = PostgresStore::lazy(&by_path).expect("a URL").with_prefix("shop_").expect("a prefix");
    found.check().await.expect("nothing is missing");
    assert!(found.get(&key).await.expect("it is read").record.expect("it is kept").is_revoked());

    for odd in ["Shop", "1st_", "a-b", "a\"b", "ä", &"a".repeat(25)] {
        let error = PostgresStore::lazy(&url()).expect("a URL").with_prefix(odd).expect_err("it is none");
        assert!(matches!(error, StoreError::Configuration(_)) && error.source().is_some(), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn missing_functions_are_made_again_and_missing_tables_are_named() {
    let name = schema().await;
    let store = PostgresStore::connect_in_schema(&url(), &name).await.expect("it starts");
    let mut admin = admin().await;
    // As after a backup of the tables alone.
    let drop = format!(
        "DROP FUNCTION {name}.sliding_sessions_value_v3; DROP FUNCTION {name}.sliding_sessions_get_v3"
    );
    admin.execute(AssertSqlSafe(drop)).await.expect("they are dropped");
    misconfigured(store.check().await, "functions of");
    store.migrate().await.expect("they are made again");
    store.check().await.expect("nothing is missing");
    use_it(&store).await;
    let drop = format!("DROP TABLE {name}.sliding_sessions_values");
    admin.execute(AssertSqlSafe(drop)).await.expect("it is dropped");
    misconfigured(store.check().await, "sliding_sessions_values\" does not exist");
    misconfigured(store.migrate().await, "sliding_sessions_values\" does not exist");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn server_that_is_not_postgresql_is_a_configuration_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let _gone = client.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n").await;
        }
    });
    // Without the question for TLS, sqlx takes the answer for the beginning of a long message.
    for mode in ["prefer", "require"] {
        let url = format!("postgres://u:secret@127.0.0.1:{port}/db?sslmode={mode}");
        misconfigured(PostgresStore::connect(&url).await, "");
    }
}
