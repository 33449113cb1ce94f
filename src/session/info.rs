use std::time::Duration;

use crate::{
    device_binding::DeviceBinding,
    id::SessionId,
    store::SessionRecord,
    time::{Timestamp, millis},
};

/// One of a subject's live sessions, for a "your devices" page.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionInfo {
    /// The session's ID.
    pub id: SessionId,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last used, rounded down to whole rotation intervals since it began. An exact time would tell
    /// an attacker when the legitimate client renews.
    pub last_seen: Timestamp,
    /// Its absolute timeout.
    pub expires_at: Timestamp,
    /// Whether it is bound to a device: see [`Session::is_device_bound`](crate::Session::is_device_bound).
    pub device_bound: bool,
    /// Where it was opened from, by the [hook](crate::SessionsBuilder::origin).
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
            device_bound: DeviceBinding::of(record).is_some_and(|binding| binding.state().confirmed),
            origin: record.origin.as_deref().map(str::to_owned),
        }
    }
}
