//! TLS, with certificates that the test makes, and client certificates.

use std::{path::Path, process::Command};

use tower_sliding_sessions::store::{
    FeedFrom, RedisStore, SessionStore as _, StoreError,
    redis_client::{Client, ClientTlsConfig, TlsCertificates},
};

use super::{causes, now, open, port::free_port, server::Server, subject};

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output();
    let output = output.expect("openssl is installed (tests/servers/redis)");
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

/// Two authorities, `ca` and `other`. `ca` signed the certificates `server` and `client`.
fn certificates() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    for authority in ["ca", "other"] {
        openssl(
            at,
            &format!(
                "req -x509 {KEY} -keyout {authority}.key -out {authority}.crt -subj /CN={authority} -days 2"
            ),
        );
    }
    std::fs::write(at.join("names"), "subjectAltName=DNS:localhost").expect("a file");
    for name in ["server", "client"] {
        openssl(at, &format!("req {KEY} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
        let sign = "-CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names";
        openssl(at, &format!("x509 -req -in {name}.csr {sign} -out {name}.crt"));
    }
    folder
}

/// A server with TLS, and its port for it. Tests ask it over the other port.
async fn start(folder: &Path, more: &[&str]) -> (Server, u16) {
    let port = free_port();
    let path = |name: &str| folder.join(name).display().to_string();
    let (certificate, key, authority) = (path("server.crt"), path("server.key"), path("ca.crt"));
    let port_text = port.to_string();
    let options = ["--tls-port", &port_text, "--tls-cert-file", &certificate, "--tls-key-file", &key];
    (Server::start(&[&options[..], &["--tls-ca-cert-file", &authority], more].concat()).await, port)
}

fn client(folder: &Path, url: &str, authority: &str, with_certificate: bool) -> Client {
    let read = |name: &str| std::fs::read(folder.join(name)).expect("a file");
    let client_tls = with_certificate
        .then(|| ClientTlsConfig { client_cert: read("client.crt"), client_key: read("client.key") });
    let certificates = TlsCertificates { client_tls, root_cert: Some(read(&format!("{authority}.crt"))) };
    Client::build_with_tls(url, certificates).expect("a client")
}

/// Connects. A handshake may take longer than the store waits, on a machine with much other work.
async fn connect(client: Client) -> Result<RedisStore, StoreError> {
    for _ in 0..20 {
        match RedisStore::connect_client(client.clone()).await {
            Err(StoreError::Unavailable(error)) if error.to_string().contains("timed out") => {}
            answer => return answer,
        }
    }
    panic!("the server never answers in time");
}

async fn refused(client: Client) -> String {
    match connect(client).await {
        Err(error @ StoreError::Configuration(_)) => causes(&error),
        other => panic!("{other:?} is not a configuration error"),
    }
}

async fn works(store: &RedisStore) {
    let key = open(store, &subject()).await;
    assert!(store.get(&key).await.expect("an answer").record.is_some());
    store.feed(&FeedFrom::Since(now())).await.expect("the feed");
}

#[tokio::test]
async fn certificate_that_does_not_fit_is_a_configuration_error_with_its_cause() {
    let folder = certificates();
    let folder = folder.path();
    let (server, port) = start(folder, &["--tls-auth-clients", "no"]).await;
    let () = server.ask("CONFIG SET requirepass p@ss/w").await;
    let url = format!("rediss://:p%40ss%2Fw@localhost:{port}/");
    works(&connect(client(folder, &url, "ca", false)).await.expect("a store")).await;

    let unknown_issuer = refused(client(folder, &url, "other", false)).await;
    assert!(unknown_issuer.contains("UnknownIssuer"), "{unknown_issuer}");
    let system = refused(Client::open(url.as_str()).expect("a client")).await;
    assert!(system.contains("UnknownIssuer"), "the system does not know this authority: {system}");
    let other_name = refused(client(folder, &url.replace("localhost", "127.0.0.1"), "ca", false)).await;
    assert!(other_name.to_lowercase().contains("not valid for name"), "{other_name}");
    let wrong = refused(client(folder, &url.replace("p%40ss", "wrong"), "ca", false)).await;
    assert!(wrong.contains("WRONGPASS") || wrong.to_lowercase().contains("auth"), "{wrong}");
    // A server without TLS waits for the end of what it takes for a command.
    let plain = url.replace(&port.to_string(), &server.port.to_string());
    let no_tls = RedisStore::connect_client(client(folder, &plain, "ca", false)).await;
    assert!(matches!(no_tls, Err(StoreError::Unavailable(_))), "{no_tls:?}");
}

#[tokio::test]
async fn client_certificate_is_sent_and_a_missing_one_is_a_configuration_error() {
    let folder = certificates();
    let folder = folder.path();
    let (_server, port) = start(folder, &["--tls-auth-clients", "yes"]).await;
    let url = format!("rediss://localhost:{port}/");
    works(&connect(client(folder, &url, "ca", true)).await.expect("a store")).await;
    let missing = refused(client(folder, &url, "ca", false)).await;
    assert!(missing.contains("CertificateRequired"), "{missing}");
}

#[tokio::test]
async fn nodes_of_a_cluster_are_asked_over_tls_with_the_settings_of_the_first_one() {
    let folder = certificates();
    let folder = folder.path();
    let bus_port = free_port().to_string();
    let options = ["--tls-auth-clients", "yes", "--cluster-enabled", "yes", "--cluster-port", &bus_port];
    let host = [
        "--tls-cluster",
        "yes",
        "--cluster-announce-hostname",
        "localhost",
        "--cluster-preferred-endpoint-type",
        "hostname",
    ];
    let (server, port) = start(folder, &[&options[..], &host].concat()).await;
    let () = server.ask("CLUSTER ADDSLOTSRANGE 0 16383").await;
    while !server.ask::<String>("CLUSTER INFO").await.contains("cluster_state:ok") {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let seed = client(folder, &format!("rediss://localhost:{port}/"), "ca", true);
    let store = RedisStore::cluster([seed.get_connection_info().clone()]).await.expect("a store");
    works(&store).await;
}
