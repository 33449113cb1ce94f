//! Each setting in the documentation of the store: URLs, their parameters, and the application's own
//! pools.

use std::{error::Error as _, time::Duration};

use tokio::task::JoinSet;
use tower_sliding_sessions::store::{
    Cap, Revoke, SessionStore as _, SqliteStore, StoreError,
    sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::file::{Folder, now, open, record, subject, unique};

/// Opens, reads, revokes and lists, on many tasks at once.
async fn use_it(store: &SqliteStore) {
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let store = store.clone();
        tasks.spawn(async move {
            for _ in 0..5 {
                let key = open(&store, now()).await;
                assert_eq!(store.list(&key.subject, now()).await.expect("it is listed").len(), 1);
                store.revoke(&Revoke::Session(key.clone()), now()).await.expect("it is revoked");
                let read = store.get(&key).await.expect("it is read").record.expect("it is kept");
                assert!(read.is_revoked());
            }
        });
    }
    tasks.join_all().await;
}

/// Checks that opening fails with a configuration error with these words.
#[track_caller]
fn misconfigured(opened: Result<SqliteStore, StoreError>, words: &[&str]) {
    let error = opened.expect_err("that cannot be opened");
    assert!(matches!(error, StoreError::Configuration(_)), "{error:?}");
    let cause = error.source().expect("it has a cause").to_string();
    for word in words {
        assert!(cause.contains(word), "{cause}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_parameter_of_a_writing_url_works() {
    for parameters in
        ["", "?mode=rwc", "?mode=rw", "?cache=private", "?cache=shared", "?vfs=unix-excl", "?immutable=0"]
    {
        let folder = Folder::new();
        if parameters == "?mode=rw" {
            let url = format!("sqlite:{}{parameters}", folder.file());
            misconfigured(SqliteStore::open(&url).await, &["sessions.db", "unable to open"]);
        }
        if parameters != "?vfs=unix-excl" {
            drop(SqliteStore::open(&folder.file()).await.expect("it opens"));
        }
        for scheme in ["sqlite:", "sqlite://"] {
            let url = format!("{scheme}{}{parameters}", folder.file());
            let opened = SqliteStore::open(&url).await;
            use_it(&opened.unwrap_or_else(|error| panic!("{url}: {error:?}"))).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_parameter_of_a_read_only_url_works() {
    for parameters in ["?mode=ro", "?immutable=1"] {
        let folder = Folder::new();
        // A file without a journal next to it, as an immutable one.
        let options = SqliteConnectOptions::new().filename(folder.file()).create_if_missing(true);
        let pool = SqlitePoolOptions::new().connect_with(options).await.expect("it opens");
        let store = SqliteStore::new(pool.clone());
        store.migrate().await.expect("it is migrated");
        let key = open(&store, now()).await;
        pool.close().await;
        let url = format!("sqlite:{}{parameters}", folder.file());
        let reader = SqliteStore::open(&url).await.unwrap_or_else(|error| panic!("{url}: {error:?}"));
        assert!(reader.get(&key).await.expect("it is read").record.is_some(), "{parameters}");
        assert!(reader.revoke(&Revoke::Session(key.clone()), now()).await.is_err(), "{parameters}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn path_in_a_url_is_percent_decoded() {
    let folder = Folder::new();
    let odd = folder.file().replace("sessions.db", "a b?c%.db");
    drop(SqliteStore::open(&odd).await.expect("a path is taken as it is"));
    assert!(std::path::Path::new(&odd).exists());
    let url = format!("sqlite:{}", odd.replace('%', "%25").replace('?', "%3F").replace(' ', "%20"));
    let store = SqliteStore::open(&format!("{url}?mode=rw")).await.expect("the same file");
    use_it(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn file_that_cannot_be_opened_is_named() {
    let missing = "/no/such/folder/sessions.db";
    misconfigured(SqliteStore::open(missing).await, &[missing, "unable to open"]);
    misconfigured(SqliteStore::open(&format!("sqlite://{missing}?mode=rwc")).await, &[missing]);
    misconfigured(SqliteStore::open("sqlite:a.db?mode=no").await, &["mode"]);
    misconfigured(SqliteStore::open("sqlite:a.db?colour=red").await, &["colour"]);
    for memory in [":memory:", "sqlite::memory:", "", "sqlite:", "sqlite://", "sqlite://?mode=rwc"] {
        let error = SqliteStore::open(memory).await.expect_err("that is not a file");
        assert!(matches!(error, StoreError::Unsupported(_)));
    }
    let folder = Folder::new();
    std::fs::write(folder.file(), [b'x'; 8192]).expect("it is written");
    misconfigured(SqliteStore::open(&folder.file()).await, &[&folder.file(), "not a database"]);
    let folder = Folder::new();
    std::fs::write(folder.file(), []).expect("it is written");
    let url = format!("sqlite:{}?mode=ro", folder.file());
    misconfigured(SqliteStore::open(&url).await, &[&folder.file(), "readonly"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pool_of_the_application_works_with_each_journal_mode() {
    for (journal, connections) in [
        (SqliteJournalMode::Wal, 4),
        (SqliteJournalMode::Wal, 1),
        (SqliteJournalMode::Delete, 4),
        (SqliteJournalMode::Truncate, 1),
    ] {
        let folder = Folder::new();
        let options = SqliteConnectOptions::new()
            .filename(folder.file())
            .create_if_missing(true)
            .journal_mode(journal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(Duration::from_secs(20));
        let pool = SqlitePoolOptions::new().max_connections(connections);
        let store = SqliteStore::new(pool.connect_with(options).await.expect("it opens"));
        store.migrate().await.expect("it is migrated");
        use_it(&store).await;
        let cap = Some(Cap::RevokeOldest(1));
        let subject = subject(unique());
        for _ in 0..3 {
            store.create(&subject, &record(now()), cap).await.expect("it is created");
        }
        assert_eq!(store.list(&subject, now()).await.expect("it is listed").len(), 1);
    }
}
