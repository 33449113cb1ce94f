//! The conformance suite against the memory store, what only the memory store promises, and the
//! proof that the suite can fail.

use tower_sliding_sessions::store::MemoryStore;

async fn store() -> MemoryStore {
    MemoryStore::new().expect("random bytes")
}

mod conformance {
    tower_sliding_sessions::store_conformance!(super::store);
}
