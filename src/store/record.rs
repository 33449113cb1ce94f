//! What a store keeps, and what it is asked with.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    id::{RunId, SessionId},
    protocol::{Family, LEEWAY},
    time::Timestamp,
};

/// A user of one realm.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The realm.
    pub realm: Arc<str>,
    /// The user (`sub`), a string of the application's.
    pub name: Arc<str>,
}

/// Names a session to a store: the subject too, so that all a subject has can live in one place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionKey {
    /// Whose it is.
    pub subject: Subject,
    /// Which one.
    pub id: SessionId,
}

/// What a store keeps of one session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// Which one.
    pub id: SessionId,
    /// Where its refresh token stands, and how long it lives.
    pub family: Family,
    /// The claims to mint from, as JSON; `null` for none.
    pub claims: Arc<str>,
    /// When the claims were last replaced, or the session was marked stale in a store without a
    /// feed. An access token minted until then has the old ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_since: Option<Timestamp>,
    /// How the user authenticated at sign-in (`amr` of RFC 8176).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// The last re-authentication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reauthentication: Option<Reauthentication>,
    /// Where it was opened from, as the application says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Arc<str>>,
    /// Whether its cookies outlive the browser ("remember me").
    #[serde(default)]
    pub persistent: bool,
}

impl SessionRecord {
    /// Replaces the claims (JSON), if the session is live, and marks the older ones stale; never back
    /// in time.
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

    /// When the user last authenticated. The epoch if that is unknown: see [`cap_ahead`](Self::cap_ahead).
    fn authenticated_at(&self) -> Timestamp {
        self.reauthentication.as_ref().map_or(self.family.created_at, |later| later.at)
    }

    /// Whether [`cap_ahead`](Self::cap_ahead) applies.
    pub(crate) fn is_ahead(&self, now: Timestamp, longest: Duration) -> bool {
        let (mut family, latest) = (self.family, now + LEEWAY);
        family.cap_ahead(now, longest)
            || (family.is_live(now) && self.stale_since.max(Some(self.authenticated_at())) > Some(latest))
    }

    /// Caps each time that is later than any clock that is right can have set it, as
    /// [`Family::cap_ahead`] does. When the user authenticated is then not known, so it does not count: the
    /// re-authentication has the epoch as its time.
    pub(crate) fn cap_ahead(&mut self, now: Timestamp, longest: Duration) -> bool {
        let applies = self.is_ahead(now, longest);
        if applies {
            self.family.cap_ahead(now, longest);
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

/// A re-authentication, for step-up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reauthentication {
    /// When. The epoch if that is unknown, because a clock was ahead: then no authentication counts until the next one.
    pub at: Timestamp,
    /// By which methods (`amr` of RFC 8176).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// From where, as the application says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Arc<str>>,
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
    /// One.
    Session(SessionKey),
    /// Those of a subject.
    Subject {
        /// Whose.
        subject: Subject,
        /// Only those that began before this, and not at this time; all, if none.
        before: Option<Timestamp>,
        /// But not this one.
        except: Option<SessionId>,
    },
}

/// Whose access tokens to renew at their next use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StaleScope {
    /// One session's.
    Session(SessionKey),
    /// Those of all sessions of a subject.
    Subject(Subject),
}

/// How many live sessions a subject may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    /// At most this many, the new one included. It always counts, so zero reads as one.
    pub limit: usize,
    /// What happens to one more.
    pub overflow: Overflow,
}

/// What happens when a subject with the maximum number of sessions signs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// The new sign-in is refused.
    Refuse,
    /// The oldest sessions are revoked.
    RevokeOldest,
}
