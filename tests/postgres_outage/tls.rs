//! TLS to the server. The certificates are made for the test.

use std::{error::Error as _, path::Path, time::Duration};

use tokio::time::Instant;
use tower_sliding_sessions::store::{
    PostgresStore, SessionStore as _, StoreError,
    sqlx::{Connection as _, PgConnection, query_scalar},
};

use crate::{Server, given, open_when_back};

/// Turns TLS off after the test, however it ends.
struct Plain;

impl Drop for Plain {
    fn drop(&mut self) {
        Server::does("plain");
    }
}

/// The server with TLS, and the folder of the certificates.
async fn with_tls() -> (Plain, String) {
    let plain = Plain;
    let folder = Server::says("tls").trim().to_owned();
    // The server reloads its settings in its own time.
    let began = Instant::now();
    while PgConnection::connect(&at("localhost", "require", "")).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(10), "the server does not speak TLS");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (plain, folder)
}

/// The server's URL with another host name, and TLS.
fn at(host: &str, mode: &str, root: &str) -> String {
    let url = given("TEST_POSTGRES_URL").replace("@127.0.0.1:", &format!("@{host}:"));
    let root = if root.is_empty() { String::new() } else { format!("&sslrootcert={root}") };
    format!("{url}?sslmode={mode}{root}")
}

/// Starting fails with a configuration error. Returns its causes.
async fn refused(url: &str) -> String {
    let error = PostgresStore::connect(url).await.expect_err("that cannot work");
    assert!(matches!(error, StoreError::Configuration(_)), "{error:?}");
    let mut text = String::new();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn full_verification_accepts_the_right_certificate_and_nothing_else() {
    let (_server, _) = Server::take().await;
    let (_plain, folder) = with_tls().await;
    let (ca, other) = (format!("{folder}/ca.pem"), format!("{folder}/other.pem"));
    assert!(Path::new(&ca).exists() && Path::new(&other).exists());

    let good = at("localhost", "verify-full", &ca);
    let mut connection = PgConnection::connect(&good).await.expect("it connects");
    let encrypted = query_scalar("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()");
    let encrypted: bool = encrypted.fetch_one(&mut connection).await.expect("the server answers");
    assert!(encrypted);
    let store = PostgresStore::connect(&good).await.expect("it connects");
    let (key, _) = open_when_back(&store).await;
    assert!(store.get(&key).await.expect("it is read").record.is_some());
    PostgresStore::connect(&at("127.0.0.1", "verify-ca", &ca)).await.expect("the host name is not compared");

    let wrong_ca = refused(&at("localhost", "verify-full", &other)).await;
    assert!(wrong_ca.contains("certificate"), "{wrong_ca}");
    let unknown_ca = refused(&at("localhost", "verify-full", "")).await;
    assert!(unknown_ca.contains("certificate"), "{unknown_ca}");
    let wrong_host = refused(&at("127.0.0.1", "verify-full", &ca)).await;
    assert!(wrong_host.contains("certificate"), "{wrong_host}");
    let no_file = refused(&at("localhost", "verify-full", &format!("{folder}/none.pem"))).await;
    assert!(no_file.contains("No such file"), "{no_file}");
    let hosts = at("localhost:1,localhost", "verify-full", &other);
    let several = refused(&hosts).await;
    assert!(several.contains("certificate"), "{several}");
}
