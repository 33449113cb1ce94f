//! The record of a session, and the types of the arguments and results of store operations.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{StoreError, attached::Attached};
use crate::{
    id::{RunId, SessionId},
    protocol::{Family, LEEWAY},
    time::Timestamp,
};

/// The claims of a session without claims: most records share this text.
pub(super) static NO_CLAIMS: LazyLock<Arc<str>> = LazyLock::new(|| "null".into());

/// A user of one realm.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The realm.
    pub realm: Arc<str>,
    /// The user (`sub`): a string that the application chooses.
    pub name: Arc<str>,
}

/// Identifies a session in a store. The key includes the subject, so that a store can keep all sessions of a subject
/// together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionKey {
    /// The subject of the session.
    pub subject: Subject,
    /// The ID of the session.
    pub id: SessionId,
}

/// The record of one session. A store returns a record exactly as it was given. Only this crate reads the content.
///
/// A store keeps [`to_bytes`](Self::to_bytes) under the [`SessionKey`], with a version, the run ID, and the times by
/// which the store sorts and forgets sessions. To rotate or to revoke, a store changes the record by the methods of
/// this type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    pub(crate) id: SessionId,
    /// The state of the session's token family, with the session's deadlines.
    pub(crate) family: Family,
    /// The claims from which access tokens are minted, as JSON. `null` for no claims.
    pub(crate) claims: Arc<str>,
    /// When the claims were last replaced, or when the session was marked stale in a store without a feed. An access
    /// token that was minted until this time has old claims.
    pub(crate) stale_since: Option<Timestamp>,
    /// How the user authenticated at the sign-in (`amr` of RFC 8176).
    pub(crate) methods: Vec<String>,
    /// The last re-authentication.
    pub(crate) reauthentication: Option<Reauthentication>,
    /// The origin of the client that signed in, as the application gives it.
    pub(crate) origin: Option<Arc<str>>,
    /// Whether the session's cookies outlive the browser ("remember me").
    pub(crate) persistent: bool,
    /// Values that other parts of this crate attach to the session, such as a provider's tokens, sealed.
    pub(crate) attached: Attached,
}

impl SessionRecord {
    /// The record of a session without claims.
    pub(crate) fn new(id: SessionId, family: Family) -> Self {
        Self {
            id,
            family,
            claims: NO_CLAIMS.clone(),
            stale_since: None,
            methods: Vec::new(),
            reauthentication: None,
            origin: None,
            persistent: false,
            attached: Attached::default(),
        }
    }

    /// The session's ID.
    #[must_use]
    pub const fn id(&self) -> SessionId {
        self.id
    }

    /// When the session began. [`list`](super::SessionStore::list) sorts by this time. When a session is created, a
    /// [`Cap`] counts the sessions that are live at the new session's start time.
    #[must_use]
    pub const fn created_at(&self) -> Timestamp {
        self.family.created_at
    }

    /// How many times the refresh token was rotated. A rotation compares this number.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.family.generation
    }

    /// Whether the session was revoked. This never becomes false again.
    #[must_use]
    pub const fn is_revoked(&self) -> bool {
        self.family.revoked
    }

    /// Whether the session is live at `now`: not revoked, and before [`expires_at`](Self::expires_at).
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.family.is_live(now)
    }

    /// When the session expires, by its idle or its absolute timeout. A use of the session can move this time.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.family.idle_deadline.min(self.family.absolute_deadline)
    }

    /// The time from which a store may forget the session: when the session expires or, if it was revoked, at its
    /// absolute timeout.
    #[must_use]
    pub fn keep_until(&self) -> Timestamp {
        if self.is_revoked() { self.family.absolute_deadline } else { self.expires_at() }
    }

    /// Rotates the refresh token, as described at [`SessionStore::advance`](super::SessionStore::advance). Returns
    /// whether the rotation applied.
    pub fn advance(&mut self, from: u64, at: Timestamp) -> bool {
        self.family.advance(from, at)
    }

    /// Revokes the session, and deletes the data that a revoked session does not need. Returns false if the session was
    /// already revoked.
    pub fn revoke(&mut self) -> bool {
        let (id, family, persistent) = (self.id, self.family, self.persistent);
        *self = Self { persistent, ..Self::new(id, family) };
        self.family.revoke()
    }

    /// Makes the access tokens stale that were minted until `at`, for a store without a feed. Returns whether the
    /// record changed.
    pub fn mark_stale(&mut self, at: Timestamp) -> bool {
        let applies = self.is_live(at) && self.stale_since < Some(at);
        if applies {
            self.stale_since = Some(at);
        }
        applies
    }

    /// The serialised form: JSON with a format version. Later versions of this crate read the records of this version.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let versioned = Versioned { format: FORMAT, record: self.clone() };
        // INVARIANT: the record has only texts, numbers, booleans, lists and maps, and the keys of the maps are texts.
        serde_json::to_vec(&versioned).unwrap_or_default()
    }

    /// Reads a record that [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the bytes are not a record, or are a record of a later version of this crate.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        // The parser's error is dropped, because it would quote the record.
        let unreadable =
            || StoreError::corrupt("not a session record, or one of a later version of this crate");
        let Versioned { format, record } = serde_json::from_slice(bytes).map_err(|_| unreadable())?;
        if format == FORMAT { Ok(record) } else { Err(unreadable()) }
    }

    /// Replaces the claims (JSON) and makes older access tokens stale, if the session is live. The time since which
    /// tokens are stale never goes back.
    pub(crate) fn replace_claims(&mut self, claims: &Arc<str>, at: Timestamp) -> bool {
        let applies = self.family.is_live(at);
        if applies {
            self.claims = claims.clone();
            self.stale_since = self.stale_since.max(Some(at));
        }
        applies
    }

    /// Records a re-authentication, if the session is live. It replaces the last re-authentication.
    pub(crate) fn record_reauthentication(&mut self, later: &Reauthentication) -> bool {
        let applies = self.family.is_live(later.at);
        if applies {
            self.reauthentication = Some(later.clone());
        }
        applies
    }

    /// When the user last authenticated. [`Timestamp::EPOCH`] if this time is unknown: see
    /// [`cap_future_times`](Self::cap_future_times).
    pub(crate) fn authenticated_at(&self) -> Timestamp {
        self.reauthentication.as_ref().map_or(self.family.created_at, |later| later.at)
    }

    /// Whether [`cap_future_times`](Self::cap_future_times) would change the record.
    pub(crate) fn has_future_times(&self, now: Timestamp, longest: Duration) -> bool {
        let (mut family, latest) = (self.family, now + LEEWAY);
        family.cap_future_times(now, longest)
            || (family.is_live(now) && self.stale_since.max(Some(self.authenticated_at())) > Some(latest))
    }

    /// Corrects each time that is too far in the future, as [`Family::cap_future_times`] does. Returns whether a time
    /// was corrected.
    ///
    /// An authentication whose time is in the future does not count, because its real time is unknown. The
    /// re-authentication gets the epoch as its time.
    pub(crate) fn cap_future_times(&mut self, now: Timestamp, longest: Duration) -> bool {
        let applies = self.has_future_times(now, longest);
        if applies {
            self.family.cap_future_times(now, longest);
            self.stale_since = self.stale_since.map(|since| if since > now + LEEWAY { now } else { since });
            if self.authenticated_at() > now + LEEWAY {
                let later = self.reauthentication.take();
                let (methods, origin) = later.map(|later| (later.methods, later.origin)).unwrap_or_default();
                self.reauthentication = Some(Reauthentication { at: Timestamp::EPOCH, methods, origin });
            }
        }
        applies
    }

    /// The authentication methods of the sign-in and of the re-authentication, each once.
    pub(crate) fn all_methods(&self) -> impl Iterator<Item = &str> {
        let later = self.reauthentication.iter().flat_map(|later| &later.methods);
        self.methods.iter().chain(later.filter(|method| !self.methods.contains(method))).map(String::as_str)
    }
}

/// The format of [`SessionRecord::to_bytes`].
const FORMAT: u8 = 1;

#[derive(Serialize, Deserialize)]
struct Versioned {
    format: u8,
    #[serde(with = "RecordForm")]
    record: SessionRecord,
}

/// The serialised form of a record. This type is not a public part of [`SessionRecord`], so that the form can change.
#[derive(Serialize, Deserialize)]
#[serde(remote = "SessionRecord")]
pub(super) struct RecordForm {
    id: SessionId,
    family: Family,
    claims: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stale_since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    methods: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reauthentication: Option<Reauthentication>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origin: Option<Arc<str>>,
    #[serde(default)]
    persistent: bool,
    #[serde(default, skip_serializing_if = "Attached::is_empty")]
    attached: Attached,
}

/// A re-authentication, for step-up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reauthentication {
    /// When the user re-authenticated. The epoch if this time is unknown, because a clock was ahead. Then no
    /// authentication counts until the next re-authentication.
    pub(crate) at: Timestamp,
    /// The authentication methods (`amr` of RFC 8176).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) methods: Vec<String>,
    /// The origin of the client, as the application gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) origin: Option<Arc<str>>,
}

/// A record in its state after an operation, and the store's run ID.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The store's run ID. All sessions of an older run ID are invalid.
    pub run: RunId,
    /// The record's version, for [`replace`](super::SessionStore::replace). Without a record, the version has no
    /// meaning.
    pub version: u64,
    /// The record. `None` if the store has no such session.
    pub record: Option<SessionRecord>,
    /// Whether this operation changed the record.
    pub applied: bool,
}

/// The sessions that a call revokes. To revoke all sessions, use a new run ID instead.
#[derive(Clone, Debug)]
pub enum Revoke {
    /// One session.
    Session(SessionKey),
    /// Sessions of a subject.
    Subject {
        /// The subject.
        subject: Subject,
        /// Only sessions that began before this time are revoked, and not those that began exactly at this time. `None`
        /// for all sessions.
        before: Option<Timestamp>,
        /// A session that is not revoked.
        except: Option<SessionId>,
    },
}

/// The maximum number of live sessions of a subject, and what happens if a sign-in exceeds it. The number includes the
/// new session. The new session always counts, so zero has the same effect as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cap {
    /// The sign-in is refused.
    Refuse(usize),
    /// The oldest sessions are revoked.
    RevokeOldest(usize),
}

impl Cap {
    /// The maximum number of sessions: at least one.
    #[must_use]
    pub fn limit(self) -> usize {
        let (Self::Refuse(limit) | Self::RevokeOldest(limit)) = self;
        limit.max(1)
    }

    /// Whether a sign-in that exceeds the maximum is refused.
    #[must_use]
    pub const fn refuses(self) -> bool {
        matches!(self, Self::Refuse(_))
    }
}
