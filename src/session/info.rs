use std::time::Duration;

use crate::{
    id::SessionId,
    store::SessionRecord,
    time::{Timestamp, millis},
};

/// One of a subject's live sessions, as a "your devices" page shows it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionInfo {
    /// Which session.
    pub id: SessionId,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last seen in use, rounded down to whole rotation intervals since it began. Finer
    /// would tell a thief when the rightful owner renews, and so when a stolen copy goes unnoticed.
    pub last_seen: Timestamp,
    /// When it ends however much it is used.
    pub expires_at: Timestamp,
    /// Where it was opened from, as the application said.
    pub origin: Option<String>,
}

impl SessionInfo {
    pub(crate) fn of(record: &SessionRecord, rotation_interval: Duration) -> Self {
        let family = &record.family;
        let used_for = millis(family.last_seen().since(family.created_at));
        let rounded = used_for - used_for % millis(rotation_interval).max(1);
        Self {
            id: record.id,
            created_at: family.created_at,
            last_seen: family.created_at + Duration::from_millis(rounded),
            expires_at: family.absolute_deadline,
            origin: record.origin.as_deref().map(str::to_owned),
        }
    }
}
