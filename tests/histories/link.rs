//! The connection of one instance to its store, which can be cut, silenced and slowed down.
//!
//! For servers it is a TCP proxy, which needs no rights: network namespaces are refused in most containers. A store in
//! this process, or in a file, has the same faults in [`recording`](crate::recording).

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Open,
    Cut,
    Silent,
    LosesAnswers,
    Slow(Duration),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToServer,
    FromServer,
}

/// Starts a proxy to a port of this machine, which may change. Returns the address that the instance connects to.
pub(crate) async fn proxy(to: Arc<AtomicU16>, mode: watch::Receiver<Mode>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(relay(client, to.clone(), mode.clone()));
        }
    });
    address
}

async fn relay(client: TcpStream, to: Arc<AtomicU16>, mut mode: watch::Receiver<Mode>) {
    let forwards = |mode: &Mode| !matches!(mode, Mode::Silent);
    if *mode.borrow() == Mode::Cut || mode.wait_for(forwards).await.is_err() {
        return;
    }
    let port = to.load(Ordering::SeqCst);
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let ((client_in, client_out), (server_in, server_out)) = (client.into_split(), server.into_split());
    let mut cut = mode.clone();
    tokio::select! {
        () = forward(client_in, server_out, Direction::ToServer, mode.clone()) => {}
        () = forward(server_in, client_out, Direction::FromServer, mode) => {}
        _ = cut.wait_for(|mode| *mode == Mode::Cut) => {}
    }
}

async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    direction: Direction,
    mode: watch::Receiver<Mode>,
) {
    let mut bytes = vec![0; 64 * 1024];
    // What was swallowed is missing from then on, so the connection forwards nothing more.
    let mut broken = false;
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        let now = *mode.borrow();
        match now {
            Mode::Silent => broken = true,
            Mode::LosesAnswers if direction == Direction::FromServer => broken = true,
            Mode::Slow(by) if direction == Direction::FromServer => tokio::time::sleep(by).await,
            _ => {}
        }
        if !broken && to.write_all(bytes.get(..read).unwrap_or_default()).await.is_err() {
            return;
        }
    }
}
