//! The identifiers that are drawn at random: of sessions, and of a store's runs.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

/// The operating system gave no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system's random generator failed")]
pub struct EntropyError;

/// The text is not an identifier of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an identifier of this kind")]
pub struct ParseIdError;

fn random<const N: usize>() -> Result<[u8; N], EntropyError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| EntropyError)?;
    Ok(bytes)
}

/// Names one session (`sid`): 256 random bits from the operating system.
///
/// It is no credential (only a signature makes it one), but it is nobody else's business either,
/// so it has no `Display`, and its `Debug` shows the [tag](Self::tag). [`encode`](Self::encode)
/// gives the text that stands in tokens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId([u8; 32]);

impl SessionId {
    /// Draws a new identifier.
    ///
    /// # Errors
    /// [`EntropyError`] if the operating system has no random bytes to give.
    pub fn random() -> Result<Self, EntropyError> {
        random().map(Self)
    }

    /// The identifier with these 32 bytes, as a store kept them.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes, for a store to keep.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The text on the wire: base64url without padding, 43 characters.
    #[must_use]
    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// What logs may say of a session: 16 hexadecimal digits of a salted hash, the same on every
    /// instance.
    #[must_use]
    pub fn tag(&self) -> SessionTag {
        let hash = Sha256::new().chain_update(b"tower-sliding-sessions tag v1").chain_update(self.0);
        let mut tag = [0; 8];
        tag.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
        SessionTag(u64::from_be_bytes(tag))
    }

    /// A fixed number in 0..=255 for this session, to spread work in time.
    pub(crate) const fn jitter(&self) -> u8 {
        let [.., last] = self.0;
        last
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId(#{})", self.tag())
    }
}

impl FromStr for SessionId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let mut bytes = [0; 32];
        // Canonical only: no padding, no stray bits. A longer text does not fit the buffer.
        match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(32) => Ok(Self(bytes)),
            _ => Err(ParseIdError),
        }
    }
}

impl Serialize for SessionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = [0; 43];
        // INVARIANT: 32 bytes are 43 characters of base64url, all of them ASCII.
        let written = URL_SAFE_NO_PAD.encode_slice(self.0, &mut text).unwrap_or_default();
        let text = text.get(..written).and_then(|text| str::from_utf8(text).ok());
        serializer.serialize_str(text.unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_text(deserializer)
    }
}

/// What a log may say of a session. See [`SessionId::tag`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionTag(u64);

impl fmt::Display for SessionTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A store's incarnation number: 64 random bits, never zero. A new one ends every session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RunId(u64);

impl RunId {
    /// Any one: all are written with the same length.
    pub(crate) const SAMPLE: Self = Self(1);

    /// Draws a new run ID.
    ///
    /// # Errors
    /// [`EntropyError`] if the operating system has no random bytes to give.
    pub fn random() -> Result<Self, EntropyError> {
        random().map(|bytes| Self(u64::from_be_bytes(bytes).max(1)))
    }

    /// The run ID with this number, as a store kept it; none for zero.
    #[must_use]
    pub const fn from_u64(number: u64) -> Option<Self> {
        if number == 0 { None } else { Some(Self(number)) }
    }

    /// The number, for a store to keep.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for RunId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let canonical = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 16 || !text.bytes().all(canonical) {
            return Err(ParseIdError);
        }
        u64::from_str_radix(text, 16).ok().and_then(Self::from_u64).ok_or(ParseIdError)
    }
}

impl Serialize for RunId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = [0; 16];
        for (digit, shift) in text.iter_mut().rev().zip((0..).step_by(4)) {
            let nibble = (self.0 >> shift & 15) as u8;
            *digit = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
        }
        // INVARIANT: hexadecimal digits are ASCII.
        serializer.serialize_str(str::from_utf8(&text).unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for RunId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_text(deserializer)
    }
}

fn deserialize_text<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err = ParseIdError>,
{
    struct Text<T>(std::marker::PhantomData<T>);

    impl<T: FromStr<Err = ParseIdError>> de::Visitor<'_> for Text<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an identifier")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
    }

    deserializer.deserialize_str(Text(std::marker::PhantomData))
}
