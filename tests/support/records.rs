//! Session records for the tests of stores. A record is opaque, so they are made and changed by its serialised form.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a failed test is a panic")]

use std::time::Duration;

use serde_json::{Value, json};
use tower_sliding_sessions::{SessionId, Timestamp, store::SessionRecord};

/// A record with a new session ID. It can be rotated at once.
pub(crate) fn record(
    created: Timestamp,
    idle_timeout: Duration,
    absolute_timeout: Duration,
) -> SessionRecord {
    let absolute_deadline = created + absolute_timeout;
    let family = json!({
        "generation": 0,
        "confirmed_at": created,
        "offered_at": created,
        "created_at": created,
        "idle_timeout": idle_timeout,
        "idle_deadline": absolute_deadline.min(created + idle_timeout),
        "absolute_deadline": absolute_deadline,
        "revoked": false,
        "timing": { "rotation_interval": 0 },
    });
    let id = SessionId::random().expect("random bytes");
    parsed(&json!({ "id": id, "family": family, "claims": "null" }))
}

/// The JSON of a record.
pub(crate) fn read(record: &SessionRecord) -> Value {
    let mut json: Value = serde_json::from_slice(&record.to_bytes()).expect("JSON");
    json["record"].take()
}

/// The record with `edit` applied to its JSON.
pub(crate) fn edited(record: &SessionRecord, edit: impl FnOnce(&mut Value)) -> SessionRecord {
    let mut json = read(record);
    edit(&mut json);
    parsed(&json)
}

/// The record after a request confirmed its generation.
pub(crate) fn confirmed(record: &SessionRecord, at: Timestamp) -> SessionRecord {
    edited(record, |json| json["family"]["confirmed_at"] = json!(at))
}

fn parsed(record: &Value) -> SessionRecord {
    let json = json!({ "format": 1, "record": record }).to_string();
    SessionRecord::from_bytes(json.as_bytes()).expect("a record")
}
