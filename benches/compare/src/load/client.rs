//! A cheap client, so that the server is what is measured.

use std::{cell::RefCell, net::SocketAddr, rc::Rc, time::Instant};

use http::HeaderValue;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    runtime::Builder,
    task::LocalSet,
};

#[derive(Clone, Debug)]
pub struct Load {
    pub name: &'static str,
    pub connections: usize,
    pub rate: f64,
    /// The 50th, 99th and 99.9th percentile, in microseconds.
    pub latencies: [u32; 3],
}

/// The bytes of a request.
pub fn get(cookies: &HeaderValue) -> Vec<u8> {
    let cookies = cookies.to_str().expect("ASCII");
    format!("GET /me HTTP/1.1\r\nhost: app.example\r\ncookie: {cookies}\r\n\r\n").into_bytes()
}

/// Sends each of `requests` once, over this many connections, each of which waits for its response.
pub fn run(name: &'static str, address: SocketAddr, connections: usize, requests: Vec<Vec<u8>>) -> Load {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let total = requests.len();
    let (requests, latencies) =
        (Rc::new(RefCell::new(requests)), Rc::new(RefCell::new(Vec::with_capacity(total))));
    let tasks = LocalSet::new();
    let taken = tasks.block_on(&runtime, async {
        let mut streams = Vec::new();
        for _ in 0..connections {
            let stream = TcpStream::connect(address).await.expect("a connection");
            stream.set_nodelay(true).expect("an open socket");
            streams.push(stream);
        }
        let start = Instant::now();
        let running: Vec<_> = streams
            .into_iter()
            .map(|mut stream| {
                let (requests, latencies) = (requests.clone(), latencies.clone());
                tokio::task::spawn_local(async move {
                    let mut answer = vec![0; 16 * 1024];
                    loop {
                        let Some(request) = requests.borrow_mut().pop() else { return };
                        let sent = Instant::now();
                        exchange(&mut stream, &request, &mut answer).await;
                        latencies
                            .borrow_mut()
                            .push(u32::try_from(sent.elapsed().as_nanos()).unwrap_or(u32::MAX));
                    }
                })
            })
            .collect();
        for task in running {
            task.await.expect("no panic");
        }
        start.elapsed()
    });
    let mut latencies = latencies.take();
    latencies.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize] / 1000;
    Load {
        name,
        connections,
        rate: total as f64 / taken.as_secs_f64(),
        latencies: [at(0.5), at(0.99), at(0.999)],
    }
}

async fn exchange(stream: &mut TcpStream, request: &[u8], answer: &mut [u8]) {
    stream.write_all(request).await.expect("it is sent");
    let mut len = 0;
    loop {
        let read = stream.read(&mut answer[len..]).await.expect("an answer");
        assert!(read > 0, "closed");
        len += read;
        // Every response has one small body, which arrives with its head.
        if let Some(head) = answer[..len].windows(4).rposition(|four| four == b"\r\n\r\n") {
            if len > head + 4 {
                break;
            }
        }
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..len]));
}

/// The medians of several loads of the same kind.
pub fn pooled(mut loads: Vec<Load>) -> Load {
    let middle = loads.len() / 2;
    let mut of = |index: usize| {
        loads.sort_by_key(|load| load.latencies[index]);
        loads[middle].latencies[index]
    };
    let latencies = [of(0), of(1), of(2)];
    loads.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    Load { latencies, ..loads[middle].clone() }
}
