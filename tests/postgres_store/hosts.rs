//! An address with several hosts, of which not all can be used.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::net::TcpListener;
use tower_sliding_sessions::store::{
    PostgresStore, SessionStore as _, StoreError,
    sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection},
};

use crate::{
    server::{now, open, schema, url},
    settings::{misconfigured, use_it},
};

/// The server's address with another host.
fn with(host: &str) -> String {
    let (server, database) =
        url().rsplit_once('/').map(|(a, b)| (a.to_owned(), b.to_owned())).expect("a path");
    format!("{server},{host}/{database}")
}

/// The port of a server that closes each connection, and how many there were.
async fn closing_server() -> (u16, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let opened = Arc::<AtomicU64>::default();
    let count = opened.clone();
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    (port, opened)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn unknown_hosts_alone_are_a_configuration_error() {
    for hosts in ["no-such-host.invalid", "no-such-host.invalid:1,no-such-host.invalid:2"] {
        let started = PostgresStore::connect(&format!("postgres://u:secret@{hosts}/db")).await;
        misconfigured(started, "the host \"no-such-host.invalid\" is unknown");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn unknown_host_besides_one_that_is_down_is_an_outage_that_names_it() {
    let url = "postgres://u:secret@no-such-host.invalid:1,127.0.0.1:1/db";
    let error = PostgresStore::connect(url).await.expect_err("there is no server");
    let StoreError::Unavailable(cause) = &error else { panic!("{error:?}") };
    let source = cause.source().and_then(|source| source.source()).map(ToString::to_string);
    assert_eq!(source.as_deref(), Some("the host \"no-such-host.invalid\" is unknown"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn unknown_host_besides_the_primary_is_named_and_no_error() {
    let name = schema().await;
    let store = PostgresStore::lazy(&with("no-such-host.invalid:5433")).expect("a URL");
    let store = store.with_schema(&name).expect("a schema");
    store.migrate().await.expect("the primary answers");
    store.check().await.expect("nothing is missing");
    use_it(&store).await;
    let unusable = store.unusable_hosts().await;
    let [(host, StoreError::Configuration(cause))] = &*unusable else { panic!("{unusable:?}") };
    assert_eq!(host, "no-such-host.invalid:5433");
    assert_eq!(cause.to_string(), "the host \"no-such-host.invalid\" is unknown");
    let single = PostgresStore::lazy(&url()).expect("a URL");
    assert!(single.unusable_hosts().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn primary_is_looked_for_after_errors_of_the_connection_only() {
    let name = schema().await;
    let (port, opened) = closing_server().await;
    let store = PostgresStore::lazy(&with(&format!("127.0.0.1:{port}"))).expect("a URL");
    let store = store.with_schema(&name).expect("a schema");
    store.migrate().await.expect("the primary answers");
    let key = open(&store, now()).await;
    let at_start = opened.load(Ordering::SeqCst);
    assert!(at_start > 0);

    // Another host has the same tables and rights.
    let mut admin = PgConnection::connect(&url()).await.expect("the server answers");
    let rename = async |admin: &mut PgConnection, from: &str, to: &str| {
        let sql = format!("ALTER TABLE {name}.{from} RENAME TO {to}");
        admin.execute(AssertSqlSafe(sql)).await.expect("it is renamed");
    };
    rename(&mut admin, "sliding_sessions", "elsewhere").await;
    for _ in 0..3 {
        store.get(&key).await.expect_err("the table is missing");
    }
    rename(&mut admin, "elsewhere", "sliding_sessions").await;
    // A search would ask all hosts at once.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(opened.load(Ordering::SeqCst), at_start, "the primary was looked for");

    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE pid <> pg_backend_pid() AND query LIKE '%' || $1 || '%'";
    let end = tower_sliding_sessions::store::sqlx::query(end).bind(&name);
    assert!(end.execute(&mut admin).await.expect("they are ended").rows_affected() > 0);
    let looked = async {
        while opened.load(Ordering::SeqCst) == at_start {
            let _ended = store.get(&key).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), looked).await.expect("the primary is looked for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn server_that_closes_the_connection_at_once_is_an_outage() {
    // As a proxy does while no server is behind it.
    let (port, _) = closing_server().await;
    for mode in ["disable", "prefer", "require"] {
        let url = format!("postgres://u:secret@127.0.0.1:{port}/db?sslmode={mode}");
        let error = PostgresStore::connect(&url).await.expect_err("there is no server");
        assert!(matches!(error, StoreError::Unavailable(_)), "{mode}: {error:?}");
    }
}
