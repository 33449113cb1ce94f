//! Refresh token reuse: revokes a session whose superseded refresh token was presented.

use super::Engine;
use crate::{
    claims::Claims,
    event::{EventKind, Reuse},
    origin::OriginVerdict,
    protocol::Refusal,
    revocation::SessionError,
    store::{Revoke, SessionKey, SessionRecord},
    time::Timestamp,
};

impl<C: Claims> Engine<C> {
    /// Handles a superseded refresh token that was presented from `client_origin`. It is unknown which client is the
    /// attacker, so the session is revoked for both, unless the application keeps sessions at their recorded origin.
    pub(super) async fn revoke_reused(
        &self,
        key: &SessionKey,
        record: &SessionRecord,
        presented: u64,
        client_origin: Option<&str>,
        now: Timestamp,
    ) -> SessionError {
        let family = &record.family;
        let reuse = Reuse {
            generations: family.generation.saturating_sub(presented),
            superseded_for: family.superseded_for(now),
            from_recorded_origin: self.is_at_recorded_origin(record, client_origin),
        };
        if self.config.client_origins.keep_on_reuse
            && reuse.generations == 1
            && reuse.from_recorded_origin == Some(true)
        {
            self.config.events.reuse(EventKind::ReuseTolerated, reuse, &key.id, &key.subject.name);
            return Refusal::Reuse.into();
        }
        let revoke = Revoke::Session(key.clone());
        let revoked = self.backend.revoke(&revoke, now).await;
        // Report it once, even if the first answer of the store was lost.
        let is_first_report = !matches!(&revoked, Ok(revoked) if revoked.is_empty());
        if is_first_report && self.backend.reused.note_if_newer(key.id, 1) {
            self.config.events.reuse(EventKind::ReuseDetected, reuse, &key.id, &key.subject.name);
        }
        let Ok(revoked) = revoked else { return SessionError::Unavailable };
        self.revocation.note_revoked(key);
        if revoked.is_empty() {
            return Refusal::Revoked.into();
        }
        Refusal::Reuse.into()
    }

    /// Whether the client is at the recorded origin. `None` if no origin was recorded, or if `compare_origin` is not
    /// set.
    fn is_at_recorded_origin(&self, record: &SessionRecord, client_origin: Option<&str>) -> Option<bool> {
        let recorded =
            record.origin.is_some() || record.reauthentication.as_ref().is_some_and(|it| it.origin.is_some());
        if !recorded || !self.config.client_origins.are_compared() {
            return None;
        }
        self.compare_origin(record, client_origin).map(|verdict| verdict == OriginVerdict::Ignore)
    }
}
