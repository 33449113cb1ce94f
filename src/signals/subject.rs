//! Subject identifiers (RFC 9493).

use std::fmt;

use serde_json::{Map, Value};

/// Identifies a subject, in one of the formats of RFC 9493 or another one. Its `Debug` shows the format only.
#[derive(Clone, PartialEq, Eq)]
pub struct SubjectId(Map<String, Value>);

impl SubjectId {
    /// None unless it is an object with a format.
    pub(super) fn of(value: Value) -> Option<Self> {
        match value {
            Value::Object(members) if members.get("format").is_some_and(Value::is_string) => {
                Some(Self(members))
            }
            _ => None,
        }
    }

    /// `format`, such as `email`, `iss_sub`, `opaque`, `phone_number` or `complex`.
    #[must_use]
    pub fn format(&self) -> &str {
        self.get("format").unwrap_or_default()
    }

    /// A member that is text: `email`, `iss`, `sub`, `id`.
    #[must_use]
    pub fn get(&self, member: &str) -> Option<&str> {
        self.0.get(member)?.as_str()
    }

    /// A member that is an identifier itself, as `user`, `session` and `tenant` of the format `complex` are.
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
