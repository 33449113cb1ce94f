//! Servers that a test can stop, and a proxy that counts.

use std::{
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{freeze, port::free_port};

/// A Memcached server, killed on drop.
pub(crate) struct Server {
    child: Child,
    port: u16,
    options: Vec<String>,
}

impl Server {
    pub(crate) async fn start(options: &[&str]) -> Self {
        let port = free_port();
        let options: Vec<_> = options.iter().map(|option| (*option).to_owned()).collect();
        let server = Self { child: spawn(port, &options), port, options };
        server.ready().await;
        server
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    async fn ready(&self) {
        for _ in 0..200 {
            if TcpStream::connect(self.address()).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("memcached does not answer");
    }

    /// The response to a line.
    pub(crate) async fn ask(&self, line: &str) -> String {
        let mut stream = TcpStream::connect(self.address()).await.expect("a connection");
        stream.write_all(format!("{line}\r\nquit\r\n").as_bytes()).await.expect("it listens");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer
    }

    pub(crate) fn freeze(&self) {
        freeze::freeze(&self.child);
    }

    pub(crate) fn thaw(&self) {
        freeze::thaw(&self.child);
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it has ended");
    }

    pub(crate) async fn restart(&mut self) {
        self.child = spawn(self.port, &self.options);
        self.ready().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(port: u16, options: &[String]) -> Child {
    // As root, Memcached requires a user to run as.
    Command::new("memcached")
        .args(["-l", "127.0.0.1", "-u", "nobody", "-p", &port.to_string()])
        .args(options)
        .stdout(Stdio::null())
        .spawn()
        .expect("memcached is installed (tests/servers/memcached)")
}

/// A proxy that counts the requests sent after a response.
pub(crate) async fn counting(address: String) -> (String, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let here = listener.local_addr().expect("an address").to_string();
    let trips = Arc::new(AtomicUsize::new(0));
    let counted = trips.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&address).await.expect("a server");
            tokio::spawn(relay(client, server, trips.clone()));
        }
    });
    (here, counted)
}

async fn relay(mut client: TcpStream, mut server: TcpStream, trips: Arc<AtomicUsize>) {
    let (mut asked, mut answered) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    let mut waiting = false;
    loop {
        let (read, to_server) = tokio::select! {
            read = client.read(&mut asked) => (read, true),
            read = server.read(&mut answered) => (read, false),
        };
        let Ok(read @ 1..) = read else { return };
        let written = if to_server {
            trips.fetch_add(usize::from(!std::mem::replace(&mut waiting, true)), Ordering::SeqCst);
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

/// A proxy that loses the next responses to writes, each with its connection: the server executes the
/// write, and the client gets no response.
pub(crate) async fn losing_answers(address: String, answers: usize) -> (String, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let here = listener.local_addr().expect("an address").to_string();
    let to_lose = Arc::new(AtomicUsize::new(answers));
    let left = to_lose.clone();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = TcpStream::connect(&address).await.expect("a server");
            let to_lose = to_lose.clone();
            tokio::spawn(async move {
                let (mut asked, mut answered) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
                loop {
                    let Ok(read @ 1..) = client.read(&mut asked).await else { return };
                    if server.write_all(&asked[..read]).await.is_err() {
                        return;
                    }
                    let Ok(answer @ 1..) = server.read(&mut answered).await else { return };
                    let is_write = asked.starts_with(b"cas ") || asked.starts_with(b"add tss");
                    if is_write && to_lose.load(Ordering::SeqCst) > 0 {
                        to_lose.fetch_sub(1, Ordering::SeqCst);
                        return;
                    }
                    if client.write_all(&answered[..answer]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (here, left)
}
