//! Sessions in PostgreSQL.
//!
//! Every operation is a call of one function that the migration creates, and so one transaction. `functions.sql`
//! explains why each function is correct when several calls race. `run` explains how a call is made, also through a
//! pooler.

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

/// The longest realm and subject together, in bytes: what an index of PostgreSQL takes.
const LONGEST: usize = 2048;
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// Keeps sessions in PostgreSQL (13 or later; tested with 15).
///
/// They survive restarts: only [raising the run ID](super::SessionStore::raise_run_id) revokes them
/// all. What was acknowledged is as durable as the server's `synchronous_commit` and its replicas
/// make it. Clones share their connections. Every operation is one round trip, after a connection's
/// first use of it. A connection that was idle for more than a second is tested first.
///
/// A live session of a 36-byte subject without claims takes about 580 bytes on the server's disk,
/// and more between two vacuums. Expired sessions are deleted in the background as others are opened
/// and renewed. A revoked one is kept until its absolute deadline.
///
/// The feed is polled every 50 ms, or in [another interval](Self::with_feed_interval). Its events are kept for a day.
/// One transaction at a time writes events, so that no reader can miss one. So the number of revocations a second is
/// limited by the number of commits that the server can flush one after the other. Renewals have no such limit. Long
/// transactions of other programs do not delay the feed.
///
/// # Poolers
/// A pooler such as PgBouncer can be used, also in transaction mode. The first call that meets the prepared statement
/// of another client fails without an effect, and is made again. From then on, this store runs each call in a
/// transaction and without prepared statements: four round trips instead of one. With `?statement-cache-capacity=0` in
/// the URL, it does so from the start. A pooler that knows prepared statements (PgBouncer 1.21 or later with
/// `max_prepared_statements`) keeps the one round trip.
///
/// Most poolers refuse or ignore `?options=-csearch_path=…`. Name the schema instead:
/// [`connect_in_schema`](Self::connect_in_schema). In a pool of the application's, also turn off `extra_float_digits`,
/// which PgBouncer refuses:
/// [`PgConnectOptions::extra_float_digits`](sqlx::postgres::PgConnectOptions::extra_float_digits) with `None`.
///
/// # The schema
/// Table and function names all begin with `sliding_sessions`, or with a [prefix](Self::with_prefix) and that.
/// The connection's `search_path` is asked once which schema has them; from then on every statement names it.
///
/// The application's user needs no right to create tables if an administrator has migrated. It needs `USAGE` on
/// the schema, and `SELECT`, `INSERT`, `UPDATE` and `DELETE` on the four tables:
///
/// ```no_run
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use tower_sliding_sessions::store::PostgresStore;
/// let store = PostgresStore::lazy("postgres://app@db.internal/shop")?.with_schema("auth")?;
/// // `my-app print-migration`: what an administrator runs.
/// if let Some(sql) = store.pending_migration().await? {
///     println!("{sql}");
/// }
/// // At start: an error says which tables or rights are missing.
/// store.check().await?;
/// # Ok(()) }
/// ```
///
/// # Several servers
/// The address may name all servers of a cluster: `postgres://user:password@db1,db2:5433,db3/database`. The store uses
/// the primary. When calls fail because of the connection or the server, it asks all servers which one is the primary
/// now. If several say so, it takes the one that was promoted last. A connection that was being made to another server
/// meanwhile is closed without use.
///
/// Each promotion begins a new timeline. A server is not used if another server of the same cluster was seen at a
/// higher timeline, also if that one is read-only or down now. So a former primary that comes back is not used: calls
/// fail, and the error names its host and says why. It is used again when the newer server answers as a standby at a
/// lower timeline than before: then the cluster has gone back. If the newer server is lost for good, promote another
/// server, or restart the application to use the former primary. The user can ask standbys for their timelines, unless
/// `EXECUTE` on `pg_control_system`, `pg_control_checkpoint` and `pg_control_recovery` was revoked.
///
/// A host that is unknown or down is an error only if no other host is the primary. A warning at start can name it:
/// [`unusable_hosts`](Self::unusable_hosts). A `target_session_attrs` in the address changes nothing. An address that
/// always leads to the primary, such as HAProxy's, works too.
///
/// # TLS
/// The address says what to check (`?sslmode=verify-full&sslrootcert=/etc/ssl/db-ca.pem`). Enable the feature
/// `postgres_tls` of this crate: rustls with AWS-LC, and with the authorities of Mozilla besides those in
/// `sslrootcert`. Or turn on another TLS feature of sqlx in the application's own `Cargo.toml`, such as
/// `tls-native-tls` or `tls-rustls-ring-native-roots`, which use the authorities of the system. Without any,
/// `sslmode=require` and stricter modes fail at start, and the default (`prefer`) connects without TLS.
///
/// # Errors
/// [`StoreError::Unavailable`] for every failure of the server or of the connection to it, until it works
/// again. A server that is read-only (a standby, or a former primary after a switch-over) is not asked:
/// it may not know the latest revocations. The call fails and its connection is closed, so that the
/// next one can reach the new primary. [`StoreError::Unsupported`] for a realm and subject of more than
/// 2048 bytes together.
#[derive(Clone)]
pub struct PostgresStore(Arc<Inner>);

struct Inner {
    hosts: Arc<Hosts>,
    prefix: Prefix,
    home: OnceCell<Home>,
    /// Whether calls use named statements: until one meets a pooler that mixes them up.
    by_name: AtomicBool,
    swept: LastSweep,
    /// How often the feed is looked at.
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

    /// The same settings, before the first use.
    fn again(&self) -> Self {
        let home = OnceCell::new_with(self.home.get().cloned());
        let (prefix, feed_interval) = (self.prefix.clone(), self.feed_interval);
        Self { prefix, home, feed_interval, ..Self::new(self.hosts.clone()) }
    }

    /// The schema, which is found at the first use.
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
    /// Connects to a server (`postgres://user:password@host/database`), with up to 10 connections,
    /// and [migrates](Self::migrate) the database.
    ///
    /// # Errors
    /// [`StoreError::Configuration`] if the URL, the host, the certificate, the user, the password or the database
    /// is wrong, or if the user lacks rights. [`StoreError::Unavailable`] if the server cannot be reached within 2
    /// seconds, or if no host of several is a primary. Of several hosts, some may be unknown.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let store = Self::lazy(url)?;
        store.migrate().await?;
        Ok(store)
    }

    /// Connects as [`connect`](Self::connect) does, and keeps everything in this schema, which exists.
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect). [`StoreError::Configuration`] if there is no such schema.
    pub async fn connect_in_schema(url: &str, schema: &str) -> Result<Self, StoreError> {
        let store = Self::lazy(url)?.with_schema(schema)?;
        store.migrate().await?;
        Ok(store)
    }

    /// A store for this address that connects when it is used. [Migrate](Self::migrate) it before use, or
    /// [check](Self::check) it if an administrator migrates.
    ///
    /// # Errors
    /// [`StoreError::Configuration`] if the URL is not valid.
    pub fn lazy(url: &str) -> Result<Self, StoreError> {
        if !["postgres:", "postgresql:"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(StoreError::configuration("the address of PostgreSQL begins with postgres://"));
        }
        Ok(Self(Arc::new(Inner::new(Arc::new(Hosts::parse(url)?)))))
    }

    /// A store that uses a pool of the application's. [Migrate](Self::migrate) it before use.
    ///
    /// Unless the pool has `test_before_acquire(false)`, every operation costs a second round trip.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self(Arc::new(Inner::new(Arc::new(Hosts::of(pool)))))
    }

    /// Keeps everything in this schema, which exists. Default: where the connection's `search_path`
    /// finds the tables, or would create them.
    ///
    /// # Errors
    /// [`StoreError::Configuration`] for a name with quotes, backslashes, `$`, braces or control characters.
    pub fn with_schema(self, schema: &str) -> Result<Self, StoreError> {
        let home = OnceCell::new_with(Some(Home::new(schema, &self.0.prefix)?));
        Ok(Self(Arc::new(Inner { home, ..self.0.again() })))
    }

    /// Begins the names of all tables and functions with this, so that several stores can share a schema. Default:
    /// no prefix. Set it before the store is used.
    ///
    /// # Errors
    /// [`StoreError::Configuration`] for a prefix that is longer than 24 characters, has others than `a-z`, `0-9` and
    /// `_`, or begins with a digit.
    pub fn with_prefix(self, prefix: &str) -> Result<Self, StoreError> {
        let prefix = Prefix::new(prefix)?;
        let home = match self.0.home.get() {
            Some(home) => OnceCell::new_with(Some(Home::new(home.name(), &prefix)?)),
            None => OnceCell::new(),
        };
        Ok(Self(Arc::new(Inner { prefix, home, ..self.0.again() })))
    }

    /// How often the feed is looked at: between 10 ms and 1 s. Default: 50 ms. Set it before the store is used.
    ///
    /// A revocation reaches the other instances up to this much later. In return, many instances cost the server less:
    /// 1,000 of them make 20,000 reads a second at 50 ms, and 2,000 at 500 ms.
    #[must_use]
    pub fn with_feed_interval(self, interval: Duration) -> Self {
        let feed_interval = interval.clamp(SHORTEST_INTERVAL, LONGEST_WAIT);
        Self(Arc::new(Inner { feed_interval, ..self.0.again() }))
    }

    /// Creates or updates the tables and functions, if that is needed. Any number of instances may
    /// do so at once. Where everything is there, it only reads.
    ///
    /// # Errors
    /// [`StoreError::Configuration`] if the user lacks rights; [`StoreError::Unavailable`] if the server cannot
    /// be reached.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        migrate::migrate(&self.0).await
    }

    /// The SQL that [`migrate`](Self::migrate) would run, for an administrator to run. None if there is nothing to do.
    /// It names the schema, and runs in one transaction. The user of this store needs no right to create tables.
    ///
    /// # Errors
    /// Those of [`migrate`](Self::migrate).
    pub async fn pending_migration(&self) -> Result<Option<String>, StoreError> {
        migrate::pending(&self.0).await
    }

    /// Checks that the tables and functions are there and of this version, and that the user has the rights on
    /// them. Changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Configuration`], with what is missing; [`StoreError::Unavailable`] if the server cannot be
    /// reached.
    pub async fn check(&self) -> Result<(), StoreError> {
        migrate::check(&self.0).await
    }

    /// The hosts of the [address](Self#several-servers) that cannot be used now, each with its port, and why: for a
    /// warning at start. Empty if all can be used, and for a pool of the application's.
    pub async fn unusable_hosts(&self) -> Vec<(String, StoreError)> {
        self.0.hosts.unusable().await
    }

    /// Deletes what expired a minute ago or earlier, by the server's clock as well as by `now`, and
    /// events of the feed older than a day, a few hundred at a time. Returns how many sessions.
    ///
    /// Opening and renewing sessions does this now and then; call it for a store in which neither
    /// happens.
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
        // A task of its own: a caller that stops waiting must not stop the search for the primary.
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

    /// Sweeps in the background, if it is time to.
    fn sweep_at_times(&self, now: Timestamp) {
        if self.0.swept.is_due(now) {
            let store = self.clone();
            // What fails now is tried again with the next sweep.
            tokio::spawn(async move { store.sweep(now).await });
        }
    }
}

/// A subject as it is kept.
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

    /// The number of the subject's advisory lock. If two have the same, one waits for the other.
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
