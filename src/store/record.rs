//! What a store keeps, and what it is asked with.

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

/// What most records have for claims, once for all of them.
pub(super) static NO_CLAIMS: LazyLock<Arc<str>> = LazyLock::new(|| "null".into());

/// A user of one realm.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The realm.
    pub realm: Arc<str>,
    /// The user (`sub`), a string of the application's.
    pub name: Arc<str>,
}

/// Identifies a session in a store. It includes the subject, so that a store can keep all sessions of a subject
/// together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionKey {
    /// Whose it is.
    pub subject: Subject,
    /// Which one.
    pub id: SessionId,
}

/// What a store keeps of one session, and gives back as it was. Only this crate reads what is in it.
///
/// A store keeps [`to_bytes`](Self::to_bytes) under the [`SessionKey`], next to a version and the run ID, and the
/// times by which it sorts and forgets sessions. To rotate or to revoke, it changes the record by the methods here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    pub(crate) id: SessionId,
    /// The state of its token family, and its deadlines.
    pub(crate) family: Family,
    /// The claims to mint from, as JSON; `null` for none.
    pub(crate) claims: Arc<str>,
    /// When the claims were last replaced, or the session was marked stale in a store without a
    /// feed. An access token minted until then has the old ones.
    pub(crate) stale_since: Option<Timestamp>,
    /// How the user authenticated at sign-in (`amr` of RFC 8176).
    pub(crate) methods: Vec<String>,
    /// The last re-authentication.
    pub(crate) reauthentication: Option<Reauthentication>,
    /// Where it was opened from, as the application says.
    pub(crate) origin: Option<Arc<str>>,
    /// Whether its cookies outlive the browser ("remember me").
    pub(crate) persistent: bool,
    /// What parts of this crate keep with the session, such as a provider's tokens, sealed.
    pub(crate) attached: Attached,
}

impl SessionRecord {
    /// A session without claims.
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

    /// When the session began. [`list`](super::SessionStore::list) sorts by it, and a [`Cap`] counts the sessions
    /// that are live then.
    #[must_use]
    pub const fn created_at(&self) -> Timestamp {
        self.family.created_at
    }

    /// How often the refresh token was rotated. A rotation compares it.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.family.generation
    }

    /// Whether it was revoked. Final.
    #[must_use]
    pub const fn is_revoked(&self) -> bool {
        self.family.revoked
    }

    /// Whether it is neither revoked nor expired at `now`: before [`expires_at`](Self::expires_at).
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.family.is_live(now)
    }

    /// When it expires, by the idle or the absolute timeout. Use of the session moves it.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.family.idle_deadline.min(self.family.absolute_deadline)
    }

    /// From when on a store may forget it: when it expires or, if it was revoked, at its absolute timeout.
    #[must_use]
    pub fn keep_until(&self) -> Timestamp {
        if self.is_revoked() { self.family.absolute_deadline } else { self.expires_at() }
    }

    /// Rotates, as [`SessionStore::advance`](super::SessionStore::advance) says. Returns whether it applies.
    pub fn advance(&mut self, from: u64, at: Timestamp) -> bool {
        self.family.advance(from, at)
    }

    /// Revokes it, and deletes what a revoked session does not need. Returns false if it was revoked before.
    pub fn revoke(&mut self) -> bool {
        let (id, family, persistent) = (self.id, self.family, self.persistent);
        *self = Self { persistent, ..Self::new(id, family) };
        self.family.revoke()
    }

    /// Makes the access tokens stale that were minted until `at`, for a store without a feed. Returns whether that
    /// changes the record.
    pub fn mark_stale(&mut self, at: Timestamp) -> bool {
        let applies = self.is_live(at) && self.stale_since < Some(at);
        if applies {
            self.stale_since = Some(at);
        }
        applies
    }

    /// The serialised form: JSON with a format version. Later versions of this crate read what this one wrote.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let versioned = Versioned { format: FORMAT, record: self.clone() };
        // INVARIANT: it has texts, numbers and lists only, and texts for keys.
        serde_json::to_vec(&versioned).unwrap_or_default()
    }

    /// The record that [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if it is no record, or one of a later version of this crate.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        // The error of the parser would quote the record.
        let unreadable =
            || StoreError::corrupt("not a session record, or one of a later version of this crate");
        let Versioned { format, record } = serde_json::from_slice(bytes).map_err(|_| unreadable())?;
        if format == FORMAT { Ok(record) } else { Err(unreadable()) }
    }

    /// Replaces the claims (JSON) and makes older access tokens stale, if the session is live. The time in the record
    /// never goes back.
    pub(crate) fn replace_claims(&mut self, claims: &Arc<str>, at: Timestamp) -> bool {
        let applies = self.family.is_live(at);
        if applies {
            self.claims = claims.clone();
            self.stale_since = self.stale_since.max(Some(at));
        }
        applies
    }

    /// Records a re-authentication in the place of the last one, if the session is live.
    pub(crate) fn record_reauthentication(&mut self, later: &Reauthentication) -> bool {
        let applies = self.family.is_live(later.at);
        if applies {
            self.reauthentication = Some(later.clone());
        }
        applies
    }

    /// When the user last authenticated. The epoch if this time is unknown: see
    /// [`cap_future_times`](Self::cap_future_times).
    pub(crate) fn authenticated_at(&self) -> Timestamp {
        self.reauthentication.as_ref().map_or(self.family.created_at, |later| later.at)
    }

    /// Whether [`cap_future_times`](Self::cap_future_times) applies.
    pub(crate) fn has_future_times(&self, now: Timestamp, longest: Duration) -> bool {
        let (mut family, latest) = (self.family, now + LEEWAY);
        family.cap_future_times(now, longest)
            || (family.is_live(now) && self.stale_since.max(Some(self.authenticated_at())) > Some(latest))
    }

    /// Corrects each time that is too far in the future, as [`Family::cap_future_times`] does.
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

    /// The methods of the sign-in and of the re-authentication, each once.
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

/// How a record is serialised. Not a public part of [`SessionRecord`], so that it can change.
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
    /// When. The epoch if that is unknown, because a clock was ahead: then no authentication counts until the next one.
    pub(crate) at: Timestamp,
    /// By which methods (`amr` of RFC 8176).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) methods: Vec<String>,
    /// From where, as the application says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) origin: Option<Arc<str>>,
}

/// A record as it is after an operation, and the store's run ID with it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The store's run ID. All sessions of an older run ID are invalid.
    pub run: RunId,
    /// The record's version, for [`replace`](super::SessionStore::replace). Without a record it means
    /// nothing.
    pub version: u64,
    /// The record; none if the store knows no such session.
    pub record: Option<SessionRecord>,
    /// Whether this operation changed the record.
    pub applied: bool,
}

/// Which sessions to revoke. A new run ID revokes all of them.
#[derive(Clone, Debug)]
pub enum Revoke {
    /// One session.
    Session(SessionKey),
    /// Sessions of a subject.
    Subject {
        /// The subject.
        subject: Subject,
        /// Only the sessions that began before this time (not those that began at this time). None for all sessions.
        before: Option<Timestamp>,
        /// A session that is not revoked.
        except: Option<SessionId>,
    },
}

/// How many live sessions a subject may have, including the new one, and what happens if there are more. The new one
/// always counts, so zero means one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cap {
    /// The sign-in is refused.
    Refuse(usize),
    /// The oldest sessions are revoked.
    RevokeOldest(usize),
}

impl Cap {
    /// At most this many, and at least one.
    #[must_use]
    pub fn limit(self) -> usize {
        let (Self::Refuse(limit) | Self::RevokeOldest(limit)) = self;
        limit.max(1)
    }

    /// Whether one more is refused.
    #[must_use]
    pub const fn refuses(self) -> bool {
        matches!(self, Self::Refuse(_))
    }
}
