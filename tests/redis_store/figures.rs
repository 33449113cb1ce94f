//! Figures, printed by `cargo test ... figures -- --nocapture`.
#![expect(clippy::disallowed_methods, reason = "the test measures real time")]

use std::time::{Duration, Instant};

use serde_json::json;
use tower_sliding_sessions::{
    SessionId,
    store::{SessionKey, SessionStore as _, Subject},
};

use super::{
    now, open, record,
    records::{confirmed, edited},
    server::Server,
    store_at, subject,
};

async fn used_memory(server: &Server) -> usize {
    let info: String = server.ask("INFO memory").await;
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("a figure");
    line.trim().parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_for_each_live_session() {
    const SESSIONS: usize = 10_000;
    for (options, at_most) in [(&[][..], 850), (&["--hash-max-listpack-value", "512"], 700)] {
        let server = Server::start(options).await;
        let store = store_at(&server.url()).await;
        open(&store, &subject()).await;
        let before = used_memory(&server).await;
        let mut opening = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let store = store.clone();
            opening.spawn(async move {
                for _ in 0..SESSIONS / 16 {
                    let mut name = SessionId::random().expect("random bytes").encode();
                    name.truncate(36);
                    let subject = Subject { realm: "default".into(), name: name.into() };
                    let record = edited(&record(now()), |json| json["methods"] = json!(["pwd"]));
                    store.create(&subject, &record, None).await.expect("a session");
                }
            });
        }
        opening.join_all().await;
        let each = (used_memory(&server).await - before) / SESSIONS;
        println!("{each} bytes for each live session {options:?}");
        assert!(each < at_most, "{each} bytes for each session");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotations_in_a_second() {
    let server = Server::start(&[]).await;
    let store = store_at(&server.url()).await;
    for in_flight in [1, 32] {
        let started = Instant::now();
        let mut rotating = tokio::task::JoinSet::new();
        for _ in 0..in_flight {
            let store = store.clone();
            let key: SessionKey = open(&store, &subject()).await;
            rotating.spawn(async move {
                let mut rotated = 0;
                while started.elapsed() < Duration::from_secs(1) {
                    let at = now();
                    let rotation = store.advance(&key, rotated, at).await.expect("an answer");
                    assert!(rotation.applied);
                    let record = confirmed(&rotation.record.expect("the session exists"), at);
                    let confirmed = store.replace(&key, rotation.version, &record, None).await;
                    assert!(confirmed.expect("an answer").applied);
                    rotated += 1;
                }
                rotated
            });
        }
        let rotated: u64 = rotating.join_all().await.into_iter().sum();
        println!("{} changes in a second with {in_flight} in flight", rotated * 2);
    }
}
