//! Revokes sessions, and marks access tokens as stale: in the store, and in this instance's denylist.

use super::Revocation;
use crate::{
    event::EventKind,
    id::SessionId,
    protocol::LEEWAY,
    store::{FeedEvent, Revoke, SessionKey, StoreError, Subject},
    time::Timestamp,
};

impl Revocation {
    /// Revokes sessions. Returns how many sessions this call revoked. Once this returns, no in-flight renewal can
    /// restore them.
    ///
    /// After an error, the store may not have the revocation, so the sessions may not be revoked.
    pub(crate) async fn revoke(&self, what: Revoke) -> Result<usize, StoreError> {
        let now = self.now();
        let revoked = self.backend.revoke(&what, now).await?;
        // This instance learns the revocation here. The other instances learn it from the feed.
        for event in FeedEvent::of_revocation(&what, &revoked, now) {
            self.denylist.apply_event(&event, self.read_clock());
        }
        if let Some(event) = ask_again(&what, &revoked, now) {
            self.denylist.apply_event(&event, self.read_clock());
        }
        let kind = EventKind::Revoked { sessions: revoked.len() };
        match &what {
            // A session that was already revoked, or does not exist, is not reported.
            _ if revoked.is_empty() => {}
            Revoke::Session(key) => self.backend.events.of(kind, &key.id, &key.subject.name),
            Revoke::Subject { subject, .. } => self.backend.events.of_subject(kind, &subject.name),
        }
        Ok(revoked.len())
    }

    /// Revokes a session that was named by one of its tokens, even if the store has lost the session. If a session is
    /// named only by its ID, the store must find it under its subject: use [`revoke`](Self::revoke).
    pub(crate) async fn revoke_by_token(&self, key: &SessionKey) -> Result<usize, StoreError> {
        let revoked = self.revoke(Revoke::Session(key.clone())).await?;
        self.note_revoked(key);
        Ok(revoked)
    }

    /// Revokes the sessions of a subject that began before `time`. Also revokes the sessions that began more than
    /// [`LEEWAY`] in the future: a clock that was ahead created them, so they may have begun before `time`. Does not
    /// revoke the session `except`.
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

    /// Marks access tokens as stale: each is renewed at its next use. Returns the time of the mark.
    ///
    /// Call this after the change. The time of the mark is then later than the change, so the tokens of a renewal that
    /// read the record before the change are stale, too.
    pub(crate) async fn mark_stale(
        &self,
        event: impl FnOnce(Timestamp) -> FeedEvent,
    ) -> Result<Timestamp, StoreError> {
        let now = self.now();
        let event = event(now);
        self.backend.ask("mark_stale", self.backend.store.mark_stale(&event)).await?;
        // This instance learns the event here. The other instances learn it from the feed.
        self.denylist.apply_event(&event, self.read_clock());
        Ok(now)
    }
}

/// An event that makes this instance ask the store about each session that the caller wanted to revoke. Reason: the
/// result of the call does not contain the sessions that another instance revoked before, and the feed may not have
/// brought these revocations yet. [`LEEWAY`] covers clocks that are ahead.
///
/// There is no event if the call revoked the one session that it names. There is also no event if the call excepts a
/// session, for example if a session revokes the other sessions of its user. Then the store must not be asked about the
/// excepted session, because its response must set the cookies of a renewal. Within the lag of the feed, this instance
/// also refuses the sessions that another instance revoked, as promised to that instance's caller.
fn ask_again(what: &Revoke, revoked: &[SessionId], now: Timestamp) -> Option<FeedEvent> {
    match what {
        Revoke::Session(key) if revoked.is_empty() => {
            Some(FeedEvent::SessionStale(key.clone(), now + LEEWAY))
        }
        Revoke::Session(_) | Revoke::Subject { except: Some(_), .. } => None,
        Revoke::Subject { subject, .. } => Some(FeedEvent::SubjectStale(subject.clone(), now + LEEWAY)),
    }
}
