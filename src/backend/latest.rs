use quick_cache::sync::Cache;

use crate::id::SessionId;

/// How many sessions are remembered. Forgetting one costs a store call or a repeated event.
const CAPACITY: usize = 16 * 1024;

/// The latest number that was noted for each session: mostly a generation.
#[derive(Debug)]
pub(crate) struct LatestGenerations(Cache<SessionId, u64>);

impl LatestGenerations {
    pub(super) fn new() -> Self {
        Self(Cache::new(CAPACITY))
    }

    /// Notes `generation`. Returns whether it is later than the last one.
    pub(crate) fn note_if_newer(&self, session: SessionId, generation: u64) -> bool {
        let is_new = self.0.get(&session).is_none_or(|latest| latest < generation);
        if is_new {
            self.0.insert(session, generation);
        }
        is_new
    }

    pub(crate) fn forget(&self, session: &SessionId) {
        self.0.remove(session);
    }
}
