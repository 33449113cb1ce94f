//! A server that is slower than its callers' deadlines gets no storm of new connections.

use std::time::Duration;

use tokio::{task::JoinSet, time::timeout};
use tower_sliding_sessions::store::{PostgresStore, SessionStore as _};

use crate::{
    Server, given, now, open_when_back,
    proxy::{Proxy, port_of},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn timed_out_calls_cause_no_storm_of_connections() {
    let (_server, _) = Server::take().await;
    let primary = given("TEST_POSTGRES_URL");
    let proxy = Proxy::to(port_of(&primary)).await;
    let store = PostgresStore::connect(&proxy.url(&primary)).await.expect("the server answers");
    let mut opening = JoinSet::new();
    for _ in 0..20 {
        let store = store.clone();
        opening.spawn(async move { open_when_back(&store).await.0 });
    }
    let keys = opening.join_all().await;
    let before = proxy.opened();
    Server::does("freeze");
    let mut callers = JoinSet::new();
    for key in keys.iter().cycle().take(200) {
        let (store, key) = (store.clone(), key.clone());
        callers.spawn(async move {
            let answer = timeout(Duration::from_millis(300), store.advance(&key, 0, now())).await;
            assert!(!matches!(answer, Ok(Ok(_))), "a frozen server does not answer");
        });
    }
    callers.join_all().await;
    let opened = proxy.opened() - before;
    Server::does("thaw");
    let (_, took) = open_when_back(&store).await;
    println!("PostgreSQL: {opened} connections opened for 200 calls that timed out; back after {took:?}");
    assert!(opened <= 10, "{opened} connections");
    // Calls that had reached the server were executed, and the others were not. None was executed twice.
    for key in keys {
        let record = store.get(&key).await.expect("it is read").record.expect("it is there");
        assert!(record.generation() <= 1);
    }
}
