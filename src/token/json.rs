//! The application's claims as JSON. No object may name a member twice (RFC 7519, section 4), because two
//! readers could see two values.
//!
//! Readers that `serde` derives check only the members that they know. `serde_json` does not check other members.
//! Libraries for this check either check one level only, or build the whole value in memory.

use std::{borrow::Cow, fmt, sync::Arc};

use serde::{
    Serialize,
    de::{Deserialize, DeserializeOwned, Deserializer, Error, MapAccess, SeqAccess, Visitor},
};

use super::{error::MintError, jws::LONGEST_TOKEN};

/// Writes the application's claims as JSON, and reads them back. Refuses claims in which an object names a member
/// twice. Claims that can be written but not read would make every later request fail.
pub(crate) fn write_claims<C: Serialize + DeserializeOwned>(claims: &C) -> Result<(String, C), MintError> {
    read_back(serde_json::to_string(claims).map_err(|error| MintError::NotJson(Arc::new(error)))?)
}

/// The same as [`write_claims`], for claims that must fit into a token. Checks the length first.
pub(crate) fn write_short_claims<C: Serialize + DeserializeOwned>(
    claims: &C,
) -> Result<(String, C), MintError> {
    let json = serde_json::to_string(claims).map_err(|error| MintError::NotJson(Arc::new(error)))?;
    if json.len() > LONGEST_TOKEN {
        return Err(MintError::TooLong {
            length: json.len().saturating_mul(4).div_ceil(3),
            limit: LONGEST_TOKEN,
        });
    }
    read_back(json)
}

fn read_back<C: DeserializeOwned>(json: String) -> Result<(String, C), MintError> {
    if json.starts_with(['{', '['])
        && let Err(error) = serde_json::from_str::<Unique>(&json)
    {
        // All other errors mean that the JSON is nested too deeply to be read.
        return Err(if error.is_data() {
            MintError::DuplicateMember
        } else {
            MintError::NotReadable(Arc::new(error))
        });
    }
    let claims = serde_json::from_str(&json).map_err(|error| MintError::NotReadable(Arc::new(error)))?;
    Ok((json, claims))
}

/// Reads a claim that may be missing, but must not be `null`.
pub(super) fn not_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    claim: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(claim).map(Some)
}

/// Whether no object in `json`, at any depth, names a member twice. Different spellings of a name count as the same
/// name.
pub(super) fn members_are_unique(json: &str) -> bool {
    serde_json::from_str::<Unique>(json).is_ok()
}

struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

/// A member's name, with decoded escapes. The name is read as text only. Reason: `serde_json/arbitrary_precision` shows
/// a number as a map, and the name in this map can only be read as text.
#[derive(serde::Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Visitor<'de> for Unique {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON whose objects name no member twice")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        // Most objects in tokens have one member, so they need no list of names.
        let Some(first) = map.next_key()? else { return Ok(Self) };
        map.next_value::<Self>()?;
        let mut names: Vec<Name<'de>> = Vec::new();
        while let Some(name) = map.next_key()? {
            names.push(name);
            map.next_value::<Self>()?;
        }
        if names.is_empty() {
            return Ok(Self);
        }
        names.push(first);
        names.sort_unstable();
        if names.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
            return Err(A::Error::custom("a member comes twice"));
        }
        Ok(Self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self, A::Error> {
        while seq.next_element::<Self>()?.is_some() {}
        Ok(Self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::{MintError, members_are_unique, write_claims};

    #[test]
    fn claims_that_are_nested_too_deeply_to_be_read_are_told_from_a_repeated_member() {
        let nested =
            |depth| (0..depth).fold(serde_json::json!({}), |inner, _| serde_json::json!({ "a": inner }));
        assert!(write_claims(&nested(100)).is_ok());
        assert!(matches!(write_claims(&nested(200)), Err(MintError::NotReadable(_))));
    }

    #[test]
    fn a_member_that_comes_twice_is_found_at_any_depth_and_in_any_spelling() {
        assert!(members_are_unique(r#"{"a":1,"b":[{"a":2},{"a":3.5}],"c":{"a":null,"b":"x\n","d":-1}}"#));
        assert!(!members_are_unique(r#"{"a":1,"a":1}"#));
        assert!(!members_are_unique(r#"{"a":1,"\u0061":2}"#));
        assert!(!members_are_unique(r#"[[{"x":{"b":1,"c":2,"b":3}}]]"#));
    }

    #[test]
    fn a_member_that_comes_twice_is_found_among_many() {
        let many = |last: &str| {
            let members: String = (0..200).map(|n| format!(r#""k{n}":{n},"#)).collect();
            format!(r#"{{{members}"{last}":0}}"#)
        };
        assert!(members_are_unique(&many("k200")));
        for last in ["k0", "k1", "k15", "k16", "k17", "k199", "\\u006b199"] {
            assert!(!members_are_unique(&many(last)), "{last}");
        }
    }

    #[test]
    fn deeply_nested_claim_is_refused_without_recursion() {
        assert!(!members_are_unique(&"[".repeat(100_000)));
    }
}
