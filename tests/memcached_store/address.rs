//! Addresses and prefixes, and the operator's error if they are invalid.

use tower_sliding_sessions::store::{MemcachedStore, SessionStore as _, StoreError};

use super::{address, now, open, port::free_port, record, server::Server, unique};

/// An error and its sources, as an operator reads them.
fn causes(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(Some(error), |error| error.source());
    sources.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

async fn refused(address: &str) -> String {
    match MemcachedStore::connect(address).await {
        Err(error @ StoreError::Configuration(_)) => causes(&error),
        other => panic!("{other:?} is no configuration error"),
    }
}

#[tokio::test]
async fn invalid_address_is_a_configuration_error_and_an_unreachable_server_is_not() {
    for wrong in
        ["", "127.0.0.1", "memcached://127.0.0.1:11211", "127.0.0.1:port", "no-such-host.invalid:11211"]
    {
        let causes = refused(wrong).await;
        assert!(causes.contains(wrong) && causes.matches(": ").count() >= 2, "{wrong:?}: {causes}");
    }
    let absent = MemcachedStore::connect(&format!("127.0.0.1:{}", free_port())).await;
    assert!(matches!(absent, Err(StoreError::Unavailable(_))), "{absent:?}");
    MemcachedStore::connect(&address()).await.expect("it answers");
}

#[tokio::test]
async fn missing_or_wrong_password_is_a_configuration_error_and_the_right_one_works() {
    let file = std::env::temp_dir().join(format!("memcached-users-{}", unique()));
    std::fs::write(&file, "user:p@ss/%\n").expect("a file");
    let options = ["-Y", file.to_str().expect("text")];
    let server = Server::start(&options).await;
    for user in ["", "user:wrong@", "other:p%40ss%2F%25@", "user@"] {
        let causes = refused(&format!("{user}{}", server.address())).await;
        assert!(causes.contains("password") && !causes.contains("wrong@"), "{causes}");
    }
    let address = format!("user:p%40ss%2F%25@{}", server.address());
    let store = MemcachedStore::connect(&address).await.expect("the password is right");
    std::fs::remove_file(&file).expect("it was written");
    let key = open(&store).await;
    assert!(store.get(&key).await.expect("an answer").record.is_some());
    assert!(!format!("{store:?}").contains("p%40ss"), "{store:?}");
}

#[tokio::test]
async fn prefixes_isolate_sessions() {
    let store = MemcachedStore::new(&address());
    let unique = unique();
    let prefixes = [unique.clone(), format!("{unique} b"), format!("{unique}☕"), "x".repeat(151) + &unique];
    let stores: Vec<_> = prefixes.iter().map(|prefix| store.clone().with_prefix(prefix)).collect();
    for store in &stores {
        let key = open(store).await;
        for other in &stores {
            let found = other.get(&key).await.expect("an answer").record.is_some();
            assert_eq!(found, std::ptr::eq(store, other));
        }
        let again = record(now());
        store.create(&key.subject, &again, None).await.expect("a session");
    }
}
