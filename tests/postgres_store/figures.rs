//! What it costs: bytes for each session, and operations a second. Printed with `--nocapture`.

use std::time::Duration;

use tokio::{task::JoinSet, time::Instant};
use tower_sliding_sessions::{
    SessionId,
    protocol::Advance,
    store::{PostgresStore, SessionStore as _, sqlx},
};

use crate::server::{fresh, now, open, pool, record, schema_url, subject};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_disk_that_a_live_session_takes() {
    const SESSIONS: i64 = 10_000;
    let url = schema_url().await;
    let store = PostgresStore::connect(&url).await.expect("it starts");
    for _ in 0..SESSIONS {
        let name = SessionId::random().expect("random bytes").encode()[..36].to_owned();
        store.create(&subject(name), &record(now()), None).await.expect("it is created");
    }
    let bytes: i64 = sqlx::query_scalar("SELECT pg_total_relation_size('sliding_sessions')")
        .fetch_one(&pool(&url).await)
        .await
        .expect("the server knows");
    println!("PostgreSQL: {} bytes of disk for each live session", bytes / SESSIONS);
    assert!((200..700).contains(&(bytes / SESSIONS)), "the documentation says otherwise");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rotations_a_second() {
    let store = fresh().await;
    for in_flight in [1, 32] {
        let mut running = JoinSet::new();
        let began = Instant::now();
        for _ in 0..in_flight {
            let store = store.clone();
            running.spawn(async move {
                let (key, start) = (open(&store, now()).await, now());
                let mut rotations = 0;
                while began.elapsed() < Duration::from_secs(2) {
                    let advance = Advance { from: rotations / 2, confirmed_by: start, at: start };
                    // Every other one changes nothing: it is not confirmed yet.
                    store.advance(&key, &advance).await.expect("the server answers");
                    rotations += 1;
                    if rotations % 2 == 0 {
                        store.confirm(&key, rotations / 2, start).await.expect("the server answers");
                    }
                }
                rotations
            });
        }
        let total: u64 = running.join_all().await.into_iter().sum();
        println!("PostgreSQL: {} renewals a second with {in_flight} in flight", total / 2);
    }
}
