//! Sessions in PostgreSQL.
//!
//! Each operation is one transaction: it calls a function that the migration creates. `functions.sql` explains why each
//! function is correct if several calls run at the same time. `run` explains how a call is made, also through a pooler.

mod answers;
mod call;
mod home;
mod hosts;
mod migrate;
mod pool;
mod run;
mod store;
mod sweep;

use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use sqlx::{Connection as _, PgConnection, PgPool, Row as _, postgres::PgRow};
use tokio::sync::OnceCell;

use self::{
    call::Builder,
    home::{Home, Prefix},
    hosts::Hosts,
};
use super::{
    Snapshot, StoreError, Subject,
    sql::{Columns, LONGEST_WAIT, LastSweep, POLL, run_from, starting, unavailable, version_from},
};
use crate::time::Timestamp;

/// The maximum length of a realm and a subject together, in bytes. Reason: PostgreSQL limits the size of an index
/// entry.
const LONGEST: usize = 2048;
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// Keeps sessions in PostgreSQL (13 or later; tested with 15).
///
/// Sessions survive restarts. Only [raising the run ID](super::SessionStore::raise_run_id) revokes all sessions. The
/// server's `synchronous_commit` and its replicas decide how durable an acknowledged write is. Clones of the store
/// share their connections. Each operation is one round trip, except at its first use of a connection. A connection
/// that was idle for more than a second is tested before use.
///
/// A live session of a 36-byte subject without claims takes about 580 bytes on the server's disk, and more between two
/// vacuums. When sessions are created and renewed, the store deletes expired sessions in the background. A revoked
/// session is kept until its absolute deadline.
///
/// The store polls the feed every 50 ms, or at [another interval](Self::with_feed_interval). Events are kept for a day.
/// One transaction at a time writes events, so that no reader can miss an event. Therefore, the number of revocations
/// per second is limited by the number of commits that the server can flush one after the other. Renewals have no such
/// limit. Long transactions of other programs do not delay the feed.
///
/// # Poolers
/// The store works with a pooler such as PgBouncer, also in transaction mode. If a call meets the prepared statement of
/// another client, the call fails without an effect, and the store makes the call again. From then on, the store runs
/// each call in a transaction and without prepared statements: four round trips instead of one. With
/// `?statement-cache-capacity=0` in the URL, the store does so after its first call. With a pooler that supports
/// prepared statements (PgBouncer 1.21 or later with `max_prepared_statements`), each call stays one round trip.
///
/// Most poolers refuse or ignore `?options=-csearch_path=…`. Name the schema with
/// [`connect_in_schema`](Self::connect_in_schema) instead. If you create the pool yourself, also call
/// [`PgConnectOptions::extra_float_digits`](sqlx::postgres::PgConnectOptions::extra_float_digits) with `None`, because
/// PgBouncer refuses this setting.
///
/// # The schema
/// The names of all tables and functions begin with `sliding_sessions`, after the [prefix](Self::with_prefix) if there
/// is one. The store finds the schema once, by the `search_path` of the connection. From then on, every statement names
/// the schema.
///
/// If an administrator migrates, the application's user needs no right to create tables. The user needs `USAGE` on the
/// schema, and `SELECT`, `INSERT`, `UPDATE` and `DELETE` on the four tables:
///
/// ```no_run
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use tower_sliding_sessions::store::PostgresStore;
/// let store = PostgresStore::lazy("postgres://app@db.internal/shop")?.with_schema("auth")?;
/// // `my-app print-migration` prints the SQL that an administrator runs.
/// if let Some(sql) = store.pending_migration().await? {
///     println!("{sql}");
/// }
/// // At start. The error says which tables or rights are missing.
/// store.check().await?;
/// # Ok(()) }
/// ```
///
/// # Several servers
/// The address may name all servers of a cluster: `postgres://user:password@db1,db2:5433,db3/database`. The store uses
/// the primary. If calls fail because of the connection or the server, the store asks all servers which server is the
/// primary. If several servers say that they are the primary, the store uses the server that was promoted last. If the
/// primary changes while a connection to another server is being made, this connection is closed without use.
///
/// Each promotion begins a new timeline. The store does not use a server if another server of the same cluster was seen
/// at a higher timeline, even if that server is read-only or down now. So the store does not use a former primary that
/// comes back. If no other server is the primary, calls fail, and the error names the former primary and says why. The
/// store uses a former primary again when the newer server answers as a standby at a lower timeline than before: then
/// the cluster has gone back. If the newer server is lost for good, promote another server, or restart the application
/// to use the former primary. The user can ask standbys for their timelines, unless `EXECUTE` on `pg_control_system`,
/// `pg_control_checkpoint` and `pg_control_recovery` was revoked.
///
/// An unknown host, or a host that is down, is an error only if no other host is the primary. To log a warning at
/// start, call [`unusable_hosts`](Self::unusable_hosts). A `target_session_attrs` in the address has no effect. An
/// address that always leads to the primary, such as the address of an HAProxy, works too.
///
/// # TLS
/// Set in the address what the store checks (`?sslmode=verify-full&sslrootcert=/etc/ssl/db-ca.pem`). Enable the feature
/// `postgres_tls` of this crate, which uses rustls with AWS-LC, and trusts Mozilla's certificate authorities and those
/// in `sslrootcert`. Or enable another TLS feature of sqlx in the application's `Cargo.toml`, such as `tls-native-tls`
/// or `tls-rustls-ring-native-roots`, which trust the certificate authorities of the system. Without a TLS feature,
/// `sslmode=require` and stricter modes fail at start, and the default (`prefer`) connects without TLS.
///
/// # Errors
/// [`StoreError::Unavailable`] for every failure of the server or of the connection to the server. Calls succeed again
/// once the server works again. A call to a read-only server (a standby, or a former primary after a switch-over)
/// fails, because this server may not know the latest revocations. Its connection is then closed, so that the next call
/// can reach the new primary. [`StoreError::Unsupported`] for a realm and subject of more than 2048 bytes together.
#[derive(Clone)]
pub struct PostgresStore(Arc<Inner>);

struct Inner {
    hosts: Arc<Hosts>,
    prefix: Prefix,
    home: OnceCell<Home>,
    /// Whether calls use named statements. Becomes false if a call meets a pooler that mixes statements up, or if the
    /// pool has no statement cache.
    by_name: AtomicBool,
    swept: LastSweep,
    /// How often the store polls the feed.
    feed_interval: Duration,
}

impl Inner {
    fn new(hosts: Arc<Hosts>) -> Self {
        Self {
            hosts,
            prefix: Prefix::default(),
            home: OnceCell::new(),
            by_name: AtomicBool::new(true),
            swept: LastSweep::default(),
            feed_interval: POLL,
        }
    }

    /// The same settings, with the state of a store that was not used yet.
    fn again(&self) -> Self {
        let home = OnceCell::new_with(self.home.get().cloned());
        let (prefix, feed_interval) = (self.prefix.clone(), self.feed_interval);
        Self { prefix, home, feed_interval, ..Self::new(self.hosts.clone()) }
    }

    /// Returns the schema. The first call finds the schema.
    async fn home(&self, connection: &mut PgConnection) -> Result<Home, StoreError> {
        let find = async || {
            let mut transaction =
                connection.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await.map_err(starting)?;
            let found = Home::find(&mut transaction, &self.prefix).await.map_err(starting)?;
            transaction.commit().await.map_err(unavailable)?;
            let nowhere = || {
                StoreError::configuration(
                    "the search_path names no schema that exists and that the user may use",
                )
            };
            Home::new(&found.ok_or_else(nowhere)?, &self.prefix)
        };
        self.home.get_or_try_init(find).await.cloned()
    }
}

impl PostgresStore {
    /// Connects to a server (`postgres://user:password@host/database`) with up to 10 connections, and
    /// [migrates](Self::migrate) the database.
    ///
    /// # Errors
    /// [`StoreError::Configuration`] if the URL, the host, the certificate, the user, the password or the database is
    /// wrong, or if the user lacks rights. [`StoreError::Unavailable`] if the server cannot be reached within 2
    /// seconds, or if the address names several hosts and none is a primary. If one host is the primary, other hosts
    /// may be unknown.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let store = Self::lazy(url)?;
        store.migrate().await?;
        Ok(store)
    }

    /// Connects like [`connect`](Self::connect), and keeps all tables and functions in this schema. The schema must
    /// exist.
    ///
    /// # Errors
    /// The errors of [`connect`](Self::connect). [`StoreError::Configuration`] if the schema does not exist.
    pub async fn connect_in_schema(url: &str, schema: &str) -> Result<Self, StoreError> {
        let store = Self::lazy(url)?.with_schema(schema)?;
        store.migrate().await?;
        Ok(store)
    }

    /// Creates a store that connects to this address at its first use. [Migrate](Self::migrate) the store before use,
    /// or [check](Self::check) it if an administrator migrates.
    ///
    /// # Errors
    /// [`StoreError::Configuration`] if the URL is not valid.
    pub fn lazy(url: &str) -> Result<Self, StoreError> {
        if !["postgres:", "postgresql:"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(StoreError::configuration("the address of PostgreSQL begins with postgres://"));
        }
        Ok(Self(Arc::new(Inner::new(Arc::new(Hosts::parse(url)?)))))
    }

    /// Creates a store that uses a pool of the application. [Migrate](Self::migrate) the store before use.
    ///
    /// Unless the pool has `test_before_acquire(false)`, every operation costs a second round trip.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self(Arc::new(Inner::new(Arc::new(Hosts::of(pool)))))
    }

    /// Sets the schema of all tables and functions. The schema must exist. Default: the schema in which the
    /// connection's `search_path` finds the tables, or in which the connection would create the tables.
    ///
    /// # Errors
    /// [`StoreError::Configuration`] for a name that is empty, is longer than 63 bytes, or contains quotes,
    /// backslashes, `$`, braces or control characters.
    pub fn with_schema(self, schema: &str) -> Result<Self, StoreError> {
        let home = OnceCell::new_with(Some(Home::new(schema, &self.0.prefix)?));
        Ok(Self(Arc::new(Inner { home, ..self.0.again() })))
    }

    /// Sets a prefix for the names of all tables and functions, so that several stores can share a schema. Default: no
    /// prefix. Set the prefix before the store is used.
    ///
    /// # Errors
    /// [`StoreError::Configuration`] for a prefix that is longer than 24 characters, contains other characters than
    /// `a-z`, `0-9` and `_`, or begins with a digit.
    pub fn with_prefix(self, prefix: &str) -> Result<Self, StoreError> {
        let prefix = Prefix::new(prefix)?;
        let home = match self.0.home.get() {
            Some(home) => OnceCell::new_with(Some(Home::new(home.name(), &prefix)?)),
            None => OnceCell::new(),
        };
        Ok(Self(Arc::new(Inner { prefix, home, ..self.0.again() })))
    }

    /// Sets how often the store polls the feed: between 10 ms and 1 s. Default: 50 ms. Set it before the store is used.
    ///
    /// A revocation reaches the other instances up to one interval later. A longer interval means less work for the
    /// server: 1,000 instances make 20,000 reads per second at 50 ms, and 2,000 reads per second at 500 ms.
    #[must_use]
    pub fn with_feed_interval(self, interval: Duration) -> Self {
        let feed_interval = interval.clamp(SHORTEST_INTERVAL, LONGEST_WAIT);
        Self(Arc::new(Inner { feed_interval, ..self.0.again() }))
    }

    /// Creates or updates the tables and functions, if needed. Any number of instances may call this at the same time.
    /// If the tables and functions are up to date, this call only reads.
    ///
    /// # Errors
    /// [`StoreError::Configuration`] if the user lacks rights; [`StoreError::Unavailable`] if the server cannot
    /// be reached.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        migrate::migrate(&self.0).await
    }

    /// The SQL that [`migrate`](Self::migrate) would run, for an administrator. Returns `None` if there is nothing to
    /// do. The SQL names the schema, and runs in one transaction. The user of this store needs no right to create
    /// tables.
    ///
    /// # Errors
    /// The errors of [`migrate`](Self::migrate).
    pub async fn pending_migration(&self) -> Result<Option<String>, StoreError> {
        migrate::pending(&self.0).await
    }

    /// Checks that the tables and functions of this version exist, and that the user has the rights on them. Changes
    /// nothing.
    ///
    /// # Errors
    /// [`StoreError::Configuration`], with what is missing; [`StoreError::Unavailable`] if the server cannot be
    /// reached.
    pub async fn check(&self) -> Result<(), StoreError> {
        migrate::check(&self.0).await
    }

    /// The hosts of the [address](Self#several-servers) that cannot be used now, each with its port and the reason, for
    /// a warning at start. Empty if all hosts can be used, and for a store with a pool of the application.
    pub async fn unusable_hosts(&self) -> Vec<(String, StoreError)> {
        self.0.hosts.unusable().await
    }

    /// Deletes sessions and values that expired a minute ago or earlier, both by `now` and by the server's clock, and
    /// events of the feed that are older than a day. One transaction deletes at most 500 rows. Returns the number of
    /// deleted sessions.
    ///
    /// From time to time, creating and renewing sessions starts a sweep in the background. Call `sweep` for a store in
    /// which no sessions are created or renewed.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the server cannot be reached.
    pub async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        sweep::sweep(self, now).await
    }

    async fn call(&self, operation: &'static str) -> Result<Builder<'_>, StoreError> {
        if let Some(home) = self.0.home.get() {
            return Ok(Builder::new(&self.0, home, operation));
        }
        let inner = self.0.clone();
        // A separate task, because a caller that stops waiting must not stop the search for the primary.
        let finding = tokio::spawn(async move {
            let found = async {
                let mut lease = inner.hosts.lease(unavailable).await?;
                let home = inner.home(&mut lease).await?;
                lease.done();
                Ok(home)
            };
            let found = found.await;
            // Another host does not help against a configuration error, such as a missing schema.
            if matches!(found, Err(StoreError::Unavailable(_))) {
                inner.hosts.look_soon();
            }
            found
        });
        let home = finding.await.map_err(StoreError::unavailable)??;
        Ok(Builder::new(&self.0, &home, operation))
    }

    /// Starts a sweep in the background, if a sweep is due.
    fn sweep_at_times(&self, now: Timestamp) {
        if self.0.swept.is_due(now) {
            let store = self.clone();
            // If the sweep fails, the next sweep tries again.
            tokio::spawn(async move { store.sweep(now).await });
        }
    }
}

/// A subject as the database stores it.
#[derive(Clone)]
struct Names {
    realm: Vec<u8>,
    name: Vec<u8>,
}

impl Names {
    fn of(subject: &Subject) -> Result<Self, StoreError> {
        if subject.realm.len() + subject.name.len() > LONGEST {
            return Err(StoreError::Unsupported("a realm and subject of more than 2048 bytes"));
        }
        Ok(Self { realm: subject.realm.as_bytes().to_vec(), name: subject.name.as_bytes().to_vec() })
    }

    /// The number of the subject's advisory lock. If two subjects have the same number, one waits for the other.
    fn lock(&self) -> i64 {
        let hash = Sha256::new()
            .chain_update(b"tower-sliding-sessions subject lock v1")
            .chain_update(self.realm.len().to_be_bytes())
            .chain_update(&self.realm)
            .chain_update(&self.name)
            .finalize();
        hash.iter().take(8).fold(0, |lock, byte| (lock << 8) | i64::from(*byte))
    }
}

fn snapshot(row: &PgRow) -> Result<Snapshot, StoreError> {
    let applied = row.try_get(0).map_err(unavailable)?;
    let run = run_from(row.try_get(1).map_err(unavailable)?)?;
    let version = version_from(row.try_get(2).map_err(unavailable)?)?;
    let record = Columns::read(row, 3)?.map(Columns::record).transpose()?;
    Ok(Snapshot { run, version, record, applied })
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").finish_non_exhaustive()
    }
}
