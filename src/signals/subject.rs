//! Subject identifiers (RFC 9493).

use std::fmt;

use serde_json::{Map, Value};

/// Identifies a subject, in a format of RFC 9493 or in another format. Its `Debug` shows only the format.
#[derive(Clone, PartialEq, Eq)]
pub struct SubjectId(Map<String, Value>);

impl SubjectId {
    /// Returns `None` unless the value is an object with a `format` that is a text.
    pub(super) fn of(value: Value) -> Option<Self> {
        match value {
            Value::Object(members) if members.get("format").is_some_and(Value::is_string) => {
                Some(Self(members))
            }
            _ => None,
        }
    }

    /// The member `format`, such as `email`, `iss_sub`, `opaque`, `phone_number` or `complex`.
    #[must_use]
    pub fn format(&self) -> &str {
        self.get("format").unwrap_or_default()
    }

    /// A member that is a text, such as `email`, `iss`, `sub` or `id`.
    #[must_use]
    pub fn get(&self, member: &str) -> Option<&str> {
        self.0.get(member)?.as_str()
    }

    /// A member that is a subject identifier, such as `user`, `session` or `tenant` in the format `complex`.
    #[must_use]
    pub fn part(&self, member: &str) -> Option<Self> {
        Self::of(self.0.get(member)?.clone())
    }
}

impl fmt::Debug for SubjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubjectId").field("format", &self.format()).finish_non_exhaustive()
    }
}
