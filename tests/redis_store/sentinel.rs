//! Redis Sentinel: three Sentinels, a primary and two replicas.
//!
//! `FAILOVERS=20` makes the long form.

use std::time::Duration;

use tokio::time::sleep;
use tower_sliding_sessions::store::{
    FeedEvent, FeedFrom, RedisStore, SessionStore as _, StoreError, redis_client::cmd,
};

use super::{causes, end, now, open, rights::guarded, server::Server, subject, traffic::Traffic};

const NAME: &str = "sessions";

struct Setup {
    servers: Vec<Server>,
    sentinels: Vec<Server>,
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..400 {
        if holds().await {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("never: {what}");
}

impl Setup {
    /// `options` are those of all servers, `configuration` is that of all Sentinels.
    async fn start(options: &[&str], configuration: &str) -> Self {
        let mut servers = vec![Server::start(options).await];
        let primary = format!("127.0.0.1 {}", servers[0].port);
        for _ in 0..2 {
            servers.push(Server::start(&[options, &["--replicaof", &primary]].concat()).await);
        }
        for replica in &servers[1..] {
            until("a replica follows", async || {
                replica.info("replication", "master_link_status").await == "up"
            })
            .await;
        }
        let configuration = format!(
            "sentinel monitor {NAME} {primary} 2\nsentinel down-after-milliseconds {NAME} 700\n\
             sentinel failover-timeout {NAME} 4000\nsentinel parallel-syncs {NAME} 2\n{configuration}"
        );
        let mut sentinels = Vec::new();
        for _ in 0..3 {
            sentinels.push(Server::start_sentinel(&configuration).await);
        }
        let setup = Self { servers, sentinels };
        setup.complete().await;
        setup
    }

    fn addresses(&self) -> Vec<String> {
        self.sentinels.iter().map(Server::url).collect()
    }

    async fn store(&self) -> RedisStore {
        RedisStore::sentinel(self.addresses(), NAME).await.expect("a store")
    }

    /// The port of the primary, by the first Sentinel.
    async fn primary(&self) -> u16 {
        let (_, port): (String, u16) =
            self.sentinels[0].ask(&format!("SENTINEL GET-MASTER-ADDR-BY-NAME {NAME}")).await;
        port
    }

    /// Waits until each Sentinel knows the others and two replicas that follow.
    async fn complete(&self) {
        until("the Sentinels know all", async || {
            let mut complete = true;
            for sentinel in &self.sentinels {
                let state: String = sentinel.ask("INFO sentinel").await;
                complete &= state.contains("status=ok") && state.contains("slaves=2,sentinels=3");
            }
            let primary = self.primary().await;
            for server in self.servers.iter().filter(|server| server.port != primary) {
                complete &= server.info("replication", "master_link_status").await == "up"
                    && server.info("replication", "master_port").await == primary.to_string();
            }
            complete
        })
        .await;
    }

    fn server(&mut self, port: u16) -> &mut Server {
        self.servers.iter_mut().find(|server| server.port == port).expect("one of them")
    }

    async fn fail_over_by_command(&self) {
        let old = self.primary().await;
        let () = self.sentinels[1].ask(&format!("SENTINEL FAILOVER {NAME}")).await;
        until("another primary", async || self.primary().await != old).await;
    }

    async fn fail_over_by_kill(&mut self) {
        let old = self.primary().await;
        self.server(old).kill();
        until("another primary", async || self.primary().await != old).await;
    }
}

fn failovers() -> usize {
    std::env::var("FAILOVERS").map_or(2, |text| text.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failovers_sign_no_user_out_and_bring_no_revoked_session_back() {
    let mut setup = Setup::start(&[], "").await;
    let failovers = failovers();
    let mut traffic = Traffic::start(async || setup.store().await, 40 + 40 * failovers).await;
    sleep(Duration::from_secs(1)).await;
    for failover in 0..failovers {
        setup.complete().await;
        for server in &setup.servers {
            let () = server.ask("CONFIG SET replica-priority 100").await;
        }
        if failover % 2 == 0 {
            setup.fail_over_by_command().await;
            traffic.recovered().await;
        } else {
            let old = setup.primary().await;
            setup.fail_over_by_kill().await;
            traffic.recovered().await;
            // It comes back with nothing, and gets everything from the new primary. Until then, it must not be
            // promoted: on a busy machine, the others may seem to be down.
            setup.server(old).restart_with(&["--replica-priority", "0"]).await;
        }
    }
    traffic.recovered().await;
    let outcome = traffic.finish(async || setup.store().await).await;
    assert!(outcome.revoked > 20, "only {} revocations", outcome.revoked);
    assert!(outcome.gaps >= 3 * failovers as u64, "only {} gaps", outcome.gaps);
    let at_most = Duration::from_secs(10);
    assert!(outcome.longest_outage < at_most, "an outage of {:?}", outcome.longest_outage);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_that_are_down_or_cut_off_are_outvoted() {
    let mut setup = Setup::start(&[], "").await;
    let store = setup.store().await;
    let key = open(&store, &subject()).await;
    let () = cmd("WAIT")
        .arg(2)
        .arg(1000)
        .query_async::<u64>(&mut setup.servers[0].connection().await.expect("a connection"))
        .await
        .map(drop)
        .expect("an answer");
    // One names another primary: itself a server with no sessions, or none at all.
    let stray = Server::start(&[]).await;
    let liar = format!("sentinel monitor {NAME} 127.0.0.1 {} 1\n", stray.port);
    let liar = Server::start_sentinel(&liar).await;
    setup.sentinels[2].kill();
    let addresses = [vec![liar.url()], setup.addresses()].concat();
    for _ in 0..5 {
        let store = RedisStore::sentinel(addresses.clone(), NAME).await.expect("a store");
        assert!(store.get(&key).await.expect("an answer").record.is_some(), "another primary");
    }
    // An existing store goes on without any Sentinel.
    let start = store.feed(&FeedFrom::Since(now())).await.expect("the feed").position;
    setup.sentinels.iter_mut().take(2).for_each(Server::kill);
    end(&store, &key).await;
    let batch = store.feed(&FeedFrom::After(start)).await.expect("the feed");
    assert_eq!((batch.events, batch.gap), (vec![FeedEvent::Revoked(key)], false));
    let none = RedisStore::sentinel(setup.addresses(), NAME).await;
    assert!(matches!(none, Err(StoreError::Unavailable(_))), "{none:?}");
}

async fn refused(sentinel: &str, primary: &str) -> String {
    match RedisStore::sentinel([sentinel], primary).await {
        Err(error @ StoreError::Configuration(_)) => causes(&error),
        other => panic!("{other:?} is not a configuration error"),
    }
}

#[tokio::test]
async fn wrong_name_user_or_password_is_a_configuration_error() {
    let primary = guarded("p@ss:w/o?r#d%41").await;
    let monitor = format!("sentinel monitor {NAME} 127.0.0.1 {} 1\n", primary.port);
    let sentinel = Server::start_sentinel(&monitor).await;
    let () = sentinel.ask("ACL SETUSER asker on >s@cret -@all +sentinel|get-master-addr-by-name").await;
    let at = |user: &str| format!("redis://{user}@127.0.0.1:{}", sentinel.port);
    let (asker, server) =
        (at("asker:s%40cret"), format!("redis://sessions:p%40ss%3Aw%2Fo%3Fr%23d%2541@{NAME}/"));
    let store = RedisStore::sentinel([asker.as_str()], &server).await.expect("a store");
    assert!(store.get(&open(&store, &subject()).await).await.expect("an answer").record.is_some());

    assert!(refused(&asker, "others").await.contains("others"));
    for (sentinel, server) in [
        (&at("asker:wrong"), server.as_str()),
        (&at("stranger:s%40cret"), &server),
        (&asker, &format!("redis://sessions:wrong@{NAME}/")),
        (&asker, &format!("redis://stranger:secret@{NAME}/")),
    ] {
        let causes = refused(sentinel, server).await;
        assert!(causes.to_lowercase().contains("auth") || causes.contains("WRONGPASS"), "{causes}");
        assert!(!causes.contains("p@ss") && !causes.contains("s@cret"));
    }
    let other = Server::start(&[]).await;
    assert!(refused(&other.url(), NAME).await.contains("Sentinel"));
    refused("redis://no-such-host.invalid", NAME).await;
    let none = RedisStore::sentinel(<[String; 0]>::default(), NAME).await;
    assert!(matches!(none, Err(StoreError::Configuration(_))), "{none:?}");
}
