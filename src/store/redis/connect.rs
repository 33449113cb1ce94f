//! Constructors of the store: they parse the addresses, and check the server.

use std::{io, sync::Arc};

use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, Value, cmd, io::tcp::TcpSettings};

use super::{
    RedisStore,
    home::{Home, IsNode, IsReplica, Nodes, slot},
    link::{self, Link, store_error},
    shard::{self, Shard},
    shards::Shards,
};
use crate::store::StoreError;

#[derive(Debug, thiserror::Error)]
#[error("the host {host:?} is unknown")]
struct UnknownHost {
    host: String,
    source: io::Error,
}

#[derive(Debug, thiserror::Error)]
#[error("the server is Redis {version}, and this store needs 7.0 or later")]
struct TooOld {
    version: String,
}

#[derive(Debug, thiserror::Error)]
#[error("maxmemory-policy is {policy}: the server may remove valid sessions; set it to noeviction")]
struct MayEvict {
    policy: String,
}

#[derive(Debug, thiserror::Error)]
#[error("no address was given")]
struct NoAddress;

#[derive(Debug, thiserror::Error)]
#[error("the primary is not given by a name")]
struct NoName;

fn parse(url: impl IntoConnectionInfo) -> Result<ConnectionInfo, StoreError> {
    let address = url.into_connection_info().map_err(StoreError::configuration)?;
    // The client refuses some addresses, for example `rediss` without the feature for TLS.
    Client::open(address.clone()).map_err(StoreError::configuration)?;
    Ok(address.set_tcp_settings(TcpSettings::default().set_nodelay(true)))
}

/// Parses the addresses. Returns an error if an address is invalid, or if none of the host names can be resolved.
async fn parse_all(
    urls: impl IntoIterator<Item = impl IntoConnectionInfo>,
) -> Result<Vec<ConnectionInfo>, StoreError> {
    let parsed: Vec<_> = urls.into_iter().map(parse).collect::<Result<_, _>>()?;
    let mut unknown = StoreError::configuration(NoAddress);
    for address in &parsed {
        match find(address.addr()).await {
            Ok(()) => return Ok(parsed),
            Err(error) => unknown = error,
        }
    }
    Err(unknown)
}

/// Checks that the host name of an address can be resolved.
async fn find(address: &ConnectionAddr) -> Result<(), StoreError> {
    let (ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. }) = address else {
        return Ok(());
    };
    let found = tokio::time::timeout(link::TIMEOUT, tokio::net::lookup_host((host.as_str(), *port))).await;
    match found.map_err(StoreError::unavailable)? {
        Ok(_) => Ok(()),
        Err(source) => Err(StoreError::configuration(UnknownHost { host: host.clone(), source })),
    }
}

/// The value of a field in the answer to `INFO`. Empty if the field is missing.
fn info<'a>(text: &'a str, name: &str) -> &'a str {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_default().trim()
}

impl RedisStore {
    /// Connects to the server at this URL, like `redis://user:password@host:6379/0`. Returns when the server has
    /// answered. Special characters of user and password are percent-encoded: `p%40ss` for `p@ss`.
    ///
    /// # Errors
    /// - [`StoreError::Configuration`] if the URL is invalid, its host is unknown, or the server refuses the user or
    ///   the password, is too old, or is a node of a Redis Cluster (see [`cluster`](Self::cluster)).
    /// - [`StoreError::Unavailable`] if the server does not answer within one or two seconds, or is a replica.
    ///
    /// The source of the error says what is wrong.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let address = parse(url)?;
        Self::connect_client(Client::open(address).map_err(StoreError::configuration)?).await
    }

    /// Connects with a client that you configured. Returns when the server has answered. Use this constructor for
    /// settings that do not fit into a URL. For example, `Client::build_with_tls` creates a client with the certificate
    /// of a private authority.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_client(client: Client) -> Result<Self, StoreError> {
        find(client.get_connection_info().addr()).await?;
        Self::new(client).greeted().await
    }

    /// Connects to the primary that Redis Sentinel knows by a name. Returns when the primary has answered. `sentinels`
    /// are the addresses of the Sentinels, like `redis://10.0.0.1:26379`. `primary` is the name, like `mymaster`, or a
    /// URL with the name in the place of the host: `redis://user:password@mymaster/0`.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use tower_sliding_sessions::store::RedisStore;
    ///
    /// let sentinels = ["redis://10.0.0.1:26379", "redis://10.0.0.2:26379", "redis://10.0.0.3:26379"];
    /// let store = RedisStore::sentinel(sentinels, "mymaster").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// For each new connection to the primary, the store asks all Sentinels, and uses the answer of most of them.
    ///
    /// # Errors
    /// As [`connect`](Self::connect). [`StoreError::Configuration`] also if the Sentinels do not know the name.
    #[doc(alias = "failover")]
    pub async fn sentinel(
        sentinels: impl IntoIterator<Item = impl IntoConnectionInfo>,
        primary: &str,
    ) -> Result<Self, StoreError> {
        let sentinels = parse_all(sentinels).await?;
        let url = if primary.contains("://") { primary.to_owned() } else { format!("redis://{primary}") };
        let server = parse(url.as_str())?;
        let name = match server.addr() {
            ConnectionAddr::Tcp(name, _) | ConnectionAddr::TcpTls { host: name, .. } => name.clone(),
            _ => return Err(StoreError::configuration(NoName)),
        };
        let link = Link::new(Home::Sentinel { sentinels, name, server });
        Self(Arc::new(Shards::new([link], "tss"))).greeted().await
    }

    /// Connects to a Redis Cluster. Returns when the cluster has answered. `nodes` are the addresses of some of its
    /// nodes. The store uses the user and the password of the first address for all nodes.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use tower_sliding_sessions::store::RedisStore;
    ///
    /// let store = RedisStore::cluster(["redis://10.0.0.1:6379", "redis://10.0.0.2:6379"]).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - [`StoreError::Configuration`] as for [`connect`](Self::connect), and if no address was given, or if the
    ///   servers are not a cluster.
    /// - [`StoreError::Unavailable`] if no node answers within one or two seconds, or if one of the three shards is
    ///   unavailable: the node of the shard is down and no replica has taken its place, or no node has the slot of the
    ///   shard. So no instance starts while a shard is unavailable. Running instances still serve the users of the
    ///   other shards.
    ///
    /// The source of the error says which shard is concerned, and what is wrong.
    #[doc(alias = "Redis Cluster")]
    pub async fn cluster(
        nodes: impl IntoIterator<Item = impl IntoConnectionInfo>,
    ) -> Result<Self, StoreError> {
        let nodes = Arc::new(Nodes::new(parse_all(nodes).await?));
        let link = |index| {
            let slot = slot(&shard::tag(index, shard::IN_CLUSTER));
            Link::new(Home::Cluster { nodes: nodes.clone(), slot })
        };
        Self(Arc::new(Shards::new((0..shard::IN_CLUSTER).map(link), "tss"))).greeted().await
    }

    async fn greeted(self) -> Result<Self, StoreError> {
        self.0
            .in_each(|shard| async move { shard.greet().await.map_err(|error| shard.named(error)) })
            .await?;
        Ok(self)
    }
}

impl Shard {
    /// Checks that the server accepts the user, is Redis 7.0 or later, and is a primary. Only a store of a cluster may
    /// use a node of a cluster.
    async fn greet(&self) -> Result<(), StoreError> {
        let () = self.link.query(&cmd("PING")).await.map_err(store_error)?;
        let text = match self.link.query::<String>(&cmd("INFO")).await.map_err(store_error) {
            Ok(text) => text,
            // The user has no right to `INFO`, so the other checks are not possible.
            Err(StoreError::Configuration(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        let version = info(&text, "redis_version");
        let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
        if major.is_some_and(|major| major < 7) {
            return Err(StoreError::configuration(TooOld { version: version.to_owned() }));
        }
        if info(&text, "cluster_enabled") == "1" && !self.link.home().is_cluster() {
            return Err(StoreError::configuration(IsNode));
        }
        if info(&text, "role") == "slave" {
            return Err(StoreError::unavailable(IsReplica));
        }
        Ok(())
    }

    /// Checks that the server does not evict sessions, and that the user has the right to wait for events.
    pub(super) async fn check(&self) -> Result<(), StoreError> {
        let mut question = cmd("INFO");
        question.arg("memory");
        match self.link.query::<String>(&question).await.map_err(store_error) {
            Ok(text) => match info(&text, "maxmemory_policy") {
                "noeviction" | "" => {}
                policy => return Err(StoreError::configuration(MayEvict { policy: policy.to_owned() })),
            },
            // The user has no right to `INFO`, so this check is not possible.
            Err(StoreError::Configuration(_)) => {}
            Err(error) => return Err(error),
        }
        // Without the right to `XREAD`, which waits for events, the store polls the feed.
        let mut question = cmd("XREAD");
        question.arg("COUNT").arg(1).arg("STREAMS").arg(&self.feed_key).arg("$");
        self.link.query::<Value>(&question).await.map(drop).map_err(store_error)
    }
}
