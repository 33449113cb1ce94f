//! Figures: bytes for each session, and operations per second. Printed with `--nocapture`.

use tokio::{task::JoinSet, time::Instant};
use tower_sliding_sessions::{
    SessionId,
    store::{SessionStore as _, SqliteStore, sqlx},
};

use crate::file::{Folder, now, open, record, subject};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn disk_space_of_a_live_session() {
    const SESSIONS: u64 = 10_000;
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.file()).await.expect("it opens");
    for _ in 0..SESSIONS {
        let name = SessionId::random().expect("random bytes").encode()[..36].to_owned();
        store.create(&subject(name), &record(now()), None).await.expect("it is created");
    }
    let admin = sqlx::SqlitePool::connect(&folder.file()).await.expect("it opens");
    sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&admin).await.expect("all is in the file");
    let bytes = std::fs::metadata(folder.file()).expect("it is there").len() / SESSIONS;
    println!("SQLite: {bytes} bytes of disk for each live session");
    assert!((200..700).contains(&bytes), "outside the range in the documentation");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn advances_a_second() {
    const SESSIONS: u32 = 1600;
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.file()).await.expect("it opens");
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
            println!("SQLite: {rate:.0} advances a second {what}, {in_flight} in flight");
        }
    }
}
