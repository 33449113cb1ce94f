//! Revokes sessions, and marks tokens as stale: in the store, and in this instance's denylist.

use super::Revocation;
use crate::{
    event::EventKind,
    id::SessionId,
    protocol::LEEWAY,
    store::{FeedEvent, Revoke, SessionKey, StoreError, Subject},
    time::Timestamp,
};

impl Revocation {
    /// Revokes sessions. Returns how many. Once this returns, no in-flight renewal can restore them.
    ///
    /// An error means that the store may not know of it, so they may not be revoked.
    pub(crate) async fn revoke(&self, what: Revoke) -> Result<usize, StoreError> {
        let now = self.now();
        let revoked = self.backend.revoke(&what, now).await?;
        // This instance learns it here, the others by the feed.
        for event in FeedEvent::of_revocation(&what, &revoked, now) {
            self.denylist.apply_event(&event, self.read_clock());
        }
        if let Some(event) = ask_again(&what, &revoked, now) {
            self.denylist.apply_event(&event, self.read_clock());
        }
        let kind = EventKind::Revoked { sessions: revoked.len() };
        match &what {
            // A session that was revoked before, or does not exist, is no event.
            _ if revoked.is_empty() => {}
            Revoke::Session(key) => self.backend.events.of(kind, &key.id, &key.subject.name),
            Revoke::Subject { subject, .. } => self.backend.events.of_subject(kind, &subject.name),
        }
        Ok(revoked.len())
    }

    /// Revokes a session that its own token names, even if the store has lost it. A session that is only
    /// named by ID must be found under its subject: see [`revoke`](Self::revoke).
    pub(crate) async fn revoke_by_token(&self, key: &SessionKey) -> Result<usize, StoreError> {
        let revoked = self.revoke(Revoke::Session(key.clone())).await?;
        self.note_revoked(key);
        Ok(revoked)
    }

    /// Revokes the sessions of a subject that began before `time`, and those that began in the future: a
    /// clock that was ahead opened them, so they may be older.
    pub(crate) async fn revoke_before(
        &self,
        subject: Subject,
        time: Timestamp,
        except: Option<SessionId>,
    ) -> Result<usize, StoreError> {
        let what = Revoke::Subject { subject: subject.clone(), before: Some(time), except };
        let mut revoked = self.revoke(what).await?;
        let latest = self.now() + LEEWAY;
        for record in self.backend.list(&subject, self.now()).await? {
            if record.family.created_at > latest && Some(record.id) != except {
                let key = SessionKey { subject: subject.clone(), id: record.id };
                revoked += self.revoke(Revoke::Session(key)).await?;
            }
        }
        Ok(revoked)
    }

    /// Marks tokens as stale: each is renewed at its next use. Returns the time of the mark.
    ///
    /// That is a time after the change. A renewal may have read the record before it.
    pub(crate) async fn mark_stale(
        &self,
        event: impl FnOnce(Timestamp) -> FeedEvent,
    ) -> Result<Timestamp, StoreError> {
        let now = self.now();
        let event = event(now);
        self.backend.ask("mark_stale", self.backend.store.mark_stale(&event)).await?;
        // This instance learns it here, the others by the feed.
        self.denylist.apply_event(&event, self.read_clock());
        Ok(now)
    }
}

/// What another instance had revoked is not among what this call revoked, and the feed may not have brought it yet. So
/// this instance asks the store about each session that was meant. `LEEWAY` is for clocks that are ahead.
///
/// A session that revokes the others of its user is not asked about: its response must set the cookies of a renewal.
/// What another instance revoked is then refused here within the lag of the feed, as that instance's caller was
/// promised.
fn ask_again(what: &Revoke, revoked: &[SessionId], now: Timestamp) -> Option<FeedEvent> {
    match what {
        Revoke::Session(key) if revoked.is_empty() => {
            Some(FeedEvent::SessionStale(key.clone(), now + LEEWAY))
        }
        Revoke::Session(_) | Revoke::Subject { except: Some(_), .. } => None,
        Revoke::Subject { subject, .. } => Some(FeedEvent::SubjectStale(subject.clone(), now + LEEWAY)),
    }
}
