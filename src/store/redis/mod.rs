//! Sessions in Redis or Valkey (feature `redis`), shared by all instances.
//!
//! ```no_run
//! # #[cfg(feature = "axum")]
//! # async fn example(keyring: tower_sliding_sessions::Keyring) -> Result<(), Box<dyn std::error::Error>> {
//! use tower_sliding_sessions::{Sessions, store::RedisStore};
//!
//! let store = RedisStore::connect("redis://127.0.0.1/").await?;
//! let sessions = Sessions::<String>::builder(keyring).store(store).build()?;
//! # Ok(())
//! # }
//! ```
//!
//! # The server
//! Redis 7.0 or later, or any Valkey; one primary, with or without replicas. Set
//! - `maxmemory-policy noeviction`: an evicted session is one that somebody has lost, and an
//!   evicted revocation is a session that is unknown, which refuses it just as well. Without
//!   memory, signing in fails with [`StoreError::Full`], and nobody is signed out.
//! - `appendonly yes`, unless everybody may sign in again after a restart. With `appendfsync
//!   always`, a server that crashes and restarts has all that it ever acknowledged; with the usual
//!   `everysec`, it may lack the last second or two of writes.
//!
//! Replication is asynchronous: a replica that is promoted may lack the primary's last writes.
//! Rotations that were lost are made good by the tokens that prove them. Revocations are asserted
//! again by each instance that remembers them. Sessions that were just opened are lost. Readers of
//! the feed are told of a gap whenever another server answers, or the same one after a restart
//! (also when a primary gets its first replica), since it may lack what they never heard of: for
//! one access lifetime, every token is renewed before it counts.
//!
//! The store talks to one address at a time, and asks for it anew with every connection, so let it
//! be a name, or a proxy's, that follows the primary. Connections are encrypted if the application
//! depends on the `redis` crate with one of its TLS features (the same major version as
//! [`client`]) and the URL begins with `rediss:`.
//!
//! # What it keeps
//! | key | type | what | lives |
//! |---|---|---|---|
//! | `tss:{…}` | hash | the sessions of one subject; `…` is a hash of realm and subject | as long as one of them, and five minutes |
//! | `tss:feed` | stream | the last 100,000 events or so | a week from the last use |
//! | `tss:run` | string | the run ID | ten years from the last sign-in |
//!
//! All that belongs to a subject is under one key, so it is in one slot, and every script names the
//! one key that it touches. A session takes about 460 bytes, all overhead included (a subject with
//! one session, no claims, Redis 7.0 on 64 bits; measured over 10,000), and claims come on top. A
//! record alone is about 150. Where most are shorter than 512 bytes, `hash-max-listpack-value 512`
//! saves 100 bytes for each session.
//!
//! Losing the run ID ends every session, safely: the next one is another.
//!
//! # Round trips
//! One for each operation, since scripts and the run ID travel together; two to open a session
//! (first, which run it is) and for what the feed must hear of. Scripts that the server does not
//! know, after a restart, are sent once more.
//!
//! Ending sessions and replacing claims are two steps: first the record, atomically, then the feed.
//! Neither is cut short by a caller that stops waiting. If the process dies, or the server goes
//! away, between the two, the session has ended, no renewal succeeds any more, and other instances
//! accept its access token until it expires. The caller has got no answer, or an error; ending the
//! session once more tells everybody.
//!
//! # Time
//! Operations go by the application's clock, and only the lifetimes of keys by the server's. The
//! two may be up to five minutes apart.

#[doc(no_inline)]
pub use ::redis as client;

mod entry;
mod feed;
mod link;
mod record;
mod scripts;
mod store;

use std::{
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use redis::{
    Client, ConnectionAddr, FromRedisValue, IntoConnectionInfo as _, aio::MultiplexedConnection, cmd,
    io::tcp::TcpSettings,
};
use sha2::{Digest as _, Sha256};

use self::{
    link::{Link, store_error},
    scripts::Lua,
};
use super::{FeedEvent, StoreError, Subject};
use crate::{
    id::RunId,
    time::{Clock as _, SystemClock, millis},
};

/// How long the run ID stays when nobody signs in.
const RUN_KEPT_FOR: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Keeps sessions in Redis or Valkey. See the [module](self) for what to know of it.
///
/// Clones share their connection. Stores of one server and one [prefix](Self::with_prefix) share
/// their sessions, whatever process they are in.
#[derive(Clone)]
pub struct RedisStore(Arc<Inner>);

struct Inner {
    link: Arc<Link>,
    /// What all keys begin with. In a cluster, what is in braces decides the slot, so all keys of a
    /// store are in one: a script writes records and feed in one step.
    prefix: String,
    run_key: String,
    feed_key: String,
    /// Connections that wait for the next time somebody reads the feed.
    readers: Mutex<Vec<MultiplexedConnection>>,
}

impl RedisStore {
    /// A store at this URL, like `redis://user:password@host:6379/0`, once it has answered. Special
    /// characters of user and password are percent-encoded: `p%40ss` for `p@ss`.
    ///
    /// # Errors
    /// [`StoreError::Configuration`] if the URL is none, its host is unknown, or the server refuses
    /// the user and the password; [`StoreError::Unavailable`] if the server does not answer within a
    /// second or two, or is a replica. The error's source says what is wrong.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let address = url.into_connection_info().map_err(StoreError::configuration)?;
        find(address.addr()).await?;
        let address = address.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let store = Self::new(Client::open(address).map_err(StoreError::configuration)?);
        store.0.greet().await?;
        Ok(store)
    }

    /// A store that connects by this client when it is first needed. For settings that do not fit
    /// into a URL.
    ///
    /// It makes its own connections, reconnecting ones among them, since readers of the feed each
    /// need one that no other caller waits on. Have the client set `TCP_NODELAY`.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self(Arc::new(Inner::new(Link::new(client), "tss")))
    }

    /// The same, but its keys begin with `prefix` instead of `tss`. Stores with different prefixes
    /// have nothing in common.
    #[must_use]
    pub fn with_prefix(self, prefix: &str) -> Self {
        Self(Arc::new(Inner::new(self.0.link.clone(), prefix)))
    }

    /// Has `work` done to its end, even if the caller stops waiting for it.
    async fn finish<T, F>(&self, work: impl FnOnce(Arc<Inner>) -> F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        tokio::spawn(work(self.0.clone())).await.map_err(StoreError::unavailable)?
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the host {host:?} is unknown")]
struct UnknownHost {
    host: String,
    source: io::Error,
}

#[derive(Debug, thiserror::Error)]
#[error("the server is a replica")]
struct IsReplica;

/// Checks that there is a host of this name.
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

impl Inner {
    fn new(link: Arc<Link>, prefix: &str) -> Self {
        // A tag in the prefix decides the slot, but an empty one is none.
        let prefix = if prefix.contains("{}") { hash(&[prefix]) } else { prefix.to_owned() };
        let prefix = format!("{prefix}:{{2}}");
        let (run_key, feed_key) = (format!("{prefix}:run"), format!("{prefix}:feed"));
        Self { link, prefix, run_key, feed_key, readers: Mutex::default() }
    }

    fn readers(&self) -> MutexGuard<'_, Vec<MultiplexedConnection>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns whether the server lets this user in, and is a primary.
    async fn greet(&self) -> Result<(), StoreError> {
        let () = self.link.query(&cmd("PING")).await.map_err(store_error)?;
        let role = self.link.query::<String>(cmd("INFO").arg("replication")).await;
        match role.map_err(store_error) {
            Ok(text) if text.contains("role:slave") => Err(StoreError::unavailable(IsReplica)),
            Ok(_) | Err(StoreError::Configuration(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Where a subject's live sessions are.
    fn key(&self, subject: &Subject) -> String {
        format!("{}:{}", self.prefix, hash(&[&subject.realm, &subject.name]))
    }

    /// Runs a script: one round trip.
    async fn script<T: FromRedisValue>(
        &self,
        script: &Lua,
        live: Option<&str>,
        args: &[String],
    ) -> Result<T, StoreError> {
        let keys = [self.run_key.as_str(), self.feed_key.as_str(), live.unwrap_or_default()];
        let keys = keys.get(..if live.is_some() { 3 } else { 2 }).unwrap_or_default();
        self.link.run(script, keys, args).await.map_err(store_error)
    }

    /// Runs a script about sessions of a subject.
    async fn session_script<T: FromRedisValue>(
        &self,
        script: &Lua,
        subject: &Subject,
        args: &[String],
    ) -> Result<T, StoreError> {
        self.script(script, Some(&self.key(subject)), args).await
    }

    /// The run ID that the server has; a new one if it has none (any more).
    async fn settle_run(&self, run: Option<String>) -> Result<RunId, StoreError> {
        match run {
            Some(run) => run.parse().map_err(StoreError::corrupt),
            // Of callers that find none at once, the first one decides.
            None => self.set_run(RunId::draw(SystemClock.now())?, String::new()).await,
        }
    }

    async fn raise_run(&self, to: RunId) -> Result<RunId, StoreError> {
        self.set_run(to, entry::encode(&FeedEvent::Run(to))?).await
    }

    async fn set_run(&self, to: RunId, event: String) -> Result<RunId, StoreError> {
        let args = [to.to_string(), millis(RUN_KEPT_FOR).to_string(), event];
        let run: String = self.script(&scripts::RAISE_RUN, None, &args).await?;
        run.parse().map_err(StoreError::corrupt)
    }
}

/// The texts, whatever is in them, as one word of 43 characters.
fn hash(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    URL_SAFE_NO_PAD.encode(hash.finalize())
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("prefix", &self.0.prefix).finish_non_exhaustive()
    }
}
