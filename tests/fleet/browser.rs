//! Browsers that send requests to one instance after another.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::http::StatusCode;

use crate::client::{Client, Jar};

/// The outcomes of all requests.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) served: AtomicUsize,
    /// 503, or no response.
    pub(crate) unavailable: AtomicUsize,
    /// 401: a session ended.
    pub(crate) refused: AtomicUsize,
    pub(crate) removals: AtomicUsize,
}

pub(crate) struct Crowd {
    pub(crate) tally: Arc<Tally>,
    done: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Crowd {
    /// Signs in `browsers` browsers. Each sends a request every `pause`, to one instance after another.
    pub(crate) async fn start(browsers: usize, pause: Duration, addresses: Vec<SocketAddr>) -> Self {
        let (tally, done) = (Arc::<Tally>::default(), Arc::<AtomicBool>::default());
        let mut tasks = Vec::new();
        for index in 0..browsers {
            let jar = sign_in(addresses[index % addresses.len()], &format!("index {index}")).await;
            let (tally, done, addresses) = (tally.clone(), done.clone(), addresses.clone());
            tasks.push(tokio::spawn(send_until_done(index, jar, pause, addresses, tally, done)));
        }
        Self { tally, done, tasks }
    }

    pub(crate) async fn stop(self) -> Arc<Tally> {
        self.done.store(true, Ordering::SeqCst);
        for task in self.tasks {
            task.await.expect("no panic");
        }
        self.tally
    }
}

async fn send_until_done(
    index: usize,
    mut jar: Jar,
    pause: Duration,
    addresses: Vec<SocketAddr>,
    tally: Arc<Tally>,
    done: Arc<AtomicBool>,
) {
    let mut at = index;
    while !done.load(Ordering::SeqCst) {
        at += 1;
        let client = Client::to(addresses[at % addresses.len()]);
        let answer = client.try_send("GET", "/me", &jar, "", &[]).await;
        let count = match &answer {
            Ok(answer) if answer.status == StatusCode::OK => &tally.served,
            Ok(answer) if answer.status == StatusCode::UNAUTHORIZED => &tally.refused,
            _ => &tally.unavailable,
        };
        count.fetch_add(1, Ordering::SeqCst);
        if let Ok(answer) = &answer {
            tally.removals.fetch_add(usize::from(answer.removes_a_cookie()), Ordering::SeqCst);
            jar.take(answer);
        }
        tokio::time::sleep(pause).await;
    }
}

/// Signs in, and tries again while the instance does not respond.
pub(crate) async fn sign_in(address: SocketAddr, user: &str) -> Jar {
    let body = serde_json::json!({"user": user}).to_string();
    let client = Client::to(address);
    for _ in 0..50 {
        let answer = client.try_send("POST", "/login", &Jar::default(), &body, &[]).await;
        if let Some(answer) = answer.ok().filter(|answer| answer.status == StatusCode::OK) {
            let mut jar = Jar::default();
            jar.take(&answer);
            return jar;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{address} accepts no sign-in");
}
