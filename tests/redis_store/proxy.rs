//! A proxy between a store and its server that can stop forwarding, switch servers, and count.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
};

#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) port: u16,
    target: Arc<AtomicU16>,
    /// Closes the open connections each time it changes.
    cut: watch::Sender<()>,
    /// Connections opened before this changed forward nothing. Later ones do.
    silence: Arc<std::sync::Mutex<Arc<AtomicBool>>>,
    trips: Arc<AtomicUsize>,
    /// The number of script responses still to be lost, each with its connection.
    to_lose: Arc<AtomicUsize>,
}

impl Proxy {
    pub(crate) async fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let proxy = Self {
            port: listener.local_addr().expect("an address").port(),
            target: Arc::new(AtomicU16::new(target)),
            cut: watch::Sender::new(()),
            silence: Arc::default(),
            trips: Arc::default(),
            to_lose: Arc::default(),
        };
        let relaying = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let proxy = relaying.clone();
                tokio::spawn(async move {
                    let mut cut = proxy.cut.subscribe();
                    tokio::select! {
                        () = proxy.relay(client) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        proxy
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Closes all connections. The next ones go to another server.
    pub(crate) fn move_to(&self, target: u16) {
        self.point_to(target);
        self.cut.send_replace(());
    }

    /// The next connections go to another server.
    pub(crate) fn point_to(&self, target: u16) {
        self.target.store(target, Ordering::SeqCst);
    }

    /// The open connections stay open, and forward nothing from now on.
    pub(crate) fn swallow(&self) {
        let mut silence = self.silence.lock().expect("no panic");
        std::mem::take(&mut *silence).store(true, Ordering::SeqCst);
    }

    /// Loses the next script responses: the server executes each script, and then the connection is
    /// closed.
    pub(crate) fn lose_answers(&self, answers: usize) {
        self.to_lose.store(answers, Ordering::SeqCst);
    }

    /// The number of responses still to be lost.
    pub(crate) fn answers_to_lose(&self) -> usize {
        self.to_lose.load(Ordering::SeqCst)
    }

    /// The number of requests that were sent after a response.
    pub(crate) fn trips(&self) -> usize {
        self.trips.load(Ordering::SeqCst)
    }

    async fn relay(&self, mut client: TcpStream) {
        let silent = self.silence.lock().expect("no panic").clone();
        let target = ("127.0.0.1", self.target.load(Ordering::SeqCst));
        let Ok(mut server) = TcpStream::connect(target).await else { return };
        let (mut asked, mut answered) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
        let mut waiting = false;
        loop {
            let (read, to_server) = tokio::select! {
                read = client.read(&mut asked) => (read, true),
                read = server.read(&mut answered) => (read, false),
            };
            let Ok(read @ 1..) = read else { return };
            if silent.load(Ordering::SeqCst) {
                continue;
            }
            let script = to_server && asked[..read].windows(4).any(|word| word == b"EVAL");
            if script && self.answers_to_lose() > 0 {
                let _ = server.write_all(&asked[..read]).await;
                let _ = server.read(&mut answered).await;
                self.to_lose.fetch_sub(1, Ordering::SeqCst);
                return;
            }
            let written = if to_server {
                if !std::mem::replace(&mut waiting, true) {
                    self.trips.fetch_add(1, Ordering::SeqCst);
                }
                server.write_all(&asked[..read]).await
            } else {
                waiting = false;
                client.write_all(&answered[..read]).await
            };
            if written.is_err() {
                return;
            }
        }
    }
}
