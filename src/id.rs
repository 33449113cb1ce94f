//! The identifiers of sessions, and the run IDs of stores. Both are drawn at random, a run ID only in part.

use std::{fmt, io};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

use crate::time::Timestamp;

pub(crate) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let failed = |_| io::Error::other("the operating system's random generator failed");
    getrandom::fill(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// The ID of a session (`sid`): 256 random bits from the operating system.
///
/// A session ID is not a credential: only a signed token is. Still, a session ID should not be in logs. So this type
/// has no `Display`, and its `Debug` shows the [tag](Self::tag). [`encode`](Self::encode) returns the text of the ID,
/// for tokens, and for the session's user, such as for a form on a "your devices" page.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId([u8; 32]);

impl SessionId {
    /// Draws a new session ID.
    ///
    /// # Errors
    /// An error if the random generator of the operating system fails.
    pub fn random() -> io::Result<Self> {
        random().map(Self)
    }

    /// The session ID with these 32 bytes, which [`as_bytes`](Self::as_bytes) returned.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes, which a store keeps.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The text in tokens and requests: base64url without padding, 43 characters.
    #[must_use]
    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// The session ID with this [text](Self::encode). `None` if the text is not a session ID.
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        // Only the canonical text is valid: no padding, no stray bits. A longer text does not fit into the buffer.
        match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(32) => Some(Self(bytes)),
            _ => None,
        }
    }

    /// The name of a session in logs: 16 hexadecimal digits of a hash of the ID with a fixed prefix. All instances
    /// compute the same tag.
    #[must_use]
    pub fn tag(&self) -> String {
        let hash = Sha256::new().chain_update(b"tower-sliding-sessions tag v1").chain_update(self.0);
        let mut tag = [0; 8];
        tag.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
        format!("{:016x}", u64::from_be_bytes(tag))
    }

    /// A number in 0..=255 that is always the same for a session. It is used to spread work in time.
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
        deserializer.deserialize_str(Text(Self::decode))
    }
}

/// The run ID of a store. All sessions of an older run ID are invalid, so a new run ID revokes every session.
///
/// Run IDs are ordered by time. The upper 48 bits are milliseconds since the Unix epoch, and the lower 16 bits are
/// random. Every instance uses the highest run ID that it has seen. So an instance notices if a store has lost the
/// newest run ID (in a failover, or by a restored backup), and corrects the store. The number zero is not a run ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(u64);

impl RunId {
    /// An example of a run ID. The texts of all run IDs have the same length.
    pub(crate) const SAMPLE: Self = Self(1);

    /// Draws a new run ID for this time, with random low bits.
    ///
    /// # Errors
    /// An error if the random generator of the operating system fails.
    pub fn draw(now: Timestamp) -> io::Result<Self> {
        random().map(|bytes| Self::at(now, u16::from_be_bytes(bytes)))
    }

    /// Draws a new run ID that is newer than `known`, even if the clock is behind the time of `known`.
    ///
    /// The low bits are random in each case. So two instances that draw a run ID at the same time get different run
    /// IDs, except by chance.
    ///
    /// # Errors
    /// An error if the random generator of the operating system fails.
    pub fn newer_than(known: Option<Self>, now: Timestamp) -> io::Result<Self> {
        let random = u16::from_be_bytes(random()?);
        let above = known.map(|known| Self(known.0.saturating_add(u64::from(random))).next());
        Ok(Self::at(now, random).max(above.unwrap_or(Self(1))))
    }

    /// The run ID of this time with these low bits. Times after the largest time of 48 bits, in the year 10889, become
    /// this time.
    #[must_use]
    pub fn at(time: Timestamp, random: u16) -> Self {
        let millis = time.as_millis().min((1 << 48) - 1);
        Self((millis << 16 | u64::from(random)).max(1))
    }

    /// The next higher run ID. The highest run ID returns itself.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The run ID with this number, which [`as_u64`](Self::as_u64) returned. `None` for zero.
    #[must_use]
    pub const fn from_u64(number: u64) -> Option<Self> {
        if number == 0 { None } else { Some(Self(number)) }
    }

    /// The run ID with this text, which its `Display` wrote. `None` if the text is not a run ID.
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        let canonical = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 16 || !text.bytes().all(canonical) {
            return None;
        }
        u64::from_str_radix(text, 16).ok().and_then(Self::from_u64)
    }

    /// The number, which a store keeps. The order of run IDs is the order of their numbers, as unsigned numbers.
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
        deserializer.deserialize_str(Text(Self::decode))
    }
}

/// Deserialises a text by a function that returns `None` for an invalid text.
struct Text<T>(fn(&str) -> Option<T>);

impl<T> de::Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an identifier")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).ok_or_else(|| E::custom("not an identifier of this kind"))
    }
}
