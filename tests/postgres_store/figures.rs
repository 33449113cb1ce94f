//! The bytes for each session, printed with `--nocapture`.

use tower_sliding_sessions::{
    SessionId,
    store::{PostgresStore, SessionStore as _, sqlx},
};

use crate::server::{now, pool, record, schema_url, subject};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn disk_space_of_a_live_session() {
    let sessions: i64 = std::env::var("SESSIONS").map_or(2_000, |text| text.parse().expect("a number"));
    let url = schema_url().await;
    let store = PostgresStore::connect(&url).await.expect("it starts");
    for _ in 0..sessions {
        let name = SessionId::random().expect("random bytes").encode()[..36].to_owned();
        store.create(&subject(name), &record(now()), None).await.expect("it is created");
    }
    let bytes: i64 = sqlx::query_scalar("SELECT pg_total_relation_size('sliding_sessions')")
        .fetch_one(&pool(&url).await)
        .await
        .expect("the server knows");
    println!("PostgreSQL: {} bytes of disk for each live session", bytes / sessions);
    assert!((200..700).contains(&(bytes / sessions)), "outside the range in the documentation");
}
