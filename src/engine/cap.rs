//! The cap: the maximum number of a subject's sessions. A sign-in replaces the sessions whose tokens came with its
//! request.
//!
//! The new session is opened before the replaced ones are revoked. So the cap is raised for the new session, by the
//! number of the subject's sessions that it replaces. If another sign-in revokes some of them first, the cap was raised
//! too much. So the normal cap is then checked after the revocation.

use super::{Engine, SignInError};
use crate::{
    claims::Claims,
    event::EventKind,
    store::{Cap, Revoke, SessionKey, StoreError, Subject},
};

/// The cap for a new session.
pub(super) struct CapForSignIn {
    /// The normal cap, plus the number of sessions that the new one replaces.
    pub(super) cap: Option<Cap>,
    /// How many sessions of the same subject the new one replaces.
    replaced_count: usize,
}

impl<C: Claims> Engine<C> {
    /// The cap for a new session of `subject` that replaces `replaced`.
    pub(super) async fn cap_with_replaced(
        &self,
        subject: &Subject,
        replaced: &[SessionKey],
    ) -> Result<CapForSignIn, StoreError> {
        let replaces = |id| replaced.iter().any(|key| key.id == id && key.subject == *subject);
        let Some(cap) = self.config.cap.filter(|_| replaced.iter().any(|key| key.subject == *subject)) else {
            return Ok(CapForSignIn { cap: self.config.cap, replaced_count: 0 });
        };
        let live = self.backend.list(subject, self.now()).await?;
        let replaced_count = live.iter().filter(|record| replaces(record.id)).count();
        let limit = cap.limit().saturating_add(replaced_count);
        let cap = if cap.refuses() { Cap::Refuse(limit) } else { Cap::RevokeOldest(limit) };
        Ok(CapForSignIn { cap: Some(cap), replaced_count })
    }

    /// Revokes the sessions that `new` replaces.
    pub(super) async fn revoke_replaced(
        &self,
        new: &SessionKey,
        replaced: &[SessionKey],
        raised_cap: &CapForSignIn,
    ) -> Result<(), SignInError> {
        let (mut revoked, mut outcome) = (0, Ok(()));
        for key in replaced {
            match self.revocation.revoke_by_token(key).await {
                Ok(count) => revoked += if key.subject == new.subject { count } else { 0 },
                // One failure must not keep the other sessions alive.
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome?;
        match self.config.cap {
            Some(cap) if revoked < raised_cap.replaced_count => self.enforce_cap(cap, new).await,
            _ => Ok(()),
        }
    }

    /// Applies the normal cap, because another sign-in revoked some of the replaced sessions first. Parallel sign-ins
    /// sort the sessions in the same way, so they agree on which sessions exceed the cap.
    async fn enforce_cap(&self, cap: Cap, new: &SessionKey) -> Result<(), SignInError> {
        let mut live: Vec<_> = self.backend.list(&new.subject, self.now()).await?;
        live.sort_by_key(|record| (record.family.created_at, *record.id.as_bytes()));
        match cap {
            Cap::Refuse(limit) if live.iter().skip(limit).any(|record| record.id == new.id) => {
                self.config.events.of_subject(EventKind::TooManySessions, &new.subject.name);
                return Err(SignInError::TooManySessions);
            }
            Cap::Refuse(_) => {}
            Cap::RevokeOldest(limit) => {
                let excess = live.len().saturating_sub(limit);
                for record in live.iter().take(excess) {
                    let key = SessionKey { id: record.id, ..new.clone() };
                    self.revocation.revoke(Revoke::Session(key)).await?;
                }
            }
        }
        Ok(())
    }

    /// A sign-in on another instance may have revoked the new session already, because of the cap. Then this function
    /// adds the new session to the denylist. `SetCookies` asks the denylist, so it does not send the cookies of the
    /// session. The store is read, because the feed may be late.
    pub(super) async fn note_if_revoked(&self, new: &SessionKey) {
        if self.config.cap.is_none_or(Cap::refuses) {
            return;
        }
        // If the store does not answer, go on: the session was live when it was opened.
        let Ok(snapshot) = self.backend.get(new).await else { return };
        if snapshot.record.is_some_and(|record| record.family.revoked) {
            self.revocation.note_revoked(new);
        }
    }

    /// Revokes the session of a sign-in that failed. If the store fails, the session stays until it expires. No client
    /// has its tokens.
    pub(super) async fn revoke_new(&self, new: &SessionKey) {
        let _ignored = self.revocation.revoke_by_token(new).await;
    }
}
