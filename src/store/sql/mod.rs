//! What the SQL stores share: records as columns, errors, and a feed in a table.
//!
//! Texts of the application (realms, subjects, claims, …) are kept as bytes, so that they come
//! back as they were given with any encoding and collation of the database. Times are milliseconds
//! since 1970.

mod columns;
mod error;
mod feed;
mod lease;

#[cfg(feature = "sqlite")]
pub(super) use self::{
    columns::column_names,
    error::DatabaseFailure,
    feed::{Cursor, LOOK},
};
pub(super) use self::{
    columns::{
        Columns, bind_columns, run_from, run_to, session_id, time_from, time_to, version_from, version_to,
    },
    error::unavailable,
    feed::{EventRow, KEPT, LIMIT, POLL, Table, follow},
    lease::Lease,
};
#[cfg(feature = "postgres")]
pub(super) use self::{
    error::{corrupt, keeps_connection, starting},
    feed::{Kind, LONGEST_WAIT},
};

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::time::Timestamp;

/// How often a store looks for what has expired.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// How long expired sessions are still kept, since the clocks of other instances may be behind.
pub(super) const SWEEP_MARGIN: Duration = Duration::from_secs(60);
/// How many rows one statement of a sweep deletes: few, so that it does not block others.
pub(super) const SWEEP_BATCH: i64 = 500;

/// When a store last looked for what has expired.
#[derive(Debug, Default)]
pub(super) struct LastSweep(AtomicU64);

impl LastSweep {
    /// Whether to look now. True for one caller only.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        let last = self.0.load(Ordering::Relaxed);
        let since = now.since(Timestamp::from_millis(last));
        // A clock that was set back must not stop the sweeping.
        let due = since >= SWEEP_EVERY || now.as_millis() < last;
        due && self.0.compare_exchange(last, now.as_millis(), Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_sweeps_and_a_clock_that_was_set_back_stops_nothing() {
        let last = LastSweep::default();
        let at = Timestamp::from_secs;
        assert!(last.is_due(at(1000)));
        assert!(!last.is_due(at(1000)) && !last.is_due(at(1009)));
        assert!(last.is_due(at(1010)) && last.is_due(at(500)) && !last.is_due(at(501)));
    }
}
