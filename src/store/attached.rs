//! Values that other parts of this crate attach to a session: named byte strings, opaque to the stores.

use std::{collections::BTreeMap, fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The values that are attached to a session, by name. The `Debug` output shows only the names.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Attached(BTreeMap<Arc<str>, Arc<[u8]>>);

impl Attached {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<[u8]>> {
        self.0.get(name)
    }

    /// Attaches a value. Replaces a value with the same name. `None` removes the value with this name.
    #[cfg_attr(
        not(any(
            feature = "conformance",
            feature = "device-bound",
            feature = "oidc",
            feature = "vault",
            all(test, feature = "redis")
        )),
        expect(dead_code, reason = "the parts that attach come next")
    )]
    pub(crate) fn set(&mut self, name: &str, value: Option<&[u8]>) {
        match value {
            Some(value) => drop(self.0.insert(name.into(), value.into())),
            None => drop(self.0.remove(name)),
        }
    }
}

impl fmt::Debug for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Serialises the values as an object of base64url texts.
impl Serialize for Attached {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, URL_SAFE_NO_PAD.encode(value))))
    }
}

impl<'de> Deserialize<'de> for Attached {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = BTreeMap::<Arc<str>, String>::deserialize(deserializer)?;
        let decoded = |(name, text): (Arc<str>, String)| {
            let value = URL_SAFE_NO_PAD.decode(text).map_err(|_| de::Error::custom("not base64url"))?;
            Ok((name, value.into()))
        };
        texts.into_iter().map(decoded).collect::<Result<_, _>>().map(Self)
    }
}
