//! The shared code of the SQL stores: records as columns, errors, and a feed in a table.
//!
//! Texts of the application (realms, subjects, claims, …) are stored as bytes. So the store returns each text
//! unchanged, with any encoding and collation of the database. Times are milliseconds since 1970.

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

/// The shortest time between two sweeps. A sweep deletes expired sessions, expired values and old events of the feed.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// How long expired sessions and values are still kept, because the clocks of other instances may be behind.
pub(super) const SWEEP_MARGIN: Duration = Duration::from_secs(60);
/// The maximum number of rows that one transaction of a sweep deletes. It is small, so that a sweep does not block
/// other calls.
pub(super) const SWEEP_BATCH: i64 = 500;

/// When a store last swept, in milliseconds since 1970.
#[derive(Debug, Default)]
pub(super) struct LastSweep(AtomicU64);

impl LastSweep {
    /// Whether a sweep is due. Of callers that ask at the same time, only one gets `true`.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        let last = self.0.load(Ordering::Relaxed);
        let since = now.since(Timestamp::from_millis(last));
        // A clock that was set back must not stop the sweeps.
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
