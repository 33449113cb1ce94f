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

/// Keeps sessions in Redis or Valkey (feature `redis`). All instances share these sessions.
///
/// Clones of a store share their connection. Two stores with the same server, the same database and the same
/// [prefix](Self::with_prefix) share their sessions, also in different processes.
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
/// The store needs Redis 7.0 or later, or any version of Valkey. The server is one primary, with or without replicas
/// and Sentinels, or a cluster. Set these options of the server:
/// - `maxmemory-policy noeviction`. With another policy, the server may evict sessions. The user of an evicted session
///   must sign in again. Another policy is reported once at start, as [`StoreFailed`](crate::EventKind::StoreFailed) of
///   the operation `check`. If the server has no memory left, a sign-in fails with [`StoreError::Full`]. Renewals and
///   revocations still work.
/// - `appendonly yes`. Without persistence, all users must sign in again after a restart of the server. With snapshots
///   only (`save`), a restarted server lacks the writes since the last snapshot. With `appendonly yes` and
///   `appendfsync always`, a server that crashes and restarts has every write that it acknowledged. With the usual
///   `everysec`, the server may lack the writes of the last one or two seconds.
/// - `lazyfree-lazy-expire yes`, if one account may have tens of thousands of live sessions (no cap). With this option,
///   Redis removes the key of these sessions in the background when the key expires.
///
/// Replication is asynchronous. So a replica that is promoted may lack the last writes of the primary:
/// - Lost rotations are repaired by the refresh tokens of the later generation.
/// - Lost revocations, and a lost newer run ID, are written again by each instance that remembers them.
/// - Sessions that were just opened are lost.
///
/// The feed reports a gap if another server answers, or if the same server answers after a restart, because events may
/// be missing. A primary that gets its first replica causes a gap, too. After a gap, each access token that was issued
/// before is renewed at its next use. This lasts for one access token lifetime.
///
/// `min-replicas-to-write 1` with `min-replicas-max-lag 1` limits the loss. One second after a primary has lost its
/// replicas, the primary refuses all calls of this store, because each script declares that it may write. The store
/// then looks for another primary. These settings make no single write safe.
///
/// # Failover
/// A store of each of these constructors finds the new primary within the call that fails, or within the next call:
/// - [`sentinel`](Self::sentinel): the store asks the Sentinels.
/// - [`cluster`](Self::cluster): the store asks the nodes of the cluster.
/// - [`connect`](Self::connect): the store has one address, and resolves its host name for each new connection. Use a
///   host name that follows the primary, or the address of a proxy that follows the primary.
///
/// If the server turns out to be a replica, is still loading its data, or has no primary, the store opens a new
/// connection within the same call. The store never reads a session or an event from a replica, because a replica
/// refuses every script of this store.
///
/// # Redis Cluster
/// A store of [`cluster`](Self::cluster) has three shards, each with a third of the subjects. All keys of a subject are
/// in the slot of the subject's shard. Each shard has its own feed and its own copy of the run ID, because a script
/// writes records and the feed in one step. Each of the three slots is in another third of all slots, so each of three
/// primaries has one shard. The [manual](crate::manual::stores) says how many renewals they can serve.
///
/// - **A shard is unavailable.** The users of the other shards are served, and their sign-outs reach all instances. The
///   feed [lags](crate::SessionsBuilder::ask_store_when_lagging) until the shard is available again, and this is
///   reported. Meanwhile, no instance can start. An error of a shard names the shard and its slot. Set
///   `cluster-require-full-coverage no`. Otherwise the whole cluster is unavailable.
/// - **The run ID.** A call that raises the run ID raises it in all shards. If a shard is unavailable, the call returns
///   an error that says how many shards were raised. The new run ID is valid as soon as one shard has it: readers of
///   the feed take over the newest run ID, and raise the run ID of the other shards. A shard that has lost its run ID
///   gets the run ID of the other shards.
/// - **A slot moves to another node.** Sign-ins and revocations of the slot's subjects fail from the beginning of the
///   move. Renewals go on until the keys of the slot are split between both nodes. From then until the end of the move,
///   all calls about these subjects fail as unavailable. A call that failed changed nothing. Move a slot when few users
///   are active.
///
/// # Address, user and rights
/// In the URL, the special characters of user and password are percent-encoded: `p%40ss` for `p@ss`.
///
/// With the feature `redis_tls` and a URL that begins with `rediss:`, connections are encrypted. The store trusts the
/// certificate authorities of the system. The environment variable `SSL_CERT_FILE` names a file with other authorities.
/// The certificate of a private authority, and a client certificate, are settings of a client: see
/// [`connect_client`](Self::connect_client). [`cluster`](Self::cluster) takes the `ConnectionInfo` of such a client
/// instead of a URL. For Sentinels, use `SSL_CERT_FILE`. A Sentinel or a node names other servers by the addresses that
/// the Sentinel or the node knows. So the certificates must be valid for these addresses, or the servers must announce
/// host names.
///
/// The user needs only these rights. With another [prefix](Self::with_prefix), write this prefix instead of `tss`. With
/// a database other than 0, add `+select`.
///
/// ```text
/// ACL SETUSER sessions on >PASSWORD resetkeys ~tss:* resetchannels -@all
/// +ping +info +eval +evalsha +time +exists +get +set +pexpire +pexpireat
/// +hget +hset +hdel +hlen +hgetall +hscan +hrandfield
/// +xadd +xread +xrange +xrevrange +xtrim +xinfo|stream
/// ```
///
/// In a cluster, add `+cluster|slots +asking`. On the Sentinels, a user needs `+sentinel|get-master-addr-by-name`.
///
/// Two rights may be missing:
/// - Without `+info`, the store notices a failover only if the new server lacks the last event that was read.
/// - Without `+xread`, the store reads the feed twenty times a second, and reports this once at start, as a failed
///   `check`.
///
/// A wrong address, user or password, or a missing right, is a [`StoreError::Configuration`]. The source of the error
/// says what is wrong.
///
/// # What it keeps
/// | key | type | content | kept until |
/// |---|---|---|---|
/// | `tss:{2}:…` | hash | the live sessions of one subject; `…` is a hash of realm and subject | five minutes after the last of these sessions expires |
/// | `tss:{2}:…:sid` | string | a revoked session, without its claims | five minutes after the session's absolute deadline |
/// | `tss:{2}:…:answer:…` | string | the answer of a call that revoked sessions, in case the call is repeated | 30 seconds after the call |
/// | `tss:{2}:feed` | stream | the events of the last day, but at most about 100,000 events | two days after the last event |
/// | `tss:{2}:value:…` | string | a value that belongs to no session, such as a provider's tokens, sealed | five minutes after the value's expiry |
/// | `tss:{2}:run` | string | the run ID | ten years after the last call that set or raised the run ID |
///
/// In a cluster, the tag of a shard, such as `{2.0.1}`, takes the place of `{2}`.
///
/// Only the feed contains the names of subjects, so the names stay for about a day. The number in braces is the version
/// of this layout. The store does not know the sessions of an earlier version, so their users must sign in again.
///
/// The cost of an operation depends on the subject's live sessions, not on its revoked sessions. A sign-in reads all
/// live sessions if there are as many as the cap allows. A call that revokes or lists the sessions of a subject runs
/// one script for each 50 to 100 sessions. Between these scripts, the server serves other clients.
///
/// A session takes about 540 bytes, all overhead included, and its claims take additional bytes. This was measured over
/// 10,000 subjects with one session each and no claims, with Redis 7.0 on 64 bits. If most records are shorter than 512
/// bytes, `hash-max-listpack-value 512` saves 140 bytes for each session.
///
/// If the run ID is lost, the store draws a new run ID, so all sessions are invalid.
///
/// # Round trips
/// An operation takes one round trip, unless it runs several scripts (see above). A script changes the record and
/// appends to the feed in one atomic step. Each call carries a nonce, which becomes the version of the record that the
/// call writes. If a connection breaks before the answer arrives, the store repeats the call over another connection,
/// and the script recognises the nonce. So a revocation whose answer was lost still says that it revoked the session.
/// If the server does not know a script, for example after a restart, the store sends the call once more, with the
/// whole script.
///
/// # Time
/// Operations use the clock of the application. Only the lifetimes of data and the positions in the feed use the clock
/// of the server. The two clocks may differ by up to five minutes.
#[derive(Clone)]
pub struct RedisStore(Arc<Shards>);

impl RedisStore {
    /// Creates a store that connects with this client when a connection is first needed. Use this constructor for
    /// settings that do not fit into a URL.
    ///
    /// The store opens several connections with the client: one that reconnects, and one for each reader of the feed,
    /// because a reader needs a connection that no other caller waits on. Set `TCP_NODELAY` in the client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self(Arc::new(Shards::new([Link::new(Home::Fixed(client))], "tss")))
    }

    /// Returns the same store, but with keys that begin with `prefix` instead of `tss`. Stores with different prefixes
    /// share no data.
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
