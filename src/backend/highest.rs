use quick_cache::sync::Cache;

use crate::id::SessionId;

/// How many sessions are kept. For a session that is not kept any more, a store call or an event may be repeated.
const CAPACITY: usize = 16 * 1024;

/// The highest number that was noted for each session: a generation, or a minute.
#[derive(Debug)]
pub(crate) struct HighestNumbers(Cache<SessionId, u64>);

impl HighestNumbers {
    pub(super) fn new() -> Self {
        Self(Cache::new(CAPACITY))
    }

    /// Notes `number`. Returns whether it is higher than the last one.
    pub(crate) fn note_if_higher(&self, session: SessionId, number: u64) -> bool {
        let is_higher = self.0.get(&session).is_none_or(|highest| highest < number);
        if is_higher {
            self.0.insert(session, number);
        }
        is_higher
    }

    pub(crate) fn forget(&self, session: &SessionId) {
        self.0.remove(session);
    }
}
