//! What it costs: bytes for each session, and operations a second. Printed with `--nocapture`.

use std::time::Duration;

use tokio::{task::JoinSet, time::Instant};
use tower_sliding_sessions::{
    SessionId,
    protocol::Advance,
    store::{SessionStore as _, SqliteStore, sqlx},
};

use crate::file::{Folder, now, open, record, subject};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_disk_that_a_live_session_takes() {
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
    assert!((200..700).contains(&bytes), "the documentation says otherwise");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn renewals_a_second() {
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.file()).await.expect("it opens");
    for (what, rotates) in [("rotations", true), ("re-issues", false)] {
        for in_flight in [1, 32] {
            let (mut running, began) = (JoinSet::new(), Instant::now());
            for _ in 0..in_flight {
                let store = store.clone();
                running.spawn(async move {
                    let (key, start) = (open(&store, now()).await, now());
                    let mut done = 0;
                    while began.elapsed() < Duration::from_secs(1) {
                        let from = if rotates { done } else { 0 };
                        let confirmed_by = if rotates { start } else { start - Duration::from_secs(60) };
                        store
                            .advance(&key, &Advance { from, confirmed_by, at: start })
                            .await
                            .expect("it is there");
                        done += 1;
                        if rotates {
                            // Rotations want a confirmed generation; this makes it two writes.
                            store.confirm(&key, done, start).await.expect("it is there");
                        }
                    }
                    done
                });
            }
            let total: u64 = running.join_all().await.into_iter().sum();
            println!("SQLite: {total} {what} a second with {in_flight} in flight");
        }
    }
}
