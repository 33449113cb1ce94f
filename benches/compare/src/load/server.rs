//! Serves routers on its own thread.

use std::{net::SocketAddr, thread};

use axum::Router;
use tokio::{
    net::TcpListener,
    runtime::{Builder, Handle},
};

pub struct Server(Handle);

impl Server {
    pub fn new() -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let handle = runtime.handle().clone();
        // It lives as long as the process.
        thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
        Self(handle)
    }

    pub fn block_on<F: Future<Output: Send> + Send>(&self, future: F) -> F::Output {
        self.0.block_on(future)
    }

    pub fn within<T>(&self, make: impl FnOnce() -> T) -> T {
        let _entered = self.0.enter();
        make()
    }

    pub fn serve(&self, app: Router) -> SocketAddr {
        self.0.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address");
            tokio::spawn(async move { axum::serve(TapIo(listener), app).await });
            address
        })
    }
}

/// Sends at once, without waiting for more data.
struct TapIo(TcpListener);

impl axum::serve::Listener for TapIo {
    type Io = tokio::net::TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        let (stream, address) = axum::serve::Listener::accept(&mut self.0).await;
        stream.set_nodelay(true).expect("an open socket");
        (stream, address)
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}
