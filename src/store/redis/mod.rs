//! The store in Redis or Valkey.

mod connect;
mod entry;
mod feed;
mod home;
mod link;
mod record;
mod scripts;
mod shard;
mod shards;
mod shards_feed;
mod store;
mod value;

use std::{fmt, sync::Arc};

use redis::Client;

use self::{home::Home, link::Link, shards::Shards};
use super::StoreError;

/// Keeps sessions in Redis or Valkey (feature `redis`), shared by all instances.
///
/// Clones share their connection. Stores of one server and one [prefix](Self::with_prefix) share
/// their sessions, in any process.
///
/// ```no_run
/// # #[cfg(feature = "axum")]
/// # async fn example(keyring: tower_sliding_sessions::Keyring) -> Result<(), Box<dyn std::error::Error>> {
/// use tower_sliding_sessions::{Sessions, store::RedisStore};
///
/// let store = RedisStore::connect("redis://127.0.0.1/").await?;
/// let sessions = Sessions::<String>::builder(keyring).store(store).build()?;
/// # Ok(())
/// # }
/// ```
///
/// # The server
/// Redis 7.0 or later, or any Valkey; one primary, with or without replicas, Sentinels or a cluster. Set
/// - `maxmemory-policy noeviction`. An evicted session is lost to its user. Without memory, signing in
///   fails with [`StoreError::Full`]; renewals and revocations go on. Another policy is reported once at start, as
///   [`StoreFailed`](crate::EventKind::StoreFailed) of the operation `check`.
/// - `appendonly yes`. Without it, all users must sign in again after a restart. With `appendfsync always`, a
///   server that crashes and restarts has everything that it acknowledged. With the usual `everysec`,
///   it may lack the last second or two of writes.
/// - `lazyfree-lazy-expire yes`, if one account may have ten thousands of live sessions (no cap): Redis
///   then removes their key in the background when it expires.
///
/// Replication is asynchronous: a replica that is promoted may lack the primary's last writes.
/// - Lost rotations are repaired by the refresh tokens of the later generation.
/// - Revocations, and a newer run ID, are written again by each instance that remembers them.
/// - Sessions that were just opened are lost.
/// - If another server answers, or the same one after a restart (also when a primary gets its first replica), the feed
///   reports a gap, since events may be missing. For one access token lifetime, every token that was issued before is
///   renewed at its next use.
///
/// `min-replicas-to-write 1` with `min-replicas-max-lag 1` limits the loss: a primary that has lost its replicas
/// refuses all calls after a second, and the store is unavailable. It makes no single write safe.
///
/// # Failover
/// Each of these finds the new primary within the call that fails, or the next one:
/// - [`sentinel`](Self::sentinel) asks the Sentinels, and [`cluster`](Self::cluster) the nodes of the cluster.
/// - [`connect`](Self::connect) goes to one address, and asks for it anew with every connection. Let it be a name, or a
///   proxy's, that follows the primary.
///
/// A server that turns out to be a replica, is loading its data, or has no primary, is left for a new connection within
/// the same call. No session and no event is ever read from a replica: it refuses every script of this store.
///
/// # Redis Cluster
/// [`cluster`](Self::cluster) makes a store of three shards, each with a third of the subjects. All keys of a subject
/// are in the slot of its shard, with a feed and a copy of the run ID, because a script writes records and feed in one
/// step. Each slot is in another third of all slots, so each of three primaries has one. The
/// [manual](crate::manual::stores) says what they serve.
///
/// - If a shard is unavailable, the users of the others are served, and their sign-outs reach all instances. The feed
///   [lags](crate::SessionsBuilder::ask_store_when_lagging) until the shard is back, and this is reported. Set
///   `cluster-require-full-coverage no`; otherwise the whole cluster is unavailable. An instance cannot start
///   meanwhile. An error of a shard names the shard and its slot.
/// - The run ID is raised in all shards. If one is unavailable, raising it reports an error that says how many shards
///   were raised. The new run ID holds as soon as one shard has it: readers of the feed take over the newest, and raise
///   the others. A shard that has lost the run ID gets that of the others.
/// - While a slot moves to another node, renewals go on until its keys are split between both nodes. Then calls
///   about its subjects fail as unavailable until the move is complete. Their sign-ins and revocations fail from its
///   beginning; what failed changed nothing. Move a slot when few users are active.
///
/// # Address, user and rights
/// Special characters of user and password are percent-encoded in the URL: `p%40ss` for `p@ss`.
///
/// Connections are encrypted with the feature `redis_tls` and a URL that begins with `rediss:`. The system's
/// authorities are trusted; `SSL_CERT_FILE` names a file with others. Certificates of a private authority, and a client
/// certificate, are settings of a client: see [`connect_client`](Self::connect_client). [`cluster`](Self::cluster)
/// takes the `ConnectionInfo` of such a client in the place of a URL; for Sentinels, use `SSL_CERT_FILE`. A Sentinel or
/// a node names others by the address that it knows, so certificates need that address, or the servers announce host
/// names.
///
/// These rights are enough (with another [prefix](Self::with_prefix), `~` and that; with a
/// database other than 0, `+select` too):
///
/// ```text
/// ACL SETUSER sessions on >PASSWORD resetkeys ~tss:* resetchannels -@all
/// +ping +info +eval +evalsha +time +exists +get +set +pexpire +pexpireat
/// +hget +hset +hdel +hlen +hgetall +hscan +hrandfield
/// +xadd +xread +xrange +xrevrange +xtrim +xinfo|stream
/// ```
///
/// In a cluster, add `+cluster|slots +asking`. A user of Sentinels needs `+sentinel|get-master-addr-by-name` there.
///
/// Without `+info` the store works, but it notices a failover only if the new server lacks the last event that was
/// read. Without `+xread` it reads the feed twenty times a second, and reports this once at start, as a failed `check`.
/// A wrong address, user or password, or a missing right, is a [`StoreError::Configuration`], whose source says what is
/// wrong.
///
/// # What it keeps
/// | key | type | what | lives |
/// |---|---|---|---|
/// | `tss:{2}:…` | hash | the live sessions of one subject; `…` is a hash of realm and subject | as long as one of them, and five minutes |
/// | `tss:{2}:…:sid` | string | a revoked session, without its claims | until its absolute deadline, and five minutes |
/// | `tss:{2}:…:answer:…` | string | what a call answered that revoked sessions, in case it is repeated | 30 seconds |
/// | `tss:{2}:feed` | stream | the events of the last day, and at most about 100,000 | two days from the last event |
/// | `tss:{2}:value:…` | string | a value that belongs to no session, such as a provider's tokens, sealed | until its expiry, and five minutes |
/// | `tss:{2}:run` | string | the run ID | ten years from when it was last raised |
///
/// In a cluster, the tag of a shard takes the place of `{2}`, such as `{2.0.1}`.
///
/// Only the feed has the names of subjects, so they stay for about a day. (The number in braces is the version of this
/// layout. Sessions of an earlier version are unknown, so their users sign in again.)
///
/// What an operation costs depends on the live sessions of its subject, not on the revoked ones.
/// Signing in reads the live sessions if there are as many as the cap allows. Revoking or listing the
/// sessions of a subject takes one script for each 50 to 100 of them, so other clients are served in
/// between.
///
/// A session takes about 540 bytes, all overhead included (a subject with one session, no claims, Redis
/// 7.0 on 64 bits; measured over 10,000), and claims come on top. Where most are shorter than 512
/// bytes, `hash-max-listpack-value 512` saves 140 bytes for each session.
///
/// If the run ID is lost, a new one is drawn, so all sessions are invalid.
///
/// # Round trips
/// One for each operation: a script changes the record and appends to the feed in one atomic step. Each
/// call carries a nonce, which becomes the version of what it writes. If a connection breaks before
/// the answer comes, the call is repeated over another one, and the script recognises it. So a
/// revocation whose answer was lost still says that it revoked the session. Scripts that the server does
/// not know, after a restart, are sent once more.
///
/// # Time
/// Operations go by the application's clock, and only the lifetimes of keys by the server's. The
/// two may be up to five minutes apart.
#[derive(Clone)]
pub struct RedisStore(Arc<Shards>);

impl RedisStore {
    /// A store that connects by this client when it is first needed. For settings that do not fit
    /// into a URL.
    ///
    /// It makes its own connections, reconnecting ones among them, since readers of the feed each
    /// need one that no other caller waits on. Have the client set `TCP_NODELAY`.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self(Arc::new(Shards::new([Link::new(Home::Fixed(client))], "tss")))
    }

    /// The same, but its keys begin with `prefix` instead of `tss`. Stores with different prefixes
    /// have nothing in common.
    #[must_use]
    pub fn with_prefix(self, prefix: &str) -> Self {
        Self(Arc::new(Shards::new(self.0.each.iter().map(|shard| shard.link.clone()), prefix)))
    }

    /// Completes `work`, even if the caller stops waiting for it.
    async fn finish<T, F>(&self, work: impl FnOnce(Arc<Shards>) -> F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        tokio::spawn(work(self.0.clone())).await.map_err(StoreError::unavailable)?
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("shards", &self.0.each.len()).finish_non_exhaustive()
    }
}
