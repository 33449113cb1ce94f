//! The bytes for each session, printed with `--nocapture`.

use tower_sliding_sessions::{
    SessionId,
    store::{SessionStore as _, SqliteStore, sqlx},
};

use crate::file::{Folder, now, record, subject};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn disk_space_of_a_live_session() {
    let sessions: u64 = std::env::var("SESSIONS").map_or(2_000, |text| text.parse().expect("a number"));
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.file()).await.expect("it opens");
    for _ in 0..sessions {
        let name = SessionId::random().expect("random bytes").encode()[..36].to_owned();
        store.create(&subject(name), &record(now()), None).await.expect("it is created");
    }
    let admin = sqlx::SqlitePool::connect(&folder.file()).await.expect("it opens");
    sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&admin).await.expect("all is in the file");
    let bytes = std::fs::metadata(folder.file()).expect("it is there").len() / sessions;
    println!("SQLite: {bytes} bytes of disk for each live session");
    assert!((200..700).contains(&bytes), "outside the range in the documentation");
}
