//! The real engines, Redis excepted, each with its own throw-away server, and how they are broken.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, atomic::AtomicU16},
    time::Duration,
};

use tokio::sync::watch;
use tower_sliding_sessions::store::{
    MemcachedStore, PostgresStore, SqliteStore,
    sqlx::{Connection as _, Executor as _, SqliteConnection},
};

use crate::{
    disk::Disk,
    faults::Faulty,
    history::Fault,
    instance::{INSTANCES, Open, build},
    link::{Mode, proxy},
    memcached_server, servers,
};

/// What a world needs of an engine.
pub(crate) struct Engine<F> {
    pub(crate) open: Open,
    pub(crate) links: Vec<Option<watch::Sender<Mode>>>,
    pub(crate) server: F,
}

/// A proxy for each instance.
pub(crate) async fn proxies(to: &Arc<AtomicU16>) -> (Vec<Option<watch::Sender<Mode>>>, Vec<SocketAddr>) {
    let (mut links, mut addresses) = (Vec::new(), Vec::new());
    for _ in 0..INSTANCES {
        let link = watch::Sender::new(Mode::Open);
        addresses.push(proxy(to.clone(), link.subscribe()).await);
        links.push(Some(link));
    }
    (links, addresses)
}

pub(crate) fn with_disk(mut faults: Vec<Fault>, disk: Option<&Disk>) -> Vec<Fault> {
    match disk {
        Some(_) => faults.push(Fault::DiskFull),
        None => println!("no full disk: this machine refuses to mount one"),
    }
    faults
}

/// A kill loses all sessions.
pub(crate) struct Memcached(memcached_server::Server);

pub(crate) async fn memcached() -> Engine<Memcached> {
    let server = memcached_server::Server::start(&[]).await;
    let address: SocketAddr = server.address().parse().expect("an address");
    let (links, addresses) = proxies(&Arc::new(address.port().into())).await;
    let open: Open = Arc::new(move |place, setup| {
        let store = MemcachedStore::new(&addresses[place].to_string());
        Box::pin(async move { Ok(build(store, setup)) })
    });
    Engine { open, links, server: Memcached(server) }
}

impl Faulty for Memcached {
    fn faults(&self) -> Vec<Fault> {
        vec![Fault::ServerPaused, Fault::ServerPaused, Fault::DataLost]
    }

    async fn begin(&mut self, fault: Fault) {
        if fault == Fault::DataLost { self.0.kill() } else { self.0.freeze() }
    }

    async fn end(&mut self, fault: Fault) {
        if fault == Fault::DataLost { self.0.restart().await } else { self.0.thaw() }
    }
}

pub(crate) struct Postgres {
    server: servers::Postgres,
    disk: Option<Disk>,
}

pub(crate) async fn postgres() -> Engine<Postgres> {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Disk::mount(folder.path(), 300);
    let server = servers::Postgres::start_in(folder);
    let (links, addresses) = proxies(&Arc::new(server.port.into())).await;
    let open: Open = Arc::new(move |place, setup| {
        let url = format!("postgres://postgres@{}/postgres", addresses[place]);
        Box::pin(async move { Ok(build(PostgresStore::connect(&url).await?, setup)) })
    });
    Engine { open, links, server: Postgres { server, disk } }
}

impl Postgres {
    /// The server's processes.
    fn processes(&self) -> Vec<String> {
        let file = fs::read_to_string(self.server.folder.path().join("data/postmaster.pid"));
        let Some(main) = file.ok().and_then(|file| Some(file.lines().next()?.trim().to_owned())) else {
            return Vec::new();
        };
        let children = fs::read_to_string(format!("/proc/{main}/task/{main}/children")).unwrap_or_default();
        let is_there = Path::new(&format!("/proc/{main}")).exists();
        let all = std::iter::once(main).filter(|_| is_there);
        all.chain(children.split_whitespace().map(str::to_owned)).collect()
    }

    /// Returns when the signal has taken effect.
    async fn signal(&self, signal: &str, has_effect: impl Fn(&str) -> bool) {
        let processes = self.processes();
        let _gone = Command::new("kill").arg(signal).args(&processes).stderr(Stdio::null()).status();
        for process in processes {
            for _ in 0..200 {
                let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
                if has_effect(&status) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    /// Starts it, unless it runs. A full disk may have ended it.
    async fn start_again(&self) {
        let is_up = || std::net::TcpStream::connect(("127.0.0.1", self.server.port)).is_ok();
        for _ in 0..20 {
            if is_up() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.kill().await;
        tokio::task::block_in_place(|| self.server.launch());
    }

    async fn kill(&self) {
        self.signal("-KILL", |status| status.is_empty() || status.contains("\nState:\tZ")).await;
        // Where no process collects the dead, these name a process that seems to live.
        let socket = format!(".s.PGSQL.{}.lock", self.server.port);
        for lock in ["data/postmaster.pid", &socket] {
            let _missing = fs::remove_file(self.server.folder.path().join(lock));
        }
    }
}

impl Faulty for Postgres {
    fn faults(&self) -> Vec<Fault> {
        with_disk(vec![Fault::ServerKilled, Fault::ServerPaused], self.disk.as_ref())
    }

    async fn begin(&mut self, fault: Fault) {
        match (fault, &self.disk) {
            (Fault::ServerKilled, _) => self.kill().await,
            (Fault::DiskFull, Some(disk)) => disk.fill(),
            _ => self.signal("-STOP", |status| status.contains("\nState:\tT")).await,
        }
    }

    async fn end(&mut self, fault: Fault) {
        match (fault, &self.disk) {
            (Fault::ServerKilled, _) => tokio::task::block_in_place(|| self.server.launch()),
            (Fault::DiskFull, Some(disk)) => {
                disk.free();
                self.start_again().await;
            }
            _ => self.signal("-CONT", |_| true).await,
        }
    }
}

/// A file. It has no server to kill, but it can be locked.
pub(crate) struct Sqlite {
    path: PathBuf,
    lock: Option<SqliteConnection>,
    disk: Option<Disk>,
    _folder: tempfile::TempDir,
}

pub(crate) fn sqlite() -> Engine<Sqlite> {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Disk::mount(folder.path(), 16);
    let path = folder.path().join("sessions.db");
    let opened = path.to_string_lossy().into_owned();
    let open: Open = Arc::new(move |_, setup| {
        let path = opened.clone();
        Box::pin(async move { Ok(build(SqliteStore::open(&path).await?, setup)) })
    });
    let links = (0..INSTANCES).map(|_| None).collect();
    Engine { open, links, server: Sqlite { path, lock: None, disk, _folder: folder } }
}

impl Faulty for Sqlite {
    fn faults(&self) -> Vec<Fault> {
        with_disk(vec![Fault::ServerPaused], self.disk.as_ref())
    }

    async fn begin(&mut self, fault: Fault) {
        match (fault, &self.disk) {
            (Fault::DiskFull, Some(disk)) => disk.fill(),
            _ => {
                let url = format!("sqlite:{}", self.path.display());
                let mut connection = SqliteConnection::connect(&url).await.expect("the file");
                connection.execute("PRAGMA busy_timeout = 10000").await.expect("a pragma");
                connection.execute("BEGIN EXCLUSIVE").await.expect("a lock");
                self.lock = Some(connection);
            }
        }
    }

    async fn end(&mut self, fault: Fault) {
        match (fault, &self.disk) {
            (Fault::DiskFull, Some(disk)) => disk.free(),
            _ => {
                if let Some(mut lock) = self.lock.take() {
                    lock.execute("ROLLBACK").await.expect("an open transaction");
                }
            }
        }
    }
}
