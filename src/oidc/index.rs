//! An index for back-channel logout: the sessions here that belong to a session or user of the provider. The index is
//! kept in values of the store, under hashed keys.
//!
//! A sign-in adds its session to the value of `(iss, sid)` and to the value of `(iss, sub)`. A logout first writes the
//! time of its token into the value, and then revokes the sessions in the value. If a sign-in finds a logout time that
//! is not before the time of its ID token, the logout came first. So the session of the sign-in is revoked. In the
//! value of `(iss, sid)`, every logout time counts, because a provider's session does not begin again. A sign-in and a
//! logout both change the value by compare-and-set, so one of them sees the change of the other.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Inner, Problem,
    attempt::LIFETIME,
    logout_token::{LONGEST_AGE, LogoutToken},
    provider_session::ProviderSession,
    verify::{Failure, SKEW},
};
use crate::{
    claims::Claims,
    id::SessionId,
    store::{SessionKey, StoreError, Value, ValueKey},
    time::Timestamp,
};

/// The maximum number of sessions in a value. If a value is full, a sign-in removes the sessions that are over. If all
/// are live, the sign-in revokes the oldest session.
const MOST: usize = 100;
/// How often a change is tried. Each conflict means that another request has made a change.
const TRIES: usize = 8;
/// How long the time of a logout is kept. This is longer than a sign-in can take that began before the logout.
const MARK: Duration = Duration::from_secs(60 * 60);

const _: () = assert!(MARK.as_secs() > LIFETIME.as_secs() + LONGEST_AGE.as_secs() + SKEW.as_secs());

/// A value of the index.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Sessions {
    /// `iat` of the latest logout token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended: Option<Timestamp>,
    /// `iat` of the latest logout token with a `sid`, for sessions whose ID token had no `sid`. Such a logout token
    /// also revokes these sessions, because they may belong to its `sid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended_without_sid: Option<Timestamp>,
    #[serde(default)]
    sessions: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    subject: String,
    id: SessionId,
    /// The time of the session's absolute timeout.
    ends: Timestamp,
    has_sid: bool,
    /// `iat` of the session's ID token. Entries of earlier versions have no `iat`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issued: Option<Timestamp>,
}

/// The provider's session or user to which a value belongs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of<'a> {
    Sid(&'a str),
    Sub(&'a str),
}

impl<C: Claims> Inner<C> {
    fn value_key(&self, kind: &'static str, name: &str) -> ValueKey {
        let registration = &self.provider.registration;
        let names = [&**registration.issuer, &**registration.client_id, name];
        ValueKey::new(&self.sessions.engine.config.realm, kind, &names)
    }

    fn key_of(&self, of: Of<'_>) -> ValueKey {
        match of {
            Of::Sid(sid) => self.value_key("oidc sid", sid),
            Of::Sub(sub) => self.value_key("oidc sub", sub),
        }
    }

    /// Adds a new session, so that a logout token finds it. Fails if a logout came first. Does nothing if the store
    /// keeps no values.
    pub(super) async fn add_to_index(
        &self,
        at_provider: &ProviderSession,
        key: &SessionKey,
        issued: Timestamp,
        ends: Timestamp,
    ) -> Result<(), Failure> {
        if !self.sessions.engine.backend.store.keeps_values() {
            return Ok(());
        }
        let has_sid = at_provider.sid.is_some();
        let entry =
            Entry { subject: key.subject.name.to_string(), id: key.id, ends, has_sid, issued: Some(issued) };
        for of in at_provider.sid.as_deref().map(Of::Sid).into_iter().chain([Of::Sub(&at_provider.sub)]) {
            let is_over = self.add(of, &entry, issued).await.map_err(|error| Failure {
                problem: Problem::Unavailable,
                why: "index",
                cause: Some(error.to_string()),
            })?;
            if is_over {
                return Err(Failure::new(Problem::UnknownAttempt, "logged_out"));
            }
        }
        Ok(())
    }

    /// Adds a session to one value. If a logout came first, does not add the session, and returns true.
    async fn add(&self, of: Of<'_>, entry: &Entry, issued: Timestamp) -> Result<bool, StoreError> {
        let now = self.sessions.engine.now();
        let key = self.key_of(of);
        for _ in 0..TRIES {
            let (version, mut value) = self.read_index(&key).await?;
            let mark = match entry.has_sid {
                true => value.ended,
                false => value.ended.max(value.ended_without_sid),
            };
            if mark.is_some_and(|ended| matches!(of, Of::Sid(_)) || issued <= ended) {
                return Ok(true);
            }
            value.sessions.retain(|other| other.ends > now && other.id != entry.id);
            // Revoke these sessions before they leave the index. After that, a logout token would not find them.
            for oldest in self.make_room(&mut value.sessions, now).await? {
                self.sessions.engine.revocation.revoke_by_token(&oldest).await?;
            }
            value.sessions.push(entry.clone());
            if self.write_index(&key, version, &value, now).await? {
                return Ok(false);
            }
        }
        Err(conflicts())
    }

    /// If there is no room for one more session, removes the sessions that are over, and then the oldest live sessions.
    /// Returns the removed live sessions.
    async fn make_room(
        &self,
        sessions: &mut Vec<Entry>,
        now: Timestamp,
    ) -> Result<Vec<SessionKey>, StoreError> {
        if sessions.len() < MOST {
            return Ok(Vec::new());
        }
        let engine = &self.sessions.engine;
        let mut live = Vec::new();
        for entry in sessions.drain(..) {
            let key = engine.key(&*entry.subject, entry.id);
            if engine.backend.get(&key).await?.record.is_some_and(|record| record.is_live(now)) {
                live.push(entry);
            }
        }
        let removed = live.len().saturating_sub(MOST - 1);
        let oldest = live.drain(..removed).map(|entry| engine.key(&*entry.subject, entry.id)).collect();
        *sessions = live;
        Ok(oldest)
    }

    /// Writes the time of a logout token into the values of its `sid` and `sub`. Returns the sessions to revoke.
    pub(super) async fn end_sessions_of(&self, token: &LogoutToken) -> Result<Vec<SessionKey>, StoreError> {
        let mut found = Vec::new();
        if let Some(sid) = &token.session {
            let value =
                self.mark(Of::Sid(sid), |value| value.ended = value.ended.max(Some(token.issued))).await?;
            found.extend(value.sessions);
        }
        if let Some(sub) = &token.subject {
            let by_sid = token.session.is_some();
            let value = self
                .mark(Of::Sub(sub), |value| {
                    let mark = if by_sid { &mut value.ended_without_sid } else { &mut value.ended };
                    *mark = (*mark).max(Some(token.issued));
                })
                .await?;
            // The user may have signed in at the provider again since the logout, so later sessions do not count here.
            // For a `sid`, all sessions count, because a provider's session does not begin again.
            let is_earlier = |entry: &Entry| entry.issued.is_none_or(|issued| issued <= token.issued);
            let is_meant = |entry: &Entry| is_earlier(entry) && (!by_sid || !entry.has_sid);
            found.extend(value.sessions.into_iter().filter(is_meant));
        }
        let now = self.sessions.engine.now();
        found.retain(|entry| entry.ends > now);
        Ok(found.iter().map(|entry| self.sessions.engine.key(&*entry.subject, entry.id)).collect())
    }

    async fn mark(&self, of: Of<'_>, change: impl Fn(&mut Sessions)) -> Result<Sessions, StoreError> {
        let now = self.sessions.engine.now();
        let key = self.key_of(of);
        for _ in 0..TRIES {
            let (version, mut value) = self.read_index(&key).await?;
            value.sessions.retain(|entry| entry.ends > now);
            change(&mut value);
            if self.write_index(&key, version, &value, now).await? {
                return Ok(value);
            }
        }
        Err(conflicts())
    }

    async fn read_index(&self, key: &ValueKey) -> Result<(u64, Sessions), StoreError> {
        let (version, bytes) = self.read_value(key).await?;
        let value = bytes.map_or(Ok(Sessions::default()), |bytes| serde_json::from_slice(&bytes));
        // The parser's error would contain names of users.
        Ok((version, value.map_err(|_| StoreError::corrupt("not an index of sessions"))?))
    }

    async fn write_index(
        &self,
        key: &ValueKey,
        version: u64,
        value: &Sessions,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let until = value.sessions.iter().map(|entry| entry.ends).max().unwrap_or(now).max(now + MARK);
        let bytes =
            serde_json::to_vec(value).map_err(|_| StoreError::corrupt("an index cannot be written"))?;
        self.write_value(key, version, bytes, until).await
    }

    /// Whether a logout token was used before.
    pub(super) async fn was_used(&self, token: &LogoutToken) -> Result<bool, StoreError> {
        Ok(self.read_value(&self.value_key("oidc jti", &token.id)).await?.1.is_some())
    }

    /// Notes that a logout token was used. Returns false if the token was used before.
    pub(super) async fn note_use(&self, token: &LogoutToken) -> Result<bool, StoreError> {
        let key = self.value_key("oidc jti", &token.id);
        let (version, used) = self.read_value(&key).await?;
        // After this time, the token is refused because of its age.
        let until = token.issued + LONGEST_AGE + SKEW + SKEW;
        Ok(used.is_none() && self.write_value(&key, version, b"1".to_vec(), until).await?)
    }
}

impl<C: Claims> Inner<C> {
    async fn read_value(&self, key: &ValueKey) -> Result<(u64, Option<Vec<u8>>), StoreError> {
        let engine = &self.sessions.engine;
        let found = engine.backend.value(key, engine.now()).await?;
        Ok((found.version, found.value.map(|value| value.bytes)))
    }

    /// Writes a value by compare-and-set. Returns whether the value was written.
    async fn write_value(
        &self,
        key: &ValueKey,
        version: u64,
        bytes: Vec<u8>,
        keep_until: Timestamp,
    ) -> Result<bool, StoreError> {
        let engine = &self.sessions.engine;
        let value = Value { bytes, keep_until };
        Ok(engine.backend.replace_value(key, version, Some(&value), engine.now()).await?.applied)
    }
}

fn conflicts() -> StoreError {
    StoreError::unavailable("the index of sessions was changed by other requests at each of 8 attempts")
}
