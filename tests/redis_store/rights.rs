//! Users, passwords, rights and URLs: what suffices, and the operator's error if it does not.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::Instant,
};
use tower_sliding_sessions::store::{
    FeedEvent, FeedFrom, RedisStore, SessionStore as _, StoreError, conformance,
    redis_client::{Client, Value},
};

use super::{causes, cluster::Cluster, end, now, open, port::free_port, server::Server, store_at, subject};

/// The sufficient rights, from the documentation of the store.
fn documented_rights() -> String {
    let text = include_str!("../../src/store/redis/mod.rs");
    let lines = text.lines().map(|line| line.trim_start_matches("///").trim());
    let line = lines.skip_while(|line| !line.starts_with("ACL SETUSER sessions"));
    line.take_while(|line| *line != "```").collect::<Vec<_>>().join(" ")
}

/// A server with a user that has only the documented rights.
pub(crate) async fn guarded(password: &str) -> Server {
    let server = Server::start(&[]).await;
    let rights = documented_rights().replace("PASSWORD", password);
    assert!(rights.contains(password), "{rights}");
    let () = server.ask(&rights).await;
    server
}

fn url(server: &Server, user: &str) -> String {
    format!("redis://{user}@127.0.0.1:{}/", server.port)
}

async fn refused(url: &str) -> String {
    match RedisStore::connect(url).await {
        Err(error @ StoreError::Configuration(_)) => causes(&error),
        other => panic!("{other:?} is not a configuration error"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documented_rights_suffice_for_all_operations() {
    // Every character that is special in a URL. Spaces would be special in this test's command parser.
    let server = guarded("p@ss:w/o?r#d%41&\"é").await;
    let url = url(&server, "sessions:p%40ss%3Aw%2Fo%3Fr%23d%2541%26%22%C3%A9");
    conformance::run(async || store_at(&url).await).await;
    let log: Vec<Value> = server.ask("ACL LOG").await;
    assert!(log.is_empty(), "refused: {log:?}");
}

#[tokio::test]
async fn missing_right_is_a_configuration_error_that_names_it() {
    let server = guarded("secret").await;
    let store = store_at(&url(&server, "sessions:secret")).await;
    let key = open(&store, &subject()).await;
    let () = server.ask("ACL SETUSER sessions -hget").await;
    let error = store.get(&key).await.expect_err("it is not allowed");
    assert!(matches!(error, StoreError::Configuration(_)), "{error:?}");
    assert!(
        causes(&error).contains("can't run this command") || causes(&error).contains("hget"),
        "{error:?}"
    );
    let () = server.ask("ACL SETUSER sessions +hget -xread").await;
    assert!(store.get(&key).await.expect("an answer").record.is_some(), "the store recovers");
    let elsewhere = store.with_prefix("other").get(&key).await.expect_err("it is not allowed");
    assert!(matches!(elsewhere, StoreError::Configuration(_)), "{elsewhere:?}");
}

/// `store` has no right to `XREAD`. Ten reads take at least this long.
async fn is_read_with_a_pause(store: &RedisStore, at_least: Duration) {
    let error = store.check().await.expect_err("it is reported at start");
    let said = causes(&error);
    assert!(matches!(error, StoreError::Configuration(_)) && said.contains("xread"), "{said}");
    let key = open(store, &subject()).await;
    let mut place = store.feed(&FeedFrom::Since(now())).await.expect("the feed").position;
    let begin = Instant::now();
    for _ in 0..10 {
        let batch = store.feed(&FeedFrom::After(place)).await.expect("the feed");
        assert!(batch.events.is_empty() && !batch.gap && !batch.more, "{batch:?}");
        place = batch.position;
    }
    assert!(begin.elapsed() >= at_least, "ten reads within {:?}", begin.elapsed());
    end(store, &key).await;
    let batch = store.feed(&FeedFrom::After(place)).await.expect("the feed");
    assert_eq!((batch.events, batch.gap), (vec![FeedEvent::Revoked(key)], false));
}

#[tokio::test]
async fn feed_is_read_with_a_pause_if_the_user_may_not_wait_for_events() {
    let server = guarded("secret").await;
    let () = server.ask("ACL SETUSER sessions -xread").await;
    let store = store_at(&url(&server, "sessions:secret")).await;
    is_read_with_a_pause(&store, Duration::from_millis(500)).await;
    let cluster = Cluster::start_nodes(2).await;
    for server in &cluster.servers {
        let () = server.ask("ACL SETUSER default -xread").await;
    }
    // A pause ends with the first of three shards, and the pauses of the others may end with the next reads.
    is_read_with_a_pause(&cluster.store().await, Duration::from_millis(150)).await;
}

#[tokio::test]
async fn changed_password_is_a_configuration_error_until_it_matches() {
    let server = guarded("secret").await;
    let store = store_at(&url(&server, "sessions:secret")).await;
    let key = open(&store, &subject()).await;
    let here = store.feed(&FeedFrom::Since(now())).await.expect("the feed").position;
    let () = server.ask("ACL SETUSER sessions <secret >another").await;
    let _: i64 = server.ask("CLIENT KILL TYPE normal SKIPME yes").await;
    for _ in 0..3 {
        let error = store.get(&key).await.expect_err("the password is wrong");
        if matches!(error, StoreError::Configuration(_)) {
            assert!(causes(&error).to_lowercase().contains("auth"), "{}", causes(&error));
        }
    }
    let error = store.get(&key).await.expect_err("the password is wrong");
    assert!(matches!(error, StoreError::Configuration(_)), "{error:?}");
    let () = server.ask("ACL SETUSER sessions >secret").await;
    assert!(store.get(&key).await.expect("it recovers").record.is_some());
    end(&store, &key).await;
    assert_eq!(store.feed(&FeedFrom::After(here)).await.expect("the feed").events.len(), 1);
}

#[tokio::test]
async fn server_that_refuses_the_login_is_a_configuration_error_at_start() {
    let server = Server::start(&[]).await;
    let () = server.ask("CONFIG SET requirepass secret").await;
    for user in [":wrong", "sessions:secret", "default:"] {
        let causes = refused(&url(&server, user)).await;
        assert!(causes.to_lowercase().contains("auth") || causes.contains("WRONGPASS"), "{user}: {causes}");
    }
    let causes = refused(&server.url()).await;
    assert!(causes.contains("NOAUTH"), "{causes}");
    assert!(!causes.contains("secret"));
    store_at(&url(&server, ":secret")).await;
}

#[tokio::test]
async fn invalid_url_is_a_configuration_error_and_an_unreachable_server_is_not() {
    for none in ["", "127.0.0.1:6379", "http://127.0.0.1/", "redis://", "redis://h/x", "redis://h:port/"] {
        refused(none).await;
    }
    let causes = refused("redis://no-such-host.invalid/").await;
    assert!(causes.contains("no-such-host.invalid") && causes.matches(": ").count() >= 2, "{causes}");
    let absent = RedisStore::connect(&format!("redis://127.0.0.1:{}/", free_port())).await;
    assert!(matches!(absent, Err(StoreError::Unavailable(_))), "{absent:?}");
}

#[tokio::test]
async fn databases_and_prefixes_isolate_sessions() {
    let server = Server::start(&[]).await;
    let zero = store_at(&server.url()).await;
    let one = store_at(&format!("{}1", server.url())).await;
    let key = open(&zero, &subject()).await;
    assert!(one.get(&key).await.expect("an answer").record.is_none());

    let prefixes = ["app", "app:1", "{app}", "{}", "a b", "☕", "", "*"];
    for prefix in prefixes {
        assert!(zero.clone().with_prefix(prefix).get(&key).await.expect("an answer").record.is_none());
    }
    let mut opened = Vec::new();
    for prefix in prefixes {
        let store = zero.clone().with_prefix(prefix);
        opened.push((open(&store, &key.subject).await, store));
    }
    for (key, store) in &opened {
        let listed = store.list(&key.subject, now()).await.expect("an answer");
        assert_eq!(listed.iter().map(|record| record.id()).collect::<Vec<_>>(), [key.id]);
    }
    let keys: Vec<String> = server.ask("KEYS app:1:*").await;
    assert_eq!(keys.len(), 2, "the run ID and a subject: {keys:?}");
    let client = Client::open(server.url()).expect("a URL");
    let key = open(&RedisStore::new(client).with_prefix("lazy"), &subject()).await;
    assert_eq!(server.ask::<Vec<String>>("KEYS lazy:*").await.len(), 2, "{key:?}");
}

/// A server that responds to the store's first commands as this version does. Returns its port.
async fn old_server(version: &'static str) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut lines, mut answers) = tokio::io::split(client);
                let mut asked = vec![0; 4096];
                while let Ok(read @ 1..) = lines.read(&mut asked).await {
                    let text = String::from_utf8_lossy(&asked[..read]).into_owned();
                    for command in text.split('*').skip(1) {
                        let info = format!("redis_version:{version}\r\nrole:master\r\n");
                        let answer = match command {
                            _ if command.contains("PING") => "+PONG\r\n".to_owned(),
                            _ if command.contains("\r\nINFO") => format!("${}\r\n{info}\r\n", info.len()),
                            _ => "-ERR unknown\r\n".to_owned(),
                        };
                        answers.write_all(answer.as_bytes()).await.expect("it listens");
                    }
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn server_that_is_too_old_is_a_configuration_error() {
    let causes = refused(&format!("redis://127.0.0.1:{}/", old_server("6.2.14").await)).await;
    assert!(causes.contains("6.2.14") && causes.contains("7.0"), "{causes}");
    store_at(&format!("redis://127.0.0.1:{}/", old_server("8.0.1").await)).await;
}
