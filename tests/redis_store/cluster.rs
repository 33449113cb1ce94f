//! Redis Cluster: three primaries, each with a replica.
//!
//! `FAILOVERS=20` makes the long form.

use std::time::Duration;

use tokio::time::sleep;
use tower_sliding_sessions::store::{
    CreateError, FeedEvent, FeedFrom, RedisStore, Revoke, SessionStore as _, StoreError, conformance,
    redis_client::Client,
};

use super::{
    causes, end, now, open, port::free_port, record, sentinel::until, server::Server, subject,
    traffic::Traffic,
};

pub(crate) struct Cluster {
    pub(crate) servers: Vec<Server>,
}

impl Cluster {
    /// Six nodes: three primaries, each with a replica.
    pub(crate) async fn start() -> Self {
        let cluster = Self::start_nodes(6).await;
        for index in 0..3 {
            let id: String = cluster.servers[index].ask("CLUSTER MYID").await;
            let replica = &cluster.servers[index + 3];
            // It has to know that the other one is a primary.
            let command = format!("CLUSTER REPLICATE {id}");
            until("a replica", async || replica.try_ask::<()>(&command).await.is_ok()).await;
        }
        cluster.complete().await;
        cluster
    }

    /// Nodes that know each other. The first half of them has the slots.
    pub(crate) async fn start_nodes(nodes: u16) -> Self {
        let (mut servers, mut bus_ports) = (Vec::new(), Vec::new());
        for _ in 0..nodes {
            // By default, a node's second port is 10,000 higher, where an outgoing connection may have it.
            let bus_port = free_port().to_string();
            let options = ["--cluster-enabled", "yes", "--cluster-port", &bus_port];
            let options = [&options[..], &["--cluster-node-timeout", "1000"]].concat();
            servers.push(Server::start(&options).await);
            bus_ports.push(bus_port);
        }
        let primaries = nodes / 2;
        let bound = |index: u16| u32::from(index) * 16_384 / u32::from(primaries);
        for (index, server) in (0..primaries).zip(&servers) {
            let () = server.ask(&format!("CLUSTER SET-CONFIG-EPOCH {}", index + 1)).await;
            let (first, last) = (bound(index), bound(index + 1) - 1);
            let () = server.ask(&format!("CLUSTER ADDSLOTSRANGE {first} {last}")).await;
        }
        for (server, bus_port) in servers.iter().zip(&bus_ports).skip(1) {
            let () = servers[0].ask(&format!("CLUSTER MEET 127.0.0.1 {} {bus_port}", server.port)).await;
        }
        let known = format!("cluster_known_nodes:{nodes}");
        for server in &servers {
            until("the nodes know each other", async || {
                let state: String = server.ask("CLUSTER INFO").await;
                state.contains(&known) && state.contains("cluster_state:ok")
            })
            .await;
        }
        Self { servers }
    }

    pub(crate) fn seeds(&self) -> Vec<String> {
        self.servers.iter().take(2).map(Server::url).collect()
    }

    pub(crate) async fn store(&self) -> RedisStore {
        RedisStore::cluster(self.seeds()).await.expect("a store")
    }

    async fn role(server: &Server) -> String {
        server.info("replication", "role").await
    }

    /// Waits until all nodes run, all slots are served, and three replicas follow.
    pub(crate) async fn complete(&self) {
        until("the cluster is complete", async || {
            let (mut replicas, mut complete) = (0, true);
            for server in &self.servers {
                let state: String = server.ask("CLUSTER INFO").await;
                let nodes: String = server.ask("CLUSTER NODES").await;
                complete &= state.contains("cluster_state:ok") && !nodes.contains("fail");
                if Self::role(server).await == "slave" {
                    replicas += 1;
                    complete &= server.info("replication", "master_link_status").await == "up";
                }
            }
            complete && replicas == 3
        })
        .await;
    }

    /// The keys of the cluster, and their slots.
    pub(crate) async fn keys(&self) -> Vec<(String, u16)> {
        let mut all = Vec::new();
        for server in self.servers.iter().filter(|server| server.is_running()) {
            if Self::role(server).await == "master" {
                let keys: Vec<String> = server.ask("KEYS *").await;
                for key in keys {
                    let slot = server.ask(&format!("CLUSTER KEYSLOT {key}")).await;
                    all.push((key, slot));
                }
            }
        }
        all
    }

    /// The slot of some session.
    async fn slot_of_a_session(&self) -> u16 {
        let keys = self.keys().await;
        let session = keys.iter().find(|(key, _)| !key.ends_with(":run") && !key.ends_with(":feed"));
        session.expect("a session").1
    }

    /// The indices of the primary that has a slot, and of its replica.
    pub(crate) async fn owners(&self, slot: u16) -> (usize, usize) {
        let asked = self.servers.iter().find(|server| server.is_running()).expect("one of them");
        let nodes: String = asked.ask("CLUSTER NODES").await;
        let nodes: Vec<Vec<&str>> = nodes.lines().map(|line| line.split(' ').collect()).collect();
        let has_slot = |range: &str| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let bound = |text: &str| text.parse().unwrap_or(u16::MAX);
            (bound(first)..=bound(last)).contains(&slot)
        };
        let primary = nodes.iter().find(|node| node.iter().skip(8).any(|range| has_slot(range)));
        let primary = primary.expect("an owner");
        let replica = nodes.iter().find(|node| node[3] == primary[0]).unwrap_or(primary);
        let index = |node: &[&str]| {
            let port = node[1].split(['@', ':']).nth(1).expect("a port");
            self.servers.iter().position(|server| server.port.to_string() == port).expect("a node")
        };
        (index(primary), index(replica))
    }

    async fn fail_over_by_command(&self, slot: u16) {
        let (old, replica) = self.owners(slot).await;
        let () = self.servers[replica].ask("CLUSTER FAILOVER").await;
        until("another primary", async || self.owners(slot).await.0 != old).await;
    }

    async fn fail_over_by_kill(&mut self, slot: u16) -> usize {
        let (old, replica) = self.owners(slot).await;
        self.servers[old].kill();
        let replica = &self.servers[replica];
        until("another primary", async || Self::role(replica).await == "master").await;
        old
    }

    /// Moves a slot to another primary, a few keys at once, as `redis-cli --cluster reshard` does.
    async fn move_slot(&self, slot: u16) {
        let from = self.owners(slot).await.0;
        let to = self.owners((slot + 6000) % 16_384).await.0;
        let (from, to) = (&self.servers[from], &self.servers[to]);
        let from_id: String = from.ask("CLUSTER MYID").await;
        let to_id: String = to.ask("CLUSTER MYID").await;
        let () = to.ask(&format!("CLUSTER SETSLOT {slot} IMPORTING {from_id}")).await;
        let () = from.ask(&format!("CLUSTER SETSLOT {slot} MIGRATING {to_id}")).await;
        loop {
            let keys: Vec<String> = from.ask(&format!("CLUSTER GETKEYSINSLOT {slot} 10")).await;
            if keys.is_empty() {
                break;
            }
            let keys = keys.join(" ");
            let _: String = from.ask(&format!("MIGRATE 127.0.0.1 {}  0 5000 KEYS {keys}", to.port)).await;
            sleep(Duration::from_millis(20)).await;
        }
        for server in [to, from] {
            let () = server.ask(&format!("CLUSTER SETSLOT {slot} NODE {to_id}")).await;
        }
    }
}

fn failovers() -> usize {
    std::env::var("FAILOVERS").map_or(2, |text| text.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn suite_passes_in_a_cluster() {
    let cluster = Cluster::start().await;
    let store = cluster.store().await;
    conformance::run(async || store.clone().with_prefix(&super::unique())).await;
    // Braces in a key decide its slot.
    for prefix in ["{app}", "a}b{c", "{}", ""] {
        let store = store.clone().with_prefix(prefix);
        let key = open(&store, &subject()).await;
        assert!(store.get(&key).await.expect("an answer").record.is_some(), "{prefix}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failovers_and_a_moved_slot_sign_no_user_out_and_bring_no_revoked_session_back() {
    let mut cluster = Cluster::start().await;
    let failovers = failovers();
    let mut traffic = Traffic::start(async || cluster.store().await, 80 + 40 * failovers).await;
    sleep(Duration::from_secs(1)).await;
    let slot = cluster.slot_of_a_session().await;
    cluster.move_slot(slot).await;
    traffic.recovered().await;
    for failover in 0..failovers {
        if failover % 2 == 0 {
            cluster.fail_over_by_command(slot).await;
            traffic.recovered().await;
        } else {
            let killed = cluster.fail_over_by_kill(slot).await;
            traffic.recovered().await;
            // It comes back with nothing, and gets everything from the new primary.
            cluster.servers[killed].restart().await;
        }
        cluster.complete().await;
    }
    traffic.recovered().await;
    let outcome = traffic.finish(async || cluster.store().await).await;
    assert!(outcome.revoked > 20, "only {} revocations", outcome.revoked);
    assert!(outcome.gaps >= 3 * failovers as u64, "only {} gaps", outcome.gaps);
    let at_most = Duration::from_secs(10);
    assert!(outcome.longest_outage < at_most, "an outage of {:?}", outcome.longest_outage);
}

#[tokio::test]
async fn revocation_while_its_slot_moves_is_done_whole_or_not_at_all() {
    let cluster = Cluster::start_nodes(2).await;
    let store = cluster.store().await;
    let key = open(&store, &subject()).await;
    let slot = cluster.slot_of_a_session().await;
    let from = cluster.owners(slot).await.0;
    let (from, to) = (&cluster.servers[from], &cluster.servers[1 - from]);
    let start = store.feed(&FeedFrom::Since(now())).await.expect("the feed").position;
    let (from_id, to_id) = (from.ask::<String>("CLUSTER MYID").await, to.ask::<String>("CLUSTER MYID").await);
    let () = to.ask(&format!("CLUSTER SETSLOT {slot} IMPORTING {from_id}")).await;
    let () = from.ask(&format!("CLUSTER SETSLOT {slot} MIGRATING {to_id}")).await;
    let revoked = store.revoke(&Revoke::Session(key.clone()), now()).await;
    assert!(matches!(revoked, Err(StoreError::Unavailable(_))), "{revoked:?}");
    let live = store.get(&key).await.expect("an answer").record.expect("the session exists");
    assert!(!live.is_revoked(), "half of a revocation");
    assert!(store.advance(&key, 0, now()).await.expect("an answer").applied, "renewals go on");
    // The move is given up.
    for server in [from, to] {
        let () = server.ask(&format!("CLUSTER SETSLOT {slot} STABLE")).await;
    }
    end(&store, &key).await;
    let batch = store.feed(&FeedFrom::After(start)).await.expect("the feed");
    assert_eq!((batch.events, batch.gap), (vec![FeedEvent::Revoked(key)], false));
}

#[tokio::test]
async fn error_of_the_node_that_takes_a_slot_over_keeps_its_kind() {
    let cluster = Cluster::start_nodes(2).await;
    let store = cluster.store().await;
    let key = open(&store, &subject()).await;
    end(&store, &open(&store, &key.subject).await).await;
    let slot = cluster.slot_of_a_session().await;
    let from = cluster.owners(slot).await.0;
    let (from, to) = (&cluster.servers[from], &cluster.servers[1 - from]);
    let (from_id, to_id) = (from.ask::<String>("CLUSTER MYID").await, to.ask::<String>("CLUSTER MYID").await);
    let () = to.ask(&format!("CLUSTER SETSLOT {slot} IMPORTING {from_id}")).await;
    let () = from.ask(&format!("CLUSTER SETSLOT {slot} MIGRATING {to_id}")).await;
    // All keys of the slot are on the other node, so every call is sent on to it.
    let keys: Vec<String> = from.ask(&format!("CLUSTER GETKEYSINSLOT {slot} 10")).await;
    let _: String = from.ask(&format!("MIGRATE 127.0.0.1 {}  0 5000 KEYS {}", to.port, keys.join(" "))).await;
    assert!(store.get(&key).await.expect("an answer").record.is_some());
    let () = to.ask("CONFIG SET maxmemory 1").await;
    let refused = store.create(&key.subject, &record(now()), None).await;
    assert!(matches!(refused, Err(CreateError::Store(StoreError::Full))), "{refused:?}");
    let () = to.ask("CONFIG SET maxmemory 0").await;
    let () = to.ask("ACL SETUSER default -hget").await;
    let refused = store.get(&key).await;
    let Err(error @ StoreError::Configuration(_)) = refused else { panic!("{refused:?}") };
    assert!(causes(&error).contains("can't run this command"), "{}", causes(&error));
}

#[tokio::test]
async fn node_of_a_cluster_as_the_only_server_is_a_configuration_error_that_names_cluster() {
    let cluster = Cluster::start_nodes(4).await;
    for server in &cluster.servers {
        let refused = RedisStore::connect(&server.url()).await;
        let Err(error @ StoreError::Configuration(_)) = refused else { panic!("{refused:?}") };
        assert!(causes(&error).contains("RedisStore::cluster"), "{}", causes(&error));
    }
    // One that was not asked at start, and does not have the slot of all keys of such a store.
    let slot: u16 = cluster.servers[0].ask("CLUSTER KEYSLOT tss:{2}:feed").await;
    let other = cluster.owners((slot + 8192) % 16_384).await.0;
    let store = RedisStore::new(Client::open(cluster.servers[other].url()).expect("a URL"));
    let refused = store.feed(&FeedFrom::Since(now())).await;
    let Err(error @ StoreError::Configuration(_)) = refused else { panic!("{refused:?}") };
    assert!(causes(&error).contains("RedisStore::cluster"), "{}", causes(&error));
    let refused = store.list(&subject(), now()).await;
    let Err(error @ StoreError::Configuration(_)) = refused else { panic!("{refused:?}") };
    assert!(causes(&error).contains("RedisStore::cluster"), "{}", causes(&error));
}

#[tokio::test]
async fn server_that_is_no_node_is_a_configuration_error() {
    let server = Server::start(&[]).await;
    let refused = RedisStore::cluster([server.url()]).await;
    let Err(error @ StoreError::Configuration(_)) = refused else { panic!("{refused:?}") };
    assert!(causes(&error).contains("cluster"), "{}", causes(&error));
    let store = RedisStore::cluster([format!("redis://127.0.0.1:{}", free_port())]).await;
    assert!(matches!(store, Err(StoreError::Unavailable(_))), "{store:?}");
}
