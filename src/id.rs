//! The identifiers that are drawn at random: of sessions, and of a store's runs.

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

/// Names one session (`sid`): 256 random bits from the operating system.
///
/// It is not a credential: only a signed token is one. It still should not be in logs, so it has no `Display`, and
/// its `Debug` shows the [tag](Self::tag). [`encode`](Self::encode) gives the text for its owner, such as a form on
/// a "your devices" page, and for tokens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId([u8; 32]);

impl SessionId {
    /// Draws a new identifier.
    ///
    /// # Errors
    /// An error if the operating system has no random bytes to give.
    pub fn random() -> io::Result<Self> {
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

    /// The identifier with this [text](Self::encode); none if it is not one.
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        // Canonical only: no padding, no stray bits. A longer text does not fit the buffer.
        match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(32) => Some(Self(bytes)),
            _ => None,
        }
    }

    /// What logs may say of a session: 16 hexadecimal digits of a salted hash, the same on every
    /// instance.
    #[must_use]
    pub fn tag(&self) -> String {
        let hash = Sha256::new().chain_update(b"tower-sliding-sessions tag v1").chain_update(self.0);
        let mut tag = [0; 8];
        tag.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
        format!("{:016x}", u64::from_be_bytes(tag))
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

/// A store's run ID. All sessions of an older run ID are invalid, so a new one revokes everything.
///
/// Run IDs are ordered by time: milliseconds since the epoch in the upper 48 bits, 16 random bits
/// below. Every instance uses the highest that it has seen. So it notices a store that has lost the newest one (in a
/// failover, or by a restored backup), and corrects the store. Zero means no run ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(u64);

impl RunId {
    /// An example: all are written with the same length.
    pub(crate) const SAMPLE: Self = Self(1);

    /// A new run ID at this time, with random low bits.
    ///
    /// # Errors
    /// An error if the operating system has no random bytes to give.
    pub fn draw(now: Timestamp) -> io::Result<Self> {
        random().map(|bytes| Self::at(now, u16::from_be_bytes(bytes)))
    }

    /// A new run ID that is newer than `known`, also by a clock that is behind it.
    ///
    /// Its low bits are random in any case, so two instances that draw one at once get different ones.
    ///
    /// # Errors
    /// An error if the operating system has no random bytes to give.
    pub fn newer_than(known: Option<Self>, now: Timestamp) -> io::Result<Self> {
        let random = u16::from_be_bytes(random()?);
        let above = known.map(|known| Self(known.0.saturating_add(u64::from(random))).next());
        Ok(Self::at(now, random).max(above.unwrap_or(Self(1))))
    }

    /// The run ID of this time with these low bits. Times after the year 10889 read as that year.
    #[must_use]
    pub fn at(time: Timestamp, random: u16) -> Self {
        let millis = time.as_millis().min((1 << 48) - 1);
        Self((millis << 16 | u64::from(random)).max(1))
    }

    /// The next higher one; the highest has none, and stays.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The run ID with this number, as a store kept it; none for zero.
    #[must_use]
    pub const fn from_u64(number: u64) -> Option<Self> {
        if number == 0 { None } else { Some(Self(number)) }
    }

    /// The run ID with this text, as its `Display` writes it; none if it is not one.
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        let canonical = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 16 || !text.bytes().all(canonical) {
            return None;
        }
        u64::from_str_radix(text, 16).ok().and_then(Self::from_u64)
    }

    /// The number, for a store to keep. Numbers are in the order of their run IDs (as unsigned ones).
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

/// Reads a text that `decode` understands.
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
