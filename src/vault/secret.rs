//! A secret text. Its memory is wiped when it is dropped, and `Debug` does not show it.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(Zeroizing<String>);

impl Secret {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// Returns `text` without these secrets. Each secret is found in its plain form, percent-encoded, or cut off at the end
/// of the text.
pub(super) fn without(text: &str, secrets: &[&str]) -> String {
    /// An attacker cannot use a part of a secret that has fewer bytes than this.
    const SHORT: usize = 4;
    let mut clean = text.to_owned();
    for secret in secrets.iter().filter(|secret| secret.len() >= SHORT) {
        let encoded = percent_encoding::utf8_percent_encode(secret, percent_encoding::NON_ALPHANUMERIC);
        for form in [(*secret).to_owned(), encoded.to_string()] {
            clean = clean.replace(&form, "***");
            let cut = (SHORT..form.len()).rev().filter(|at| form.is_char_boundary(*at));
            if let Some(start) = cut.filter_map(|at| form.get(..at)).find(|start| clean.ends_with(start)) {
                clean.truncate(clean.len() - start.len());
            }
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_in_the_text() {
        let clean = |text| without(text, &["to/ken-1234567890", "abc"]);
        assert_eq!(clean("GET /?t=to%2Fken%2D1234567890&x failed"), "GET /?t=***&x failed");
        assert_eq!(clean("to/ken-1234567890 to/ken-1234567890"), "*** ***");
        assert_eq!(clean("cut off at to/ken-12345"), "cut off at ");
        assert_eq!(clean("abc is too short to be one"), "abc is too short to be one");
        assert_eq!(format!("{:?}", Secret::new("hidden")), "***");
    }
}
