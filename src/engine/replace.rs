//! A sign-in takes the place of the sessions whose tokens came with it.
//!
//! The new session is opened first. So the cap leaves room for those of the same subject that are about
//! to be revoked, and is checked again if another sign-in has revoked them meanwhile.

use super::{Engine, SignInError};
use crate::{
    claims::Claims,
    event::EventKind,
    store::{Cap, Overflow, Revoke, SessionKey, StoreError, Subject},
};

/// What a new session has to fit into.
pub(super) struct Room {
    /// The cap, with room for the sessions that are about to be revoked.
    pub(super) cap: Option<Cap>,
    /// How many those are.
    spared: usize,
}

impl<C: Claims> Engine<C> {
    /// The room for a new session of `subject` that replaces these.
    pub(super) async fn room_beside(
        &self,
        subject: &Subject,
        replaced: &[SessionKey],
    ) -> Result<Room, StoreError> {
        let replaces = |id| replaced.iter().any(|key| key.id == id && key.subject == *subject);
        let Some(cap) = self.config.cap.filter(|_| replaced.iter().any(|key| key.subject == *subject)) else {
            return Ok(Room { cap: self.config.cap, spared: 0 });
        };
        let live = self.list(&subject.name).await?;
        let spared = live.iter().filter(|record| replaces(record.id)).count();
        Ok(Room { cap: Some(Cap { limit: cap.limit.saturating_add(spared), ..cap }), spared })
    }

    /// Revokes what `new` replaces.
    pub(super) async fn replace(
        &self,
        new: &SessionKey,
        replaced: &[SessionKey],
        room: &Room,
    ) -> Result<(), SignInError> {
        let (mut revoked, mut outcome) = (0, Ok(()));
        for key in replaced {
            match self.sign_out(key).await {
                Ok(count) => revoked += if key.subject == new.subject { count } else { 0 },
                // One that fails must not keep the others alive.
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome?;
        match self.config.cap {
            Some(cap) if revoked < room.spared => self.keep_to(cap, new).await,
            _ => Ok(()),
        }
    }

    /// Another sign-in revoked what this one made room for, and may have taken that room. All of them
    /// agree on which sessions there is no room for.
    async fn keep_to(&self, cap: Cap, new: &SessionKey) -> Result<(), SignInError> {
        let mut live: Vec<_> = self.list(&new.subject.name).await?;
        live.sort_by_key(|record| (record.family.created_at, *record.id.as_bytes()));
        match cap.overflow {
            Overflow::Refuse if live.iter().skip(cap.limit).any(|record| record.id == new.id) => {
                self.config.events.of_subject(EventKind::TooManySessions, &new.subject.name);
                return Err(SignInError::TooManySessions);
            }
            Overflow::Refuse => {}
            Overflow::RevokeOldest => {
                let excess = live.len().saturating_sub(cap.limit);
                for record in live.iter().take(excess) {
                    let key = SessionKey { id: record.id, ..new.clone() };
                    self.revoke(Revoke::Session(key)).await?;
                }
            }
        }
        Ok(())
    }

    /// Another sign-in, by another instance, may have ended the new session already, to keep to the cap. Then
    /// its cookies must not leave, and the feed may be late to tell.
    pub(super) async fn look_again(&self, new: &SessionKey) {
        if self.config.cap.is_none_or(|cap| cap.overflow == Overflow::Refuse) {
            return;
        }
        // If the store cannot tell, the session is as good as it was when it was opened.
        let Ok(snapshot) = self.ask("get", self.store.get(new)).await else { return };
        if snapshot.record.is_some_and(|record| record.family.revoked) {
            self.revocations.revoke(new, self.monotonic());
        }
    }

    /// Revokes a session that was opened for a sign-in that failed. If the store cannot do that either,
    /// no client has its tokens, and it runs out.
    pub(super) async fn undo(&self, new: &SessionKey) {
        let _runs_out = self.sign_out(new).await;
    }
}
