//! Temporary failures of a file.

use std::time::Duration;

use serde_json::json;
use tower_sliding_sessions::store::{
    CreateError, Revoke, SessionStore as _, SqliteStore, StoreError,
    sqlx::{
        self, SqlitePool,
        sqlite::{SqliteConnectOptions, SqlitePoolOptions},
    },
};

use crate::file::{Folder, LOWEST, now, open, record, subject, unique};
use crate::records::edited;

/// A pool of one connection to an existing file.
async fn pool(file: &str, options: impl FnOnce(SqliteConnectOptions) -> SqliteConnectOptions) -> SqlitePool {
    let lock_timeout = Duration::from_millis(100);
    let options = options(SqliteConnectOptions::new().filename(file).busy_timeout(lock_timeout));
    SqlitePoolOptions::new().max_connections(1).connect_with(options).await.expect("it opens")
}

/// Checks that this is an outage with these words in its cause.
#[track_caller]
fn assert_unavailable(error: &StoreError, cause: &str) {
    let StoreError::Unavailable(source) = error else { panic!("{error:?}") };
    assert!(source.to_string().contains(cause), "{source}");
}

#[track_caller]
fn refused<T: std::fmt::Debug>(created: Result<T, CreateError>) -> StoreError {
    match created {
        Err(CreateError::Store(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn read_only_file_is_read_and_not_written() {
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.file()).await.expect("it opens");
    let key = open(&store, now()).await;
    let reader = SqliteStore::open(&format!("sqlite:{}?mode=ro", folder.file())).await.expect("it opens");
    assert!(reader.get(&key).await.expect("it is read").record.is_some());
    let error = reader.revoke(&Revoke::Session(key.clone()), now()).await.expect_err("it is read-only");
    assert_unavailable(&error, "readonly");
    let error = refused(reader.create(&subject("x"), &record(now()), None).await);
    assert_unavailable(&error, "readonly");
    assert_eq!(store.revoke(&Revoke::Session(key.clone()), now()).await.expect("it is ended"), [key.id]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn full_disk_is_an_outage_that_passes() {
    let folder = Folder::new();
    drop(SqliteStore::open(&folder.file()).await.expect("it opens"));
    let pool = pool(&folder.file(), |options| options.pragma("max_page_count", "40")).await;
    let store = SqliteStore::new(pool.clone());
    let mut kept = Vec::new();
    let error = loop {
        let (record, subject) = (record(now()), subject(unique()));
        match store.create(&subject, &record, None).await {
            Ok(_) => kept.push((subject, record)),
            created => break refused(created),
        }
        assert!(kept.len() < 10_000, "it never became full");
    };
    assert_unavailable(&error, "full");
    // Existing sessions can still be read.
    assert!(!kept.is_empty());
    for (subject, record) in &kept {
        assert_eq!(store.list(subject, now()).await.expect("it is read"), std::slice::from_ref(record));
    }
    let options = pool.connect_options().as_ref().clone();
    pool.set_connect_options(options.pragma("max_page_count", "100000"));
    // The current connection may fail once more, and is closed for that. The next one has room.
    let mut failed = 0;
    for _ in 0..200 {
        match store.create(&subject(unique()), &record(now()), None).await {
            Ok(_) => {}
            created => {
                assert_unavailable(&refused(created), "full");
                failed += 1;
            }
        }
    }
    assert!(failed <= 1, "{failed} failures, although there is room");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn lock_of_another_connection_is_an_outage_that_passes() {
    let folder = Folder::new();
    drop(SqliteStore::open(&folder.file()).await.expect("it opens"));
    let store = SqliteStore::new(pool(&folder.file(), |options| options).await);
    let key = open(&store, now()).await;
    let other = pool(&folder.file(), |options| options).await;
    let lock = other.begin_with("BEGIN IMMEDIATE").await.expect("it is locked");
    let error = store.revoke(&Revoke::Session(key.clone()), now()).await.expect_err("it is locked");
    assert_unavailable(&error, "locked");
    assert!(store.get(&key).await.expect("reading needs no lock").record.is_some());
    drop(lock);
    assert_eq!(store.revoke(&Revoke::Session(key.clone()), now()).await.expect("it is ended"), [key.id]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn store_without_a_migration_reports_that() {
    let folder = Folder::new();
    let store = SqliteStore::new(pool(&folder.file(), |options| options.create_if_missing(true)).await);
    assert_unavailable(&store.raise_run_id(LOWEST).await.expect_err("there are no tables"), "no such table");
    store.migrate().await.expect("it is migrated");
    open(&store, now()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn dropped_calls_leave_the_connections_usable() {
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.file()).await.expect("it opens");
    for wait in 0..300 {
        let _late = tokio::time::timeout(Duration::from_micros(wait * 10), open(&store, now())).await;
    }
    let key = open(&store, now()).await;
    store.revoke(&Revoke::Session(key.clone()), now()).await.expect("it is ended");
    let other = SqliteStore::open(&folder.file()).await.expect("it opens");
    let record = other.get(&key).await.expect("it is read").record.expect("it was committed");
    assert!(record.is_revoked());
    other.migrate().await.expect("no connection holds a lock");
    open(&other, now()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn unreadable_record_is_corrupt() {
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.file()).await.expect("it opens");
    let key = open(&store, now()).await;
    let odd = edited(&record(now()), |json| json["family"]["generation"] = json!(u64::MAX));
    assert!(store.create(&subject("odd"), &odd, None).await.is_err());
    assert!(store.replace(&key, 0, &odd, None).await.is_err());
    let admin = pool(&folder.file(), |options| options).await;
    for change in ["claims = X'FF'", "generation = -1, claims = X'31'", "generation = 'x'"] {
        let sql = sqlx::AssertSqlSafe(format!("UPDATE sliding_sessions SET {change}"));
        sqlx::raw_sql(sql).execute(&admin).await.expect("it is changed");
        let error = store.get(&key).await.expect_err("that is no record");
        assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
        assert!(!format!("{error:?}").contains(&key.id.encode()));
    }
}
