//! A proxy in front of the server, in place of a name that follows the primary.

use std::sync::{
    Arc,
    atomic::{AtomicU16, AtomicU64, Ordering},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Forwards connections to a port of this machine. Open connections keep their target when it changes.
pub(crate) struct Proxy {
    port: u16,
    target: Arc<AtomicU16>,
    opened: Arc<AtomicU64>,
    hold: watch::Sender<Hold>,
}

/// Connections that the proxy accepts, and does not forward yet.
#[derive(Clone, Copy, Default)]
struct Hold {
    next: bool,
    held: u64,
}

impl Proxy {
    pub(crate) async fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (target, opened) = (Arc::new(AtomicU16::new(target)), Arc::new(AtomicU64::new(0)));
        let hold = watch::Sender::<Hold>::default();
        let proxy = Self { port, target: target.clone(), opened: opened.clone(), hold: hold.clone() };
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                opened.fetch_add(1, Ordering::Relaxed);
                let target = target.load(Ordering::Relaxed);
                let is_held = hold.send_if_modified(|hold| {
                    let is_held = std::mem::take(&mut hold.next);
                    hold.held += u64::from(is_held);
                    is_held
                });
                let mut held = hold.subscribe();
                tokio::spawn(async move {
                    if is_held {
                        let _released = held.wait_for(|hold| hold.held == 0).await.map(drop);
                    }
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

    /// Holds the next connection, until it is released.
    pub(crate) fn hold_next(&self) {
        self.hold.send_modify(|hold| hold.next = true);
    }

    pub(crate) fn holds_one(&self) -> bool {
        self.hold.borrow().held > 0
    }

    pub(crate) fn release(&self) {
        self.hold.send_modify(|hold| hold.held = 0);
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
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
