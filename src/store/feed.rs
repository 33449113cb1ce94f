//! How revocations reach every instance.

use std::time::Duration;

use crate::{
    id::{RunId, SessionId},
    store::{Revoke, SessionKey, Subject},
    time::Timestamp,
};

/// A revocation, a change or a new run ID, which every instance must learn.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FeedEvent {
    /// A session was revoked.
    Revoked(SessionKey),
    /// All sessions of a subject that began before this were revoked, except one. It stands for the
    /// [`Revoked`](Self::Revoked) events of a [`Revoke::Subject`] that revoked more than
    /// [`ONE_BY_ONE`](Self::ONE_BY_ONE) sessions, so one subject cannot fill the feed.
    ///
    /// An instance asks the store about every session that this may mean.
    SubjectRevoked {
        /// The subject.
        subject: Subject,
        /// The sessions that began before this time were revoked.
        before: Timestamp,
        /// A session that was not revoked.
        except: Option<SessionId>,
    },
    /// The access tokens of one session that were minted until this time are stale: they must be renewed.
    SessionStale(SessionKey, Timestamp),
    /// The access tokens of a subject that were minted until this time are stale: they must be renewed. A store may use
    /// it in place of many events of one subject, since a renewal asks the store.
    SubjectStale(Subject, Timestamp),
    /// There is a newer run ID. All sessions of an older run ID are invalid.
    Run(RunId),
}

impl FeedEvent {
    /// If a call revokes at most this many sessions of a subject, the feed has one event for each. Otherwise it has one
    /// event for all.
    pub const ONE_BY_ONE: usize = 64;

    /// The time that the event itself carries; for those without one, the epoch.
    #[must_use]
    pub const fn time(&self) -> Timestamp {
        match self {
            Self::SessionStale(_, at) | Self::SubjectStale(_, at) => *at,
            Self::Revoked(_) | Self::SubjectRevoked { .. } | Self::Run(_) => Timestamp::EPOCH,
        }
    }

    /// The events of [`SessionStore::revoke`], which revoked these sessions at `at`.
    ///
    /// [`SessionStore::revoke`]: crate::store::SessionStore::revoke
    #[must_use]
    pub fn of_revocation(what: &Revoke, revoked: &[SessionId], at: Timestamp) -> Vec<Self> {
        match what {
            Revoke::Subject { subject, before, except } if revoked.len() > Self::ONE_BY_ONE => {
                let before = before.unwrap_or(at + Duration::from_millis(1));
                vec![Self::SubjectRevoked { subject: subject.clone(), before, except: *except }]
            }
            Revoke::Subject { subject, .. } | Revoke::Session(SessionKey { subject, .. }) => {
                let key = |id: &SessionId| SessionKey { subject: subject.clone(), id: *id };
                revoked.iter().map(key).map(Self::Revoked).collect()
            }
        }
    }
}

/// The place in a feed from which to read on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedFrom {
    /// From the first event at or after this time.
    Since(Timestamp),
    /// From the first event after the [position](FeedBatch::position) of an earlier batch.
    After(String),
}

/// Consecutive events of a store's feed, and where to read on.
#[derive(Clone, Debug)]
pub struct FeedBatch {
    /// The events, oldest first. Repeating one does no harm.
    pub events: Vec<FeedEvent>,
    /// Where to read on: a place in the feed, in the store's own terms.
    pub position: String,
    /// The store's run ID.
    pub run: RunId,
    /// Events before this batch were lost: revocations may be missing for one access token lifetime.
    pub gap: bool,
    /// There are more events after this batch: ask again at once. Until a batch says that there are
    /// not, its reader has not caught up.
    pub more: bool,
}
