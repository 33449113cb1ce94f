//! The SQLite store: the conformance suite, and what only a file can do.

#![expect(clippy::expect_used, clippy::panic, reason = "in a test, that is how things fail")]

use tower_sliding_sessions::store::SqliteStore;

mod suite {
    use super::*;
    use tower_sliding_sessions::store::conformance::store_conformance;

    store_conformance!(crate::fresh);
}

/// A store in a file of its own.
pub async fn fresh() -> SqliteStore {
    let dir = std::env::temp_dir().join(format!(
        "tss-{}-{}",
        std::process::id(),
        N.fetch_add(1, std::sync::atomic::Ordering::SeqCst)
    ));
    std::fs::create_dir_all(&dir).expect("dir");
    SqliteStore::open(dir.join("s.db").to_str().expect("utf8")).await.expect("opens")
}
static N: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
