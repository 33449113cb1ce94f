//! The cluster of three nodes, and what is done to it.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use tokio::{
    sync::{Mutex, MutexGuard},
    task::spawn_blocking,
    time::timeout,
};
use tower_sliding_sessions::store::sqlx::{Connection as _, PgConnection, query_scalar};

/// Longer than the lease of a primary whose node has died.
const FAILOVER: Duration = Duration::from_secs(40);

/// The cluster, for one test at a time.
pub(crate) struct Cluster(#[expect(dead_code, reason = "held, not read")] MutexGuard<'static, ()>);

/// What happens to the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Its processes are killed. Patroni sees it at once.
    Crash,
    /// The same, and Patroni is killed with it. Its lease must run out.
    Die,
    /// Its node stands still, with its Patroni. It is thawed when there is a new primary.
    Freeze,
    /// Patroni makes another node the primary, and the former one a replica.
    SwitchOver,
}

impl Fault {
    const fn command(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Die => "die",
            Self::Freeze => "freeze",
            Self::SwitchOver => "switchover",
        }
    }
}

pub(crate) fn given(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: tests/run starts a cluster and sets it"))
}

/// Through HAProxy.
pub(crate) fn url() -> String {
    given("TEST_PATRONI_URL")
}

/// With the names of all nodes.
pub(crate) fn hosts() -> String {
    given("TEST_PATRONI_HOSTS")
}

pub(crate) fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "the test measures real time")]
    Instant::now()
}

impl Cluster {
    pub(crate) async fn take(mode: &'static str) -> Self {
        static ALONE: Mutex<()> = Mutex::const_new(());
        let cluster = Self(ALONE.lock().await);
        cluster.does(&["ready"]).await;
        cluster.does(&["mode", mode]).await;
        cluster
    }

    /// Runs a command of the control program, and returns its output.
    pub(crate) async fn does(&self, arguments: &[&'static str]) -> String {
        let arguments = arguments.to_vec();
        let output = spawn_blocking(move || Command::new(given("TEST_PATRONI_CTL")).args(arguments).output());
        let output = output.await.expect("no panic").expect("it runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
    }

    /// Returns how long it took until a new connection could write.
    pub(crate) async fn suffers(&self, fault: Fault) -> Duration {
        let began = now();
        let node = self.does(&[fault.command()]).await;
        let port = primary_port().await;
        let took = began.elapsed();
        println!("{fault:?} of {node}: a new connection writes after {took:?}, on the port {port}");
        let node = ["n1", "n2", "n3"].into_iter().find(|name| *name == node).expect("a node");
        match fault {
            Fault::Die => drop(self.does(&["revive", node]).await),
            Fault::Freeze => drop(self.does(&["thaw", node]).await),
            Fault::Crash | Fault::SwitchOver => {}
        }
        took
    }
}

/// Waits until HAProxy leads to a server that takes writes. Returns its port.
async fn primary_port() -> i32 {
    let began = now();
    loop {
        if let Ok(Ok(Some(port))) = timeout(Duration::from_secs(1), writable()).await {
            return port;
        }
        assert!(began.elapsed() < FAILOVER, "there is no new primary");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A commit waits for the synchronous replica, so this does, too.
async fn writable() -> Result<Option<i32>, tower_sliding_sessions::store::sqlx::Error> {
    let mut connection = PgConnection::connect(&url()).await?;
    let write = "SELECT CASE WHEN pg_is_in_recovery() THEN NULL \
                 WHEN pg_logical_emit_message(true, 'test', '') IS NOT NULL THEN inet_server_port() END";
    query_scalar(write).fetch_one(&mut connection).await
}
