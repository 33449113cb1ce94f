//! A proxy in front of the server, in place of a name that follows the primary.

use std::sync::{
    Arc,
    atomic::{AtomicU16, AtomicU64, Ordering},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};

/// Forwards connections to a port of this machine. Open connections keep their target when it changes.
pub(crate) struct Proxy {
    port: u16,
    target: Arc<AtomicU16>,
    opened: Arc<AtomicU64>,
}

impl Proxy {
    pub(crate) async fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (target, opened) = (Arc::new(AtomicU16::new(target)), Arc::new(AtomicU64::new(0)));
        let proxy = Self { port, target: target.clone(), opened: opened.clone() };
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                opened.fetch_add(1, Ordering::Relaxed);
                let target = target.load(Ordering::Relaxed);
                tokio::spawn(async move {
                    if let Ok(mut server) = TcpStream::connect(("127.0.0.1", target)).await {
                        let _closed = copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        });
        proxy
    }

    pub(crate) fn move_to(&self, target: u16) {
        self.target.store(target, Ordering::Relaxed);
    }

    /// The number of connections opened through it.
    pub(crate) fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// The server's URL through the proxy.
    pub(crate) fn url(&self, server: &str) -> String {
        server.replacen(&format!(":{}/", port_of(server)), &format!(":{}/", self.port), 1)
    }
}

/// The port in `postgres://user:password@host:port/database`.
pub(crate) fn port_of(url: &str) -> u16 {
    let port = url.rsplit_once(':').and_then(|(_, rest)| rest.split('/').next());
    port.and_then(|port| port.parse().ok()).expect("a port")
}
