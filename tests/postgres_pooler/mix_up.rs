//! A call that reaches another call's prepared statement.

use tower_sliding_sessions::store::{
    FeedFrom, PostgresStore, Revoke, SessionStore as _,
    sqlx::{
        self, AssertSqlSafe, Connection as _, Executor as _, PgConnection,
        postgres::{PgConnectOptions, PgPoolOptions},
    },
};

use crate::{
    behind, pooler,
    server::{now, open, schema, url},
};

/// The pooler's options, without the one setting of sqlx that PgBouncer refuses.
fn plain_options() -> PgConnectOptions {
    pooler().parse::<PgConnectOptions>().expect("a URL").extra_float_digits(None)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn arguments_that_reach_another_function_change_nothing() {
    let schema = schema().await;
    let store = PostgresStore::connect_in_schema(&url(), &schema).await.expect("the server answers");
    let key = open(&store, now()).await;
    let mut connection = PgConnection::connect(&url()).await.expect("the server answers");
    // The same argument types as `advance`, whose tag it has.
    let tag: Vec<u8> = sqlx::query_scalar(
        "SELECT decode('00ff', 'hex') || convert_to('advance ' || substr(encode(sha256(convert_to($1, \
         'UTF8')), 'hex'), 1, 16), 'UTF8')",
    )
    .bind(&schema)
    .fetch_one(&mut connection)
    .await
    .expect("the server answers");
    let call = async |connection: &mut PgConnection, function: &str| {
        let sql =
            format!("SELECT * FROM \"{schema}\".sliding_sessions_{function}_v3($1, $2, $3, $4, $5, $6)");
        sqlx::query(AssertSqlSafe(sql))
            .bind(&tag)
            .bind(key.subject.realm.as_bytes())
            .bind(key.subject.name.as_bytes())
            .bind(key.id.as_bytes().as_slice())
            .bind(0_i64)
            .bind(1_i64)
            .fetch_all(connection)
            .await
    };
    let error = call(&mut connection, "revoke").await.expect_err("the tag is another function's");
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    assert_eq!(code.as_deref(), Some("TS001"), "{error}");
    assert!(!store.get(&key).await.expect("it is read").record.expect("it is there").is_revoked());
    call(&mut connection, "advance").await.expect("its own function takes it");
}

/// A server connection on which our statement names belong to other, harmful statements.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn statements_of_another_program_under_our_names_are_not_executed() {
    let schema = schema().await;
    let store = PostgresStore::connect_in_schema(&pooler(), &schema).await.expect("the pooler answers");
    let key = open(&store, now()).await;
    let mut admin = PgConnection::connect(&url()).await.expect("the server answers");
    let table = format!("CREATE TABLE \"{schema}\".harm (what text)");
    admin.execute(AssertSqlSafe(table)).await.expect("a table");
    // Six arguments, as `revoke` has.
    let harm = format!(
        "PREPARE sqlx_s_%s (text, bytea, bytea, bytea, bigint, bigint) AS INSERT INTO \"{schema}\".harm \
         VALUES ($1)"
    );
    let options = plain_options();
    for name in 1..40 {
        for _ in 0..8 {
            let mut other = PgConnection::connect_with(&options).await.expect("the pooler answers");
            // A name may be taken already.
            let _taken = other.execute(AssertSqlSafe(harm.replace("%s", &name.to_string()))).await;
        }
    }
    let other = PostgresStore::connect_in_schema(&pooler(), &schema).await.expect("the pooler answers");
    let bystander = open(&other, now()).await;
    let revoked = other.revoke(&Revoke::Session(key.clone()), now()).await.expect("it is revoked");
    assert_eq!(revoked, [key.id]);
    let record = other.get(&bystander).await.expect("it is read").record.expect("it is there");
    assert!(!record.is_revoked());
    let harm = format!("SELECT count(*) FROM \"{schema}\".harm");
    let harm: i64 =
        sqlx::query_scalar(AssertSqlSafe(harm)).fetch_one(&mut admin).await.expect("the server answers");
    assert_eq!(harm, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_instances_can_migrate_through_the_pooler_at_once() {
    let schema = schema().await;
    let mut starting = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let schema = schema.clone();
        starting.spawn(async move { PostgresStore::connect_in_schema(&pooler(), &schema).await });
    }
    for store in starting.join_all().await {
        let store = store.expect("each of them starts");
        store.migrate().await.expect("again is no error");
    }
    // A lock that outlives its transaction would stay on an idle server connection. The two views are not
    // consistent with each other, and other tests hold locks in transactions.
    let mut admin = PgConnection::connect(&url()).await.expect("the server answers");
    let mut left = 1_i64;
    for _ in 0..100 {
        left = sqlx::query_scalar(
            "SELECT count(*) FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid) \
             WHERE l.locktype = 'advisory' AND l.granted AND a.state = 'idle'",
        )
        .fetch_one(&mut admin)
        .await
        .expect("the server answers");
        if left == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(left, 0, "a lock outlives its transaction");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pool_of_the_application_works_behind_the_pooler_too() {
    let schema = schema().await;
    let pool =
        PgPoolOptions::new().max_connections(3).connect_with(plain_options()).await.expect("it connects");
    let store = PostgresStore::new(pool).with_schema(&schema).expect("a schema");
    store.migrate().await.expect("it is migrated");
    let key = open(&store, now()).await;
    assert_eq!(store.revoke(&Revoke::Session(key.clone()), now()).await.expect("it is revoked"), [key.id]);
    assert_eq!(store.feed(&FeedFrom::Since(key_time())).await.expect("the feed is read").events.len(), 1);
}

fn key_time() -> tower_sliding_sessions::Timestamp {
    now() - std::time::Duration::from_secs(60)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn feed_can_be_followed_through_the_pooler() {
    let store = behind(&pooler()).await;
    let from = store.feed(&FeedFrom::Since(now())).await.expect("the feed is read").position;
    let key = open(&store, now()).await;
    store.revoke(&Revoke::Session(key), now()).await.expect("it is revoked");
    let batch = store.feed(&FeedFrom::After(from)).await.expect("the feed is read");
    assert_eq!((batch.events.len(), batch.gap), (1, false));
}
