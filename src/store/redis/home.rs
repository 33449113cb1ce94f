//! Finds the primary: at a fixed address, or at the address that Sentinels or the nodes of a cluster name.

use std::{
    collections::HashSet,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue as _,
    RedisError, RedisResult, Value, cmd,
};
use tokio::task::JoinSet;

/// How long to wait for a Sentinel, or for a node of a cluster that is asked about the other nodes.
const ASK_TIMEOUT: Duration = Duration::from_millis(800);
/// How many nodes of a cluster are asked at most. They are asked at once.
const ASKED: usize = 12;

/// A host and a port.
type Address = (String, u16);

/// How the primary is found.
pub(super) enum Home {
    /// The primary is always at one address.
    Fixed(Client),
    /// Sentinels know the primary by a name. `server` has the user, the password and the encryption of the primary.
    Sentinel { sentinels: Vec<ConnectionInfo>, name: String, server: ConnectionInfo },
    /// The primary is the node of a cluster that has this slot.
    Cluster { nodes: Arc<Nodes>, slot: u16 },
}

/// The known nodes of a cluster.
pub(super) struct Nodes {
    /// The addresses from the application. The first address has the user, the password and the encryption of all
    /// nodes.
    seeds: Vec<ConnectionInfo>,
    /// The addresses from the last answer of a node.
    known: Mutex<Vec<Address>>,
}

/// The answer of a Sentinel or a node.
struct Answer {
    primary: Option<Address>,
    nodes: Vec<Address>,
}

#[derive(Debug, thiserror::Error)]
#[error("no node of the cluster has slot {0}")]
struct NoNode(u16);

#[derive(Debug, thiserror::Error)]
#[error("the server is a node of a Redis Cluster: connect with RedisStore::cluster")]
pub(super) struct IsNode;

#[derive(Debug, thiserror::Error)]
#[error("the server is a replica")]
pub(super) struct IsReplica;

impl Nodes {
    pub(super) fn new(seeds: Vec<ConnectionInfo>) -> Self {
        Self { seeds, known: Mutex::default() }
    }

    fn candidates(&self) -> Vec<ConnectionInfo> {
        let Some(model) = self.seeds.first() else { return Vec::new() };
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let known = known.into_iter().map(|address| with_address(model, address));
        let mut seen = HashSet::new();
        let all = self.seeds.iter().cloned().chain(known);
        all.filter(|node| seen.insert(node.addr().to_string())).take(ASKED).collect()
    }
}

impl Home {
    /// Whether the primary is always at the same address.
    pub(super) const fn is_fixed(&self) -> bool {
        matches!(self, Self::Fixed(_))
    }

    pub(super) const fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster { .. })
    }

    /// Returns a client for the primary. `redirected_to` is the primary's address from a redirection that a node has
    /// just sent.
    pub(super) async fn find(&self, redirected_to: Option<&str>) -> RedisResult<Client> {
        if let Some(client) = redirected_to.and_then(|address| self.at(address).ok()) {
            return Ok(client);
        }
        match self {
            Self::Fixed(client) => Ok(client.clone()),
            Self::Sentinel { sentinels, name, server } => {
                let answer = ask_all(sentinels.clone(), |sentinel| ask_sentinel(sentinel, name.clone()));
                let primary = answer.await?.primary.ok_or_else(|| {
                    let unknown = "the Sentinels know no primary of this name";
                    RedisError::from((ErrorKind::InvalidClientConfig, unknown, name.clone()))
                })?;
                Client::open(with_address(server, primary))
            }
            Self::Cluster { nodes, slot } => {
                let slot = *slot;
                let answer = ask_all(nodes.candidates(), |node| ask_node(node, slot)).await?;
                let primary = answer.primary.ok_or_else(|| io::Error::other(NoNode(slot)))?;
                *nodes.known.lock().unwrap_or_else(PoisonError::into_inner) = answer.nodes;
                self.open(primary)
            }
        }
    }

    /// Returns a client for a node of the cluster whose address another node has sent.
    pub(super) fn at(&self, address: &str) -> RedisResult<Client> {
        let wrong = || RedisError::from((ErrorKind::Client, "not the address of a node", address.to_owned()));
        let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
        // An address without a host means the node that was asked.
        if host.is_empty() || host == "?" {
            return Err(wrong());
        }
        self.open((host.to_owned(), port.parse().map_err(|_| wrong())?))
    }

    fn open(&self, address: Address) -> RedisResult<Client> {
        match self {
            Self::Cluster { nodes, .. } if !nodes.seeds.is_empty() => {
                Client::open(with_address(nodes.seeds.first().ok_or_else(none_named)?, address))
            }
            _ => Err(none_named()),
        }
    }
}

fn none_named() -> RedisError {
    RedisError::from((ErrorKind::InvalidClientConfig, "no address was given"))
}

fn with_address(info: &ConnectionInfo, (host, port): Address) -> ConnectionInfo {
    let addr = match info.addr().clone() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host, port, insecure, tls_params }
        }
        _ => ConnectionAddr::Tcp(host, port),
    };
    info.clone().set_addr(addr)
}

/// Asks all nodes at once. Returns the answer that more than half of all nodes give. If all nodes have answered or
/// failed, and there is no such answer, returns the most frequent answer. The first answer does not decide, because a
/// node that is cut off from the others may name a former primary.
async fn ask_all<F>(nodes: Vec<ConnectionInfo>, ask: impl Fn(ConnectionInfo) -> F) -> RedisResult<Answer>
where
    F: Future<Output = RedisResult<Answer>> + Send + 'static,
{
    let (all, mut asking) = (nodes.len(), JoinSet::new());
    for node in nodes {
        asking.spawn(tokio::time::timeout(ASK_TIMEOUT, ask(node)));
    }
    let mut answers: Vec<(Answer, usize)> = Vec::new();
    let mut failure = None;
    while let Some(answer) = asking.join_next().await {
        let answer = match answer.map_err(io::Error::other)? {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                // An error such as a refused password tells more than an I/O error, such as a host that is down.
                if failure.as_ref().is_none_or(RedisError::is_io_error) {
                    failure = Some(error);
                }
                continue;
            }
            Err(_late) => {
                failure = failure.or_else(|| Some(io::Error::from(io::ErrorKind::TimedOut).into()));
                continue;
            }
        };
        match answers.iter_mut().find(|(other, _)| other.primary == answer.primary) {
            Some((_, votes)) => *votes += 1,
            None => answers.push((answer, 1)),
        }
        if answers.iter().any(|(_, votes)| votes * 2 > all) {
            break;
        }
    }
    // If answers have the same number of votes, an answer that names a primary wins.
    let most = answers.into_iter().max_by_key(|(answer, votes)| (*votes, answer.primary.is_some()));
    most.map(|(answer, _)| answer).ok_or_else(|| failure.unwrap_or_else(none_named))
}

async fn connect(node: ConnectionInfo) -> RedisResult<redis::aio::MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(ASK_TIMEOUT))
        .set_response_timeout(Some(ASK_TIMEOUT));
    Client::open(node)?.get_multiplexed_async_connection_with_config(&config).await
}

async fn ask_sentinel(sentinel: ConnectionInfo, name: String) -> RedisResult<Answer> {
    let mut connection = connect(sentinel).await?;
    let mut question = cmd("SENTINEL");
    question.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
    let primary = question.query_async(&mut connection).await;
    let primary = primary.map_err(|error| explain(error, "unknown command", "the server is no Sentinel"))?;
    Ok(Answer { primary, nodes: Vec::new() })
}

/// Replaces the error of a server that rejects a command. Such a server is not of the configured kind, and `meaning`
/// says so.
fn explain(error: RedisError, detail: &str, meaning: &'static str) -> RedisError {
    if error.detail().is_some_and(|text| text.contains(detail)) {
        return RedisError::from((ErrorKind::InvalidClientConfig, meaning));
    }
    error
}

async fn ask_node(node: ConnectionInfo, slot: u16) -> RedisResult<Answer> {
    let host = match node.addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.clone(),
        _ => String::new(),
    };
    let mut connection = connect(node).await?;
    let ranges: RedisResult<Vec<Vec<Value>>> = cmd("CLUSTER").arg("SLOTS").query_async(&mut connection).await;
    let ranges = ranges
        .map_err(|error| explain(error, "cluster support disabled", "the server is no node of a cluster"))?;
    let mut answer = Answer { primary: None, nodes: Vec::new() };
    for range in ranges {
        let mut nodes = range.iter().skip(2).filter_map(|node| address(node, &host)).peekable();
        if let [Value::Int(first), Value::Int(last), ..] = *range
            && (first..=last).contains(&i64::from(slot))
        {
            answer.primary = nodes.peek().cloned();
        }
        answer.nodes.extend(nodes);
    }
    Ok(answer)
}

/// The address of a node in an answer to `CLUSTER SLOTS`. If the node does not know its own host, the answer has no
/// host. Then the host is `asked`, the host of the node that was asked.
fn address(node: &Value, asked: &str) -> Option<Address> {
    let Value::Array(fields) = node else { return None };
    let host = fields.first().and_then(|host| Option::<String>::from_redis_value_ref(host).ok())?;
    let host = host.filter(|host| !host.is_empty() && host != "?").unwrap_or_else(|| asked.to_owned());
    Some((host, u16::from_redis_value_ref(fields.get(1)?).ok()?))
}

/// The slot of a key with this hash tag. The hash tag is the text in braces, which decides the slot of a key.
pub(super) fn slot(tag: &str) -> u16 {
    let crc = tag.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    });
    crc % 16_384
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis() {
        for (tag, expected) in [("123456789", 12_739), ("foo", 12_182), ("", 0), ("user1000", 3443)] {
            assert_eq!(slot(tag), expected, "{tag}");
        }
    }
}
