//! Sessions with names that can be told from their numbers.

use std::{sync::LazyLock, time::Duration};

use tower_sliding_sessions::{
    Clock as _, SessionId, SystemClock, Timestamp,
    store::{SessionKey, SessionRecord, Subject},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) fn now() -> Timestamp {
    SystemClock.now()
}

/// 36 bytes, in no order.
pub(crate) fn name(number: u64) -> String {
    format!("{:08x}-{number:027}", number.wrapping_mul(2_654_435_761) & 0xffff_ffff)
}

pub(crate) fn subject(name: &str) -> Subject {
    Subject { realm: "scale".into(), name: name.into() }
}

pub(crate) fn id(number: u64) -> SessionId {
    let text = format!("{number:032}");
    SessionId::from_bytes(text.as_bytes().try_into().expect("32 bytes"))
}

pub(crate) fn key(number: u64) -> SessionKey {
    SessionKey { subject: subject(&name(number)), id: id(number) }
}

/// A record that can be rotated at once, and lasts one day.
pub(crate) fn record(id: SessionId, created: Timestamp) -> SessionRecord {
    static TEMPLATE: LazyLock<String> = LazyLock::new(|| {
        let family = "{\"generation\":0,\"confirmed_at\":CREATED,\"offered_at\":CREATED,\"created_at\":CREATED,\
            \"idle_timeout\":IDLE,\"idle_deadline\":END,\"absolute_deadline\":END,\"revoked\":false,\
            \"timing\":{\"rotation_interval\":0}}";
        let idle = serde_json::to_string(&DAY).expect("JSON");
        let record = format!("{{\"id\":\"SESSION\",\"family\":{family},\"claims\":\"null\"}}");
        format!("{{\"format\":1,\"record\":{record}}}").replace("IDLE", &idle)
    });
    let time = |time: Timestamp| serde_json::to_string(&time).expect("JSON");
    let text = TEMPLATE
        .replace("SESSION", &id.encode())
        .replace("CREATED", &time(created))
        .replace("END", &time(created + DAY));
    SessionRecord::from_bytes(text.as_bytes()).expect("a record")
}
