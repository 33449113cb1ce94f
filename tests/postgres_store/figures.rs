//! Figures: bytes for each session, and operations per second. Printed with `--nocapture`.

use tokio::{task::JoinSet, time::Instant};
use tower_sliding_sessions::{
    SessionId,
    store::{PostgresStore, SessionStore as _, sqlx},
};

use crate::server::{fresh, now, open, pool, record, schema_url, subject};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn disk_space_of_a_live_session() {
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
    assert!((200..700).contains(&(bytes / SESSIONS)), "outside the range in the documentation");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn advances_a_second() {
    const SESSIONS: u32 = 1600;
    let store = fresh().await;
    for in_flight in [1, 32] {
        let at = now();
        let mut tasks = Vec::new();
        for _ in 0..in_flight {
            let mut keys = Vec::new();
            for _ in 0..SESSIONS / in_flight {
                keys.push(open(&store, at).await);
            }
            tasks.push(keys);
        }
        // The first call applies. Then the generation differs, and there is nothing to write.
        for what in ["that apply", "that change nothing"] {
            let (mut running, began) = (JoinSet::new(), Instant::now());
            for keys in tasks.clone() {
                let store = store.clone();
                running.spawn(async move {
                    for key in keys {
                        let answer = store.advance(&key, 0, at).await.expect("it answers");
                        assert_eq!(answer.applied, what == "that apply");
                    }
                });
            }
            running.join_all().await;
            let rate = f64::from(SESSIONS) / began.elapsed().as_secs_f64();
            println!("PostgreSQL: {rate:.0} advances a second {what}, {in_flight} in flight");
        }
    }
}
