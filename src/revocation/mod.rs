//! The revocations that this instance knows, and whether this knowledge is complete. It has four parts: the denylist,
//! the store's feed that fills the denylist, the run ID, and the clock.

mod assert;
mod denylist;
mod feed;
mod follow;
mod revoke;
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
    id::RunId,
    protocol::{Policy, Refusal},
    store::{SessionKey, SharedSnapshot, StoreError},
    time::{Clock, Reading, Timestamp},
};

/// Why a session cannot be used for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionError {
    /// The store, or a hook of the application, did not answer.
    Unavailable,
    /// The session is refused: it is not live, or the client may not use it.
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

/// What this instance knows of the revocations of one realm.
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
    /// In-flight corrections of a store whose run ID went back. The result is true if the store took the newest run ID.
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
        // The 10 s are added because expiry times are rounded up.
        let keep =
            policy.longest_access().saturating_add(ride_through).saturating_add(Duration::from_secs(10));
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

    /// The time of the monotonic clock, for intervals.
    pub(crate) fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    /// Reads both clocks. After a step of the wall clock, corrects the denylist and reports the step.
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

    /// Whether the denylist may have forgotten that the session of an access token was revoked: a wrong clock issued
    /// the token, or the wall clock was set back.
    ///
    /// `vouched_at` is when the session was last known not to be revoked, by the monotonic clock.
    pub(crate) fn is_doubtful(&self, issued: Timestamp, vouched_at: Option<Duration>, now: Reading) -> bool {
        // The session was not revoked at `at`. The denylist has every revocation since `at`, and has not yet forgotten
        // any of them.
        let is_vouched = |at: Duration| {
            at > self.denylist.complete_since() && now.monotonic < at.saturating_add(self.denylist.keep())
        };
        self.wall.is_doubtful(issued)
            && self.access != StoreAccess::None
            && !vouched_at.is_some_and(is_vouched)
    }

    /// Notes a time that the clock of an instance has shown. If the time is in the future, access tokens of that time
    /// become valid only when the denylist has forgotten the revocations of their sessions.
    pub(crate) fn note_time(&self, time: Timestamp, now: Timestamp) {
        self.wall.is_ahead_elsewhere(time, self.access_ttl, now);
    }

    /// Starts to follow the store's feed, unless a follower runs. Every request calls this. So if the runtime of the
    /// follower has ended, or the follower has panicked, the next request starts another follower.
    #[inline]
    pub(crate) fn start(self: &Arc<Self>) {
        if !self.backend.has_feed {
            return;
        }
        self.follower.start(|| {
            self.feed.starts(self.monotonic());
            follow::follow(Arc::downgrade(self))
        });
    }

    /// Whether requests can rely on the denylist: this instance has read the feed to its end, and the feed does not
    /// lag. With the setting `ask_store_when_lagging` off, a lag does not count. If this is false, the store must be
    /// asked.
    pub(crate) fn knows_revocations(&self, now: Reading) -> bool {
        // Without timers, the feed is not followed.
        if !self.backend.has_feed || self.backend.lacks_timers() {
            // Without a store, tokens are accepted until they expire.
            return self.access == StoreAccess::None;
        }
        let lags = self.feed.lags(now.monotonic);
        if lags {
            self.report_lag_of_stuck_follower(now.monotonic);
        }
        self.feed.was_read_to_end() && !(lags && self.feed.config.ask_store_when_lagging)
    }

    /// Asks the store about a session of `run`. Fails if the store returns an older run ID than this instance knew when
    /// it asked the store.
    pub(crate) async fn ask_about(
        &self,
        operation: &'static str,
        run: RunId,
        answer: impl Future<Output = Result<SharedSnapshot, StoreError>>,
    ) -> Result<SharedSnapshot, SessionError> {
        let before = self.denylist.run();
        let snapshot = self.backend.ask(operation, answer).await?;
        match self.accept_run_id(before, snapshot.run) {
            // The session is invalid, and no answer of the store can change that.
            Err(_) if self.denylist.is_older_run_id(run) => Err(Refusal::OtherRunId.into()),
            Err(error) => Err(error.into()),
            Ok(()) => Ok(snapshot),
        }
    }

    /// Accepts the run ID of an answer, or fails if it is older than `before`. `before` is the run ID that was known
    /// when the store was asked. A later known run ID does not count, because an emergency stop may have been made in
    /// between.
    pub(crate) fn accept_run_id(&self, before: Option<RunId>, run: RunId) -> Result<(), StoreError> {
        if before.is_some_and(|before| run < before) {
            self.restore_run_soon();
            return Err(older_run_id_error());
        }
        // The feed brings the first run ID, after the revocations of the feed's first batch.
        if before.is_some() || !self.backend.has_feed {
            self.denylist.set_run(run);
        }
        Ok(())
    }

    /// Adds a revoked session to the denylist.
    pub(crate) fn note_revoked(&self, key: &SessionKey) {
        self.denylist.revoke(key, self.monotonic());
    }

    /// Stops both background tasks for good: no request starts them again.
    pub(crate) fn shut_down(&self) {
        self.follower.shut_down();
        self.assertion.shut_down();
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
    use crate::{
        event::Events,
        id::SessionId,
        store::{MemoryStore, Subject},
        time::ManualClock,
    };

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
