//! No JSON object may name a member twice (RFC 7519, section 4): two readers could see two tokens.
//!
//! For members that are known by name, `serde`'s derived readers hold that already. This holds it
//! for what only the application can read.

use std::{borrow::Cow, collections::HashSet, fmt};

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Whether no object in `json`, at any depth, names a member twice, in whatever spelling.
pub(super) fn members_are_unique(json: &str) -> bool {
    serde_json::from_str::<Unique>(json).is_ok()
}

struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

#[derive(PartialEq, Eq, Hash)]
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member's name")
            }
            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }
            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON whose objects name no member twice")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        // A token has few members, often one: up to here, a list is faster than a set.
        const FEW: usize = 16;
        let Some(first) = map.next_key::<Name<'de>>()? else { return Ok(Self) };
        map.next_value::<Self>()?;
        let mut others: Vec<Name<'de>> = Vec::new();
        let mut more: HashSet<Name<'de>> = HashSet::new();
        while let Some(name) = map.next_key::<Name<'de>>()? {
            if name == first || others.contains(&name) {
                return Err(A::Error::custom("a member comes twice"));
            }
            if others.len() < FEW {
                others.push(name);
            } else if !more.insert(name) {
                return Err(A::Error::custom("a member comes twice"));
            }
            map.next_value::<Self>()?;
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
    use super::members_are_unique;

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
    fn bottomless_nesting_is_refused_rather_than_followed() {
        assert!(!members_are_unique(&"[".repeat(100_000)));
    }
}
