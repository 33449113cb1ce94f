//! The Memcached store.

mod link;
mod value;

use std::{fmt, io, sync::Arc};

use serde::{Deserialize, Serialize};

use self::link::{Link, Stored, When};
use super::{
    Cap, CreateError, FeedBatch, FeedEvent, FeedFrom, Revoke, SessionKey, SessionRecord, SessionStore,
    Snapshot, StoreError, Subject, Value, ValueKey, ValueSnapshot, hash, record::RecordForm,
};
use crate::{
    id::{RunId, SessionId, random},
    protocol::Family,
    time::{Clock as _, SystemClock, Timestamp},
};

/// Items are kept this many seconds longer than needed, because clocks differ.
const SLACK: u64 = 300;
/// How often a compare-and-set is tried. If a try fails because of a conflict, another write has succeeded.
const ATTEMPTS: usize = 256;

/// Keeps sessions in Memcached (feature `memcached`), shared by all instances, within the limits of a cache.
///
/// Clones share their connections. All stores with the same server and the same [prefix](Self::with_prefix) share their
/// sessions, in all processes.
///
/// ```no_run
/// # #[cfg(feature = "axum")]
/// # fn example(keyring: tower_sliding_sessions::Keyring) -> Result<(), Box<dyn std::error::Error>> {
/// use tower_sliding_sessions::{Sessions, store::MemcachedStore};
///
/// let store = MemcachedStore::new("127.0.0.1:11211");
/// let sessions = Sessions::<String>::builder(keyring).store(store).build()?;
/// # Ok(())
/// # }
/// ```
///
/// # What it cannot do
/// Memcached cannot list its items, and cannot report changes. So this store has no feed, and every request asks the
/// store. Four operations fail with [`StoreError::Unsupported`]: to list the sessions of a subject, to revoke them
/// together, to mark them as stale together, and to limit their number. These operations work, and take effect at the
/// next request: to revoke one session, to replace its claims, and to mark it as stale.
///
/// A restart of Memcached loses all sessions. If the memory of Memcached is full, Memcached evicts the sessions that
/// were not used for the longest time. A lost or evicted session is unknown, and an unknown session is refused: the
/// user signs in again. This is also true for a revoked session that was evicted: it never becomes live again. Give
/// Memcached enough memory for all sessions: an item takes about 600 bytes without claims (measured over 10,000 items),
/// and Memcached rounds up.
///
/// # What it keeps
/// - One item for each session, under `tss:2:` and a hash of realm, subject and session ID. The item is kept until five
///   minutes after the session's idle deadline or, if the session is revoked, after its absolute deadline.
/// - The run ID under `tss:2:run`. This item does not expire, and every operation on sessions reads it. If this item is
///   lost, all sessions are invalid.
/// - Values that belong to no session, under `tss:2:value:` and a hash.
///
/// Memcached counts lifetimes up to January 2038. Items with a later expiry are kept as long as there is room. (The 2
/// in the keys is the version of this layout. Sessions of an earlier layout are unknown, so their users sign in again.)
///
/// # Round trips
/// A read takes one round trip, for the session and the run ID together. A change takes two round trips: a read, and a
/// compare-and-set. Each conflict costs two more round trips. Each write draws a version for the record. If a
/// connection breaks before the answer comes, the store checks whether the record has this version.
///
/// # Network
/// The store uses one server, Memcached 1.4.8 or later. With a user and a password (`memcached -Y`, 1.5.15 or later),
/// the address is `user:password@host:port`. Percent-encode special characters: `p%40ss` for `p@ss`. A missing or wrong
/// password is a [`StoreError::Configuration`]. SASL is not supported, because it needs the binary protocol.
///
/// TLS is not supported, so the sessions and the password are readable on the network. Run Memcached on the
/// application's machine, or use a tunnel (`stunnel`, WireGuard, or a proxy next to the application). The client is
/// part of this crate, for two reasons: a read gets two keys with their versions in one round trip, and if a caller
/// stops waiting, the next caller must not get the first caller's answer.
#[derive(Clone)]
pub struct MemcachedStore {
    link: Arc<Link>,
    prefix: Arc<str>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    run: RunId,
    /// Each write draws a random version, so that a call recognises the entry that it wrote. (The answer to a write
    /// does not contain Memcached's version of the item.)
    version: u64,
    #[serde(with = "RecordForm")]
    record: SessionRecord,
}

fn draw_version() -> Result<u64, StoreError> {
    Ok(u64::from_be_bytes(random()?))
}

impl MemcachedStore {
    /// Creates a store for the server at this address, such as `127.0.0.1:11211` or `user:password@127.0.0.1:11211`.
    /// The store connects when it is first used.
    #[must_use]
    pub fn new(address: &str) -> Self {
        Self { link: Arc::new(Link::new(address)), prefix: "tss".into() }
    }

    /// Creates a store as [`new`](Self::new) does, and waits until the server has answered.
    ///
    /// # Errors
    /// - [`StoreError::Configuration`] if the address is invalid, if its host is unknown, or if the server requires a
    ///   user and a password, or refuses them.
    /// - [`StoreError::Unavailable`] if the server does not answer within a second or two.
    ///
    /// The error's source says what is wrong.
    pub async fn connect(address: &str) -> Result<Self, StoreError> {
        let store = Self::new(address);
        store.link.find().await.map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => StoreError::unavailable(error),
            _ => StoreError::configuration(error),
        })?;
        store.link.get(&[&store.run_key()]).await.map_err(store_error)?;
        Ok(store)
    }

    /// Returns a store with the same server, whose keys begin with `prefix` instead of `tss`. Stores with different
    /// prefixes share nothing.
    ///
    /// A prefix is hashed if it is longer than 150 bytes, or has characters that a key cannot have.
    #[must_use]
    pub fn with_prefix(self, prefix: &str) -> Self {
        let plain = prefix.len() <= 150 && prefix.bytes().all(|byte| byte.is_ascii_graphic());
        let prefix = if plain { prefix.into() } else { hash(&[prefix.as_bytes()]).into() };
        Self { prefix, ..self }
    }

    fn key(&self, key: &SessionKey) -> String {
        let SessionKey { subject, id } = key;
        let hash = hash(&[subject.realm.as_bytes(), subject.name.as_bytes(), id.as_bytes()]);
        format!("{}:2:{hash}", self.prefix)
    }

    fn run_key(&self) -> String {
        format!("{}:2:run", self.prefix)
    }

    /// Reads the item of a session, Memcached's version of the item, and the run ID. A session of another run ID is
    /// missing.
    async fn read(&self, key: &str) -> Result<(Option<(Entry, u64)>, RunId), StoreError> {
        let run_key = self.run_key();
        let mut items = self.link.get(&[key, &run_key]).await.map_err(store_error)?;
        let run = match items.remove(&run_key) {
            Some(item) => decode_run(&item.value)?,
            None => self.set_run(RunId::draw(SystemClock.now())?, true).await?,
        };
        let Some(item) = items.remove(key) else { return Ok((None, run)) };
        let entry: Entry = serde_json::from_slice(&item.value).map_err(StoreError::corrupt)?;
        Ok((Some((entry, item.version)).filter(|(entry, _)| entry.run == run), run))
    }

    /// Raises the run ID. With `only_if_none`, writes the run ID only if there is none.
    async fn set_run(&self, to: RunId, only_if_none: bool) -> Result<RunId, StoreError> {
        let (key, value) = (self.run_key(), to.to_string());
        for _ in 0..ATTEMPTS {
            let mut items = self.link.get(&[&key]).await.map_err(store_error)?;
            let when = match items.remove(&key) {
                Some(item) => match decode_run(&item.value)? {
                    run if run >= to || only_if_none => return Ok(run),
                    _ => When::Version(item.version),
                },
                None => When::New,
            };
            match self.link.set(&key, value.as_bytes(), 0, when).await.map_err(store_error)? {
                Stored::Yes => return Ok(to),
                Stored::Full => return Err(StoreError::unavailable("Memcached has no room for the run ID")),
                Stored::No => {}
            }
        }
        Err(StoreError::unavailable("too many writers of the run ID"))
    }

    /// Writes a new entry, or replaces the entry that was read.
    ///
    /// If the connection breaks before the answer comes, tries once more over another connection. After a timeout, does
    /// not try again. If no try has succeeded, reads the item. If the item has the version of `entry`, this call has
    /// written it.
    async fn write(&self, key: &str, entry: &Entry, when: When) -> Result<Stored, StoreError> {
        let value = serde_json::to_vec(entry).map_err(StoreError::corrupt)?;
        let expires = expires(&entry.record.family);
        let mut answer = self.link.set(key, &value, expires, when).await;
        match &answer {
            Ok(stored) => return Ok(*stored),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
            Err(_) => answer = self.link.set(key, &value, expires, when).await,
        }
        if !matches!(answer, Ok(Stored::Yes | Stored::Full))
            && let Some((found, _)) = self.read(key).await?.0
            && found.version == entry.version
        {
            return Ok(Stored::Yes);
        }
        answer.map_err(store_error)
    }

    /// Applies `change` to an entry, by compare-and-set. `change` returns whether it applies.
    async fn change(
        &self,
        key: &SessionKey,
        change: impl Fn(&mut Entry) -> bool + Send,
    ) -> Result<Snapshot, StoreError> {
        let key = self.key(key);
        for _ in 0..ATTEMPTS {
            let (entry, run) = self.read(&key).await?;
            let Some((mut entry, cas)) = entry else {
                return Ok(Snapshot { run, version: 0, record: None, applied: false });
            };
            let applied = change(&mut entry);
            if applied {
                entry.version = draw_version()?;
                match self.write(&key, &entry, When::Version(cas)).await? {
                    Stored::Yes => {}
                    Stored::No => continue,
                    Stored::Full => {
                        return Err(StoreError::unavailable("Memcached has no room for a change"));
                    }
                }
            }
            return Ok(Snapshot { run, version: entry.version, record: Some(entry.record), applied });
        }
        Err(StoreError::unavailable("too many writers of one session"))
    }
}

impl SessionStore for MemcachedStore {
    fn has_feed(&self) -> bool {
        false
    }

    fn can_list(&self) -> bool {
        false
    }

    async fn create(
        &self,
        subject: &Subject,
        record: &SessionRecord,
        cap: Option<Cap>,
    ) -> Result<(RunId, Vec<SessionId>), CreateError> {
        if cap.is_some() {
            return Err(StoreError::Unsupported("limiting a subject's sessions").into());
        }
        let key = self.key(&SessionKey { subject: subject.clone(), id: record.id });
        let (_, run) = self.read(&key).await?;
        let entry = Entry { run, version: draw_version()?, record: record.clone() };
        match self.write(&key, &entry, When::New).await? {
            Stored::Yes => Ok((run, Vec::new())),
            Stored::No => Err(CreateError::Exists),
            Stored::Full => Err(StoreError::Full.into()),
        }
    }

    async fn advance(&self, key: &SessionKey, from: u64, at: Timestamp) -> Result<Snapshot, StoreError> {
        self.change(key, |entry| entry.record.advance(from, at)).await
    }

    async fn get(&self, key: &SessionKey) -> Result<Snapshot, StoreError> {
        self.change(key, |_| false).await
    }

    async fn replace(
        &self,
        key: &SessionKey,
        version: u64,
        record: &SessionRecord,
        _event: Option<&FeedEvent>,
    ) -> Result<Snapshot, StoreError> {
        let change = |entry: &mut Entry| {
            let applies = entry.version == version && !entry.record.family.revoked;
            if applies {
                entry.record = record.clone();
            }
            applies
        };
        self.change(key, change).await
    }

    async fn revoke(&self, what: &Revoke, _at: Timestamp) -> Result<Vec<SessionId>, StoreError> {
        let Revoke::Session(key) = what else {
            return Err(StoreError::Unsupported("revoking a subject's sessions together"));
        };
        let revoked = self.change(key, |entry| entry.record.revoke()).await?.applied;
        Ok(if revoked { vec![key.id] } else { Vec::new() })
    }

    async fn mark_stale(&self, event: &FeedEvent) -> Result<(), StoreError> {
        let FeedEvent::SessionStale(key, at) = event else {
            return Err(StoreError::Unsupported("marking a subject's sessions stale together"));
        };
        self.change(key, |entry| entry.record.mark_stale(*at)).await.map(drop)
    }

    async fn list(&self, _subject: &Subject, _now: Timestamp) -> Result<Vec<SessionRecord>, StoreError> {
        Err(StoreError::Unsupported("listing a subject's sessions"))
    }

    async fn raise_run_id(&self, to: RunId) -> Result<RunId, StoreError> {
        self.set_run(to, false).await
    }

    async fn feed(&self, _from: &FeedFrom) -> Result<FeedBatch, StoreError> {
        Err(StoreError::Unsupported("a feed"))
    }

    fn keeps_values(&self) -> bool {
        true
    }

    async fn value(&self, key: &ValueKey, now: Timestamp) -> Result<ValueSnapshot, StoreError> {
        self.read_value(key, now).await
    }

    async fn replace_value(
        &self,
        key: &ValueKey,
        version: u64,
        to: Option<&Value>,
        now: Timestamp,
    ) -> Result<ValueSnapshot, StoreError> {
        self.write_value(key, version, to, now).await
    }
}

impl fmt::Debug for MemcachedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemcachedStore")
            .field("address", &self.link.address())
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// The store error for an error of the connection.
fn store_error(error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::PermissionDenied => StoreError::configuration(error),
        _ => StoreError::unavailable(error),
    }
}

fn decode_run(text: &[u8]) -> Result<RunId, StoreError> {
    str::from_utf8(text).ok().and_then(RunId::decode).ok_or_else(|| StoreError::corrupt("not a run ID"))
}

/// When Memcached may delete a record, in seconds since the Unix epoch, below 2^31. Memcached takes values up to 30
/// days as relative times. No time of this century is such a value.
fn expires(family: &Family) -> u32 {
    let deadline = if family.revoked { family.absolute_deadline } else { family.idle_deadline };
    expires_at(deadline)
}

fn expires_at(deadline: Timestamp) -> u32 {
    let seconds = deadline.as_secs_ceil().saturating_add(SLACK);
    u32::try_from(seconds).ok().filter(|seconds| i32::try_from(*seconds).is_ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn ended_sessions_are_kept_until_their_absolute_deadline() {
        let at = Timestamp::from_secs(1_800_000_000);
        let mut family = Family::begin(at, Duration::from_secs(60), Duration::from_secs(600));
        assert_eq!(expires(&family), 1_800_000_060 + 300);
        family.revoke();
        assert_eq!(expires(&family), 1_800_000_600 + 300);
        let forever = Family::begin(at, Duration::from_secs(1 << 32), Duration::from_secs(1 << 32));
        assert_eq!(expires(&forever), 0, "beyond what Memcached can count");
    }

    #[test]
    fn keys_are_short_and_plain_for_any_names() {
        let subject = Subject { realm: "r m".repeat(200).into(), name: "☕\r\n".repeat(200).into() };
        let key = SessionKey { subject, id: SessionId::from_bytes([1; 32]) };
        for prefix in ["tss", "a b", &"x".repeat(151), &"y".repeat(150)] {
            let key = MemcachedStore::new("127.0.0.1:1").with_prefix(prefix).key(&key);
            assert!(key.len() <= 250 && key.bytes().all(|byte| byte.is_ascii_graphic()), "{key}");
        }
    }
}
