//! Which sessions are revoked, as far as this instance knows, and whether it knows enough: the denylist, the
//! store's feed that fills it, the run ID, and the clock.

mod assert;
mod denylist;
mod feed;
mod follow;
mod run;
mod sharded_map;
mod wall;

pub(crate) use self::{
    feed::{FEED_PAUSE, FeedConfig, StoreAccess},
    run::older_run_id_error,
};

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use self::{
    assert::Unasserted,
    denylist::Denylist,
    feed::Feed,
    wall::{Step, WallClock},
};
use crate::{
    backend::{Backend, BackgroundTask, SingleFlight},
    event::EventKind,
    id::SessionId,
    protocol::{LEEWAY, Policy, Refusal},
    store::{FeedEvent, Revoke, SessionKey, StoreError, Subject},
    time::{Clock, Reading, Timestamp},
};

/// Why a session is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionError {
    /// The store, or a hook of the application, did not answer.
    Unavailable,
    /// It has ended, or does not belong to the client.
    Refused(Refusal),
}

impl From<Refusal> for SessionError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StoreError> for SessionError {
    fn from(_: StoreError) -> Self {
        Self::Unavailable
    }
}

/// What one realm knows of revocations.
pub(crate) struct Revocation {
    me: Weak<Self>,
    backend: Arc<Backend>,
    clock: Arc<dyn Clock>,
    access: StoreAccess,
    access_ttl: Duration,
    pub(crate) denylist: Denylist,
    wall: WallClock,
    feed: Feed,
    follower: BackgroundTask,
    /// Writes revocations again after an outage.
    assertion: BackgroundTask,
    unasserted: Unasserted,
    /// Corrections of a store whose run ID went back. True if the store took it.
    restorations: SingleFlight<(), bool>,
}

impl Revocation {
    pub(crate) fn new(
        backend: Arc<Backend>,
        clock: Arc<dyn Clock>,
        policy: &Policy,
        ride_through: Duration,
        feed: FeedConfig,
    ) -> Arc<Self> {
        let timing = policy.timing();
        // No request writes cookies after the write window, and no access token lives longer, rounded up.
        let longest = timing.write_window.saturating_add(timing.access_ttl).saturating_add(ride_through);
        let keep = longest.saturating_add(Duration::from_secs(10));
        let (realm, run, now) =
            (backend.events.realm.clone(), backend.store.run_id_now(), Reading::of(&*clock));
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            backend,
            clock,
            access: feed.access,
            access_ttl: timing.access_ttl,
            denylist: Denylist::new(realm, keep, timing.grace, run, feed.access == StoreAccess::None),
            wall: WallClock::new(now),
            feed: Feed::new(feed, now.monotonic),
            follower: BackgroundTask::default(),
            assertion: BackgroundTask::default(),
            unasserted: Unasserted::default(),
            restorations: SingleFlight::default(),
        })
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// By the monotonic clock, for intervals.
    pub(crate) fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    /// Both clocks. Reports steps of the wall clock.
    #[inline]
    pub(crate) fn read_clock(&self) -> Reading {
        let now = Reading::of(&*self.clock);
        if let Some(step) = self.wall.look(now, &*self.clock) {
            let (Step::Ahead(by) | Step::Back(by)) = step;
            self.denylist.clock_stepped(now.wall);
            self.backend.events.note(EventKind::ClockStepped { ahead: matches!(step, Step::Ahead(_)), by });
        }
        now
    }

    /// Whether the denylist may have forgotten that the session of a token was revoked: a wrong clock issued the
    /// token, or the wall clock was set back.
    ///
    /// `vouched_at` is when the session was last known not to be revoked.
    pub(crate) fn is_doubtful(&self, issued: Timestamp, vouched_at: Option<Duration>, now: Reading) -> bool {
        // Since then, the denylist has all revocations, and keeps them this long.
        let is_vouched = |at: Duration| {
            at > self.denylist.complete_since() && now.monotonic < at.saturating_add(self.denylist.keep())
        };
        self.wall.is_doubtful(issued)
            && self.access != StoreAccess::None
            && !vouched_at.is_some_and(is_vouched)
    }

    /// An instance's clock showed this time. If it is in the future, access tokens of that time become
    /// valid when the denylist has forgotten what was revoked.
    pub(crate) fn note_time(&self, time: Timestamp) {
        self.wall.is_ahead_elsewhere(time, self.access_ttl, self.now());
    }

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

    /// The store says that a session is revoked.
    pub(crate) fn note_revoked(&self, key: &SessionKey) {
        self.denylist.revoke(key, self.monotonic());
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

    /// Stops both background tasks for good.
    pub(crate) fn shut_down(&self) {
        self.follower.shut_down();
        self.assertion.shut_down();
    }
}

/// What another instance had revoked is not among what this call revoked, and the feed may not have brought it yet. So
/// this instance asks the store about each session that was meant. `LEEWAY` is for clocks that are ahead.
///
/// A session that revokes the others of its user is not asked about: its response must set the cookies of a renewal.
/// What another instance revoked is then refused here within the lag of the feed, as that instance's caller was promised.
fn ask_again(what: &Revoke, revoked: &[SessionId], now: Timestamp) -> Option<FeedEvent> {
    match what {
        Revoke::Session(key) if revoked.is_empty() => {
            Some(FeedEvent::SessionStale(key.clone(), now + LEEWAY))
        }
        Revoke::Session(_) | Revoke::Subject { except: Some(_), .. } => None,
        Revoke::Subject { subject, .. } => Some(FeedEvent::SubjectStale(subject.clone(), now + LEEWAY)),
    }
}

impl fmt::Debug for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocation").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{event::Events, id::SessionId, store::MemoryStore, time::ManualClock};

    #[tokio::test(start_paused = true)]
    async fn denylist_is_empty_again_when_its_last_entry_has_ended_although_nothing_else_happens() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
        let events = Events { realm: "r".into(), hook: None, log_subjects: false };
        let store = Arc::new(MemoryStore::new().expect("random bytes"));
        let backend = Arc::new(Backend::new(store, Duration::from_millis(500), events));
        let (lag_bound, access) = (Duration::from_secs(5), StoreAccess::Full);
        let feed = FeedConfig { lag_bound, pause: FEED_PAUSE, ask_store_when_lagging: false, access };
        let revocation = Revocation::new(backend, clock.clone(), &Policy::default(), Duration::ZERO, feed);
        revocation.start();
        let subject = Subject { realm: "r".into(), name: "ann".into() };
        revocation.note_revoked(&SessionKey { subject, id: SessionId::from_bytes([1; 32]) });
        let minutes = async |count: u32| tokio::time::sleep(Duration::from_secs(60) * count).await;
        minutes(5).await;
        assert_eq!(revocation.denylist.revoked().len(), 1);
        clock.advance(revocation.denylist.keep());
        minutes(5).await;
        assert_eq!(revocation.denylist.revoked().len(), 0);
        assert!(revocation.denylist.is_empty());
    }
}
