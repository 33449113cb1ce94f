//! Ending sessions. What this returned from is final: no renewal in flight undoes it.

use super::Engine;
use crate::{
    claims::Claims,
    event::EventKind,
    id::SessionId,
    protocol::LEEWAY,
    store::{FeedEvent, Revoke, SessionKey, SessionRecord, StoreError, Subject},
    time::Timestamp,
};

impl<C: Claims> Engine<C> {
    /// Ends sessions. Answers with how many.
    ///
    /// An error means that the store may not know, and so nothing is known to have ended.
    pub(crate) async fn revoke(&self, what: Revoke) -> Result<usize, StoreError> {
        let now = self.now();
        let ended = self.ask("revoke", self.store.revoke(&what, now)).await?;
        // Here at once; elsewhere, the feed brings it.
        for event in FeedEvent::of_revocation(&what, &ended, now) {
            self.revocations.apply_event(&event, self.read_clock());
        }
        match &what {
            // What had ended before, or is nobody's, is no news.
            _ if ended.is_empty() => {}
            Revoke::Session(key) => {
                self.config.events.of(
                    EventKind::Revoked { sessions: ended.len() },
                    &key.id,
                    &key.subject.name,
                );
            }
            Revoke::Subject { subject, .. } => {
                self.config.events.of_subject(EventKind::Revoked { sessions: ended.len() }, &subject.name);
            }
        }
        Ok(ended.len())
    }

    /// Revokes the sessions of a subject that began before `time`, and those that began in the future: a
    /// clock that was ahead opened them, and they may be older.
    pub(crate) async fn revoke_before(
        &self,
        subject: Subject,
        time: Timestamp,
        except: Option<SessionId>,
    ) -> Result<usize, StoreError> {
        let what = Revoke::Subject { subject: subject.clone(), before: Some(time), except };
        let mut revoked = self.revoke(what).await?;
        let latest = self.now() + LEEWAY;
        for record in self.list(&subject.name).await? {
            if record.family.created_at > latest && Some(record.id) != except {
                let key = SessionKey { subject: subject.clone(), id: record.id };
                revoked += self.revoke(Revoke::Session(key)).await?;
            }
        }
        Ok(revoked)
    }

    /// Ends a session that its own tokens name: here even if the store has lost it. (Only then. A
    /// session that somebody merely names must be found under their own subject.)
    ///
    /// Answers with how many this call ended: one or none.
    pub(crate) async fn sign_out(&self, key: &SessionKey) -> Result<usize, StoreError> {
        let ended = self.revoke(Revoke::Session(key.clone())).await?;
        self.revocations.revoke(key, self.monotonic());
        Ok(ended)
    }

    /// The live sessions of a subject, oldest first.
    pub(crate) async fn list(&self, subject: &str) -> Result<Vec<SessionRecord>, StoreError> {
        let subject = self.subject(subject);
        self.ask("list", self.store.list(&subject, self.now())).await
    }
}
