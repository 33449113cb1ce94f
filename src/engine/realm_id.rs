use std::sync::atomic::{AtomicU64, Ordering};

/// Tells the engines of this process apart, also two with one realm's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RealmId(u64);

impl RealmId {
    pub(super) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}
