use std::time::Duration;

use crate::{
    device_binding::DeviceBinding,
    id::SessionId,
    store::SessionRecord,
    time::{Timestamp, millis},
};

/// A live session of a subject, for a "your devices" page.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionInfo {
    /// The session ID.
    pub id: SessionId,
    /// When the session began: the time of the sign-in.
    pub created_at: Timestamp,
    /// When the session was last used. The time since the beginning of the session is rounded down to whole rotation
    /// intervals, because an exact time would tell an attacker when the legitimate client renews. Not every use is
    /// written to the store, so the last use may be later.
    pub last_seen: Timestamp,
    /// When the session expires even if the session is in use: the end of its absolute timeout.
    pub expires_at: Timestamp,
    /// Whether the session is bound to a device: see [`Session::is_device_bound`](crate::Session::is_device_bound).
    pub device_bound: bool,
    /// The client's origin at the sign-in, by the [hook `origin`](crate::SessionsBuilder::origin). `None` if no origin
    /// was recorded.
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
