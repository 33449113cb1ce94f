//! Redis with a replica.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use tower_sliding_sessions::store::RedisStore;

use crate::{
    disk::Disk,
    engines::{Engine, proxies, with_disk},
    faults::Faulty,
    history::Fault,
    instance::{Open, build},
    redis_server::Server,
};

pub(crate) struct Redis {
    primary: Server,
    replica: Server,
    /// The primary's disk. The other one is never full.
    disk: Option<Disk>,
    is_on_disk: bool,
    /// Where the instances connect to.
    port: Arc<AtomicU16>,
}

pub(crate) async fn redis() -> Engine<Redis> {
    let folder = tempfile::tempdir().expect("a folder").keep();
    let disk = Disk::mount(&folder, 64);
    let dir = folder.to_string_lossy().into_owned();
    // With `everysec`, Redis may answer before the write has reached the operating system, and a kill loses it. A
    // history of 30 minutes found that.
    let durable = ["--appendonly", "yes", "--appendfsync", "always"];
    let primary = Server::start(&[&durable[..], &["--dir", &dir]].concat()).await;
    let replica = Server::start(&durable).await;
    follow(&replica, &primary).await;
    let port = Arc::new(AtomicU16::new(primary.port));
    let (links, addresses) = proxies(&port).await;
    let open: Open = Arc::new(move |place, setup| {
        let url = format!("redis://{}/", addresses[place]);
        Box::pin(async move { Ok(build(RedisStore::connect(&url).await?, setup)) })
    });
    Engine { open, links, server: Redis { primary, replica, disk, is_on_disk: true, port } }
}

async fn follow(replica: &Server, primary: &Server) {
    let _ok: String = replica.ask(&format!("REPLICAOF 127.0.0.1 {}", primary.port)).await;
}

/// Returns when the replica has all data, or after some seconds: a primary that fails at the same time has none to
/// give.
async fn is_in_step(replica: &Server) {
    for _ in 0..100 {
        let info: String = replica.ask("INFO replication").await;
        if info.contains("master_link_status:up") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

impl Redis {
    /// Promotes the replica. The former primary follows it.
    async fn fail_over(&mut self) {
        self.primary.kill();
        self.port.store(self.replica.port, Ordering::SeqCst);
        std::mem::swap(&mut self.primary, &mut self.replica);
        self.is_on_disk = !self.is_on_disk;
        self.replica.restart().await;
        follow(&self.replica, &self.primary).await;
    }
}

impl Faulty for Redis {
    fn faults(&self) -> Vec<Fault> {
        let faults = vec![Fault::ServerKilled, Fault::ServerPaused, Fault::StaleFailover];
        with_disk(faults, self.disk.as_ref())
    }

    async fn begin(&mut self, fault: Fault) {
        match (fault, &self.disk) {
            (Fault::ServerKilled, _) => self.primary.kill(),
            // It no longer follows, and still accepts no client.
            (Fault::StaleFailover, _) => {
                is_in_step(&self.replica).await;
                let _ok: String = self.replica.ask("REPLICAOF NO ONE").await;
            }
            (Fault::DiskFull, Some(disk)) if self.is_on_disk => disk.fill(),
            _ => self.primary.freeze(),
        }
    }

    async fn end(&mut self, fault: Fault) {
        match (fault, &self.disk) {
            (Fault::ServerKilled, _) => self.primary.restart().await,
            (Fault::StaleFailover, _) => self.fail_over().await,
            (Fault::DiskFull, Some(disk)) if self.is_on_disk => {
                disk.free();
                // It ends when it cannot write.
                self.primary.kill();
                self.primary.restart().await;
            }
            _ => self.primary.thaw(),
        }
    }
}
