//! A database of the first version.

use serde_json::json;
use tower_sliding_sessions::{
    RunId, SessionId,
    store::{
        FeedFrom, PostgresStore, Revoke, SessionKey, SessionStore as _,
        sqlx::{self, AssertSqlSafe, Connection as _, Executor as _, PgConnection},
    },
};

use crate::records::read;
use crate::server::{DAY, LOWEST, now, open, schema, subject, url};

const TABLES: &str = include_str!("../../src/store/postgres/migration_1.sql");

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn database_of_the_first_version_keeps_its_sessions() {
    let name = schema().await;
    let mut admin = PgConnection::connect(&url()).await.expect("the server answers");
    let script = TABLES.replace("{schema}", &name)
        + &format!(
            "; INSERT INTO {name}.sliding_sessions_meta (version, run) VALUES (1, -5);
            INSERT INTO {name}.sliding_sessions_feed (mark, kind, at, id) VALUES (1, 4, {}, int8send(-5));
            CREATE TYPE {name}.sliding_sessions_snapshot_v1 AS (applied boolean);
            CREATE FUNCTION {name}.sliding_sessions_rotate_v1(p_run bigint, p_kind bigint) RETURNS void
            LANGUAGE sql AS 'SELECT'",
            now().as_millis()
        );
    admin.execute(AssertSqlSafe(script)).await.expect("the tables of the first version");
    let id = SessionId::random().expect("random bytes");
    let insert = format!(
        "INSERT INTO {name}.sliding_sessions (realm, subject, id, run, generation, confirmed_at, created_at, \
         idle_timeout, idle_deadline, absolute_deadline, revoked, claims, persistent) \
         VALUES ('test', 'old', $1, -5, 3, $2, $2, $3, $2 + $3, $2 + $3, false, 'null', true)"
    );
    sqlx::query(AssertSqlSafe(insert))
        .bind(id.as_bytes().as_slice())
        .bind(i64::try_from(now().as_millis()).expect("a time"))
        .bind(i64::try_from(DAY.as_millis()).expect("a duration"))
        .execute(&mut admin)
        .await
        .expect("a session of the first version");

    let store = PostgresStore::connect_in_schema(&url(), &name).await.expect("it is migrated");
    let key = SessionKey { subject: subject("old"), id };
    let snapshot = store.get(&key).await.expect("it is read");
    let record = snapshot.record.expect("the session exists");
    assert_eq!((record.generation(), &read(&record)["persistent"]), (3, &json!(true)));
    let run = store.raise_run_id(LOWEST).await.expect("there is a run");
    assert!(run == snapshot.run && run > RunId::at(now() - DAY, 0) && run < RunId::at(now() + DAY, 0));
    let feed = store.feed(&FeedFrom::Since(now() - DAY)).await.expect("the feed is read");
    assert!(feed.events.is_empty(), "no run ID of the first version: {:?}", feed.events);
    assert!(store.replace(&key, snapshot.version, &record, None).await.expect("it is written").applied);
    open(&store, now()).await;
    assert_eq!(store.revoke(&Revoke::Session(key.clone()), now()).await.expect("it is revoked"), [id]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn renamed_schema_works_after_a_restart() {
    let name = schema().await;
    let store = PostgresStore::connect_in_schema(&url(), &name).await.expect("it starts");
    let key = open(&store, now()).await;
    let renamed = format!("{name}_renamed");
    let mut admin = PgConnection::connect(&url()).await.expect("the server answers");
    admin.execute(AssertSqlSafe(format!("ALTER SCHEMA {name} RENAME TO {renamed}"))).await.expect("renamed");
    let store = PostgresStore::connect_in_schema(&url(), &renamed).await.expect("it starts");
    assert!(store.get(&key).await.expect("it is read").record.is_some());
    assert_eq!(store.revoke(&Revoke::Session(key.clone()), now()).await.expect("it is revoked"), [key.id]);
}
