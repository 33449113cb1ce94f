//! Open streams and sockets close when their session ends, on another instance too.

use std::{net::SocketAddr, time::Duration};

use axum::http::StatusCode;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{browser, client::Jar, instance::Instance, servers::Shared, sign_out::now};

const TRIES: usize = 10;

pub(crate) async fn check(store: &mut impl Shared) {
    let fleet: Vec<_> = (0..2).map(|_| Instance::start(&store.url(), &[])).collect();
    let mut lags = Vec::new();
    for n in 0..TRIES {
        let user = format!("watcher {n}");
        let phone = browser::sign_in(fleet[0].address, &user).await;
        let laptop = browser::sign_in(fleet[1].address, &user).await;
        let mut stream = Open::stream(fleet[0].address, &phone).await;
        let mut socket = Open::socket(fleet[0].address, &phone).await;
        let mut mine = Open::stream(fleet[1].address, &laptop).await;
        let ended = fleet[1].client().post("/sessions/revoke-others", &laptop, "").await;
        assert_eq!(ended.status, StatusCode::NO_CONTENT);
        let since = now();
        stream.read_until(b"event: ended").await;
        // The last chunk (RFC 9112, section 7.1): the body has ended.
        stream.read_until(b"\r\n0\r\n\r\n").await;
        // A close frame (RFC 6455, section 5.5.1) begins with the code: 4401.
        socket.read_until(&4401_u16.to_be_bytes()).await;
        socket.read_to_end().await;
        lags.push(since.elapsed());
        assert!(!mine.has(b"event: ended"), "the stream of the revoking session continues");
        if n == 0 {
            mine.read_until(b"data: 2").await;
        }
    }
    lags.sort();
    let (median, worst) = (lags[lags.len() / 2], lags[lags.len() - 1]);
    println!("streams closed after a sign-out elsewhere: median {median:?}, worst {worst:?}, of {TRIES}");
    assert!(worst < Duration::from_secs(1), "{worst:?}");
}

/// A response whose body stays open.
struct Open {
    connection: TcpStream,
    read: Vec<u8>,
}

impl Open {
    async fn stream(address: SocketAddr, jar: &Jar) -> Self {
        let mut open = Self::get(address, "/stream", jar, "").await;
        open.read_until(b"data: 1").await;
        assert!(open.has(b"200 OK"));
        open
    }

    async fn socket(address: SocketAddr, jar: &Jar) -> Self {
        let handshake = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let mut open = Self::get(address, "/ws", jar, handshake).await;
        open.read_until(b"\r\n\r\n").await;
        assert!(open.has(b"101 Switching"), "{}", String::from_utf8_lossy(&open.read));
        open
    }

    async fn get(address: SocketAddr, path: &str, jar: &Jar, headers: &str) -> Self {
        let mut connection = TcpStream::connect(address).await.expect("the instance listens");
        let cookies = jar.header();
        let head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nCookie: {cookies}\r\n{headers}\r\n");
        connection.write_all(head.as_bytes()).await.expect("it reads");
        Self { connection, read: Vec::new() }
    }

    fn has(&self, text: &[u8]) -> bool {
        self.read.windows(text.len()).any(|part| part == text)
    }

    async fn read_until(&mut self, text: &[u8]) {
        let deadline = Duration::from_secs(10);
        let found = async {
            while !self.has(text) {
                let read = self.connection.read_buf(&mut self.read).await.expect("it answers");
                assert!(read > 0, "it closed: {}", String::from_utf8_lossy(&self.read));
            }
        };
        tokio::time::timeout(deadline, found).await.expect("it comes");
    }

    async fn read_to_end(&mut self) {
        let deadline = Duration::from_secs(10);
        let end = tokio::time::timeout(deadline, self.connection.read_to_end(&mut self.read)).await;
        end.expect("it closes").expect("without an error");
    }
}
