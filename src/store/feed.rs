//! The events that bring revocations to every instance.

use std::time::Duration;

use crate::{
    id::{RunId, SessionId},
    store::{Revoke, SessionKey, Subject},
    time::Timestamp,
};

/// An event of a store's feed, which every instance must learn: a revocation, a change of claims, or a new run ID.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FeedEvent {
    /// A session was revoked.
    Revoked(SessionKey),
    /// All sessions of a subject that began before a time were revoked, except one. This event replaces the
    /// [`Revoked`](Self::Revoked) events of a [`Revoke::Subject`] that revoked more than
    /// [`ONE_BY_ONE`](Self::ONE_BY_ONE) sessions. So one subject cannot fill the feed.
    ///
    /// An instance asks the store about every session to which this event may apply.
    SubjectRevoked {
        /// The subject.
        subject: Subject,
        /// The sessions that began before this time were revoked.
        before: Timestamp,
        /// A session that was not revoked.
        except: Option<SessionId>,
    },
    /// The access tokens of one session that were minted until this time are stale: each is renewed at its next use.
    SessionStale(SessionKey, Timestamp),
    /// The access tokens of a subject that were minted until this time are stale: each is renewed at its next use. A
    /// store may replace many events of one subject by this event, because a renewal asks the store.
    SubjectStale(Subject, Timestamp),
    /// There is a newer run ID. All sessions of an older run ID are invalid.
    Run(RunId),
}

impl FeedEvent {
    /// The largest number of a subject's revoked sessions for which the feed has one event each. If a call revokes more
    /// sessions, the feed has one event for all of them.
    pub const ONE_BY_ONE: usize = 64;

    /// The time in the event. [`Timestamp::EPOCH`] for an event without a time.
    #[must_use]
    pub const fn time(&self) -> Timestamp {
        match self {
            Self::SessionStale(_, at) | Self::SubjectStale(_, at) => *at,
            Self::Revoked(_) | Self::SubjectRevoked { .. } | Self::Run(_) => Timestamp::EPOCH,
        }
    }

    /// The events that [`SessionStore::revoke`] appends to the feed after it has revoked the sessions `revoked` at
    /// `at`.
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

/// The position in a feed from which to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedFrom {
    /// From the first event at or after this time.
    Since(Timestamp),
    /// From the first event after the [position](FeedBatch::position) of an earlier batch.
    After(String),
}

/// Consecutive events of a store's feed, and the position after them.
#[derive(Clone, Debug)]
pub struct FeedBatch {
    /// The events, oldest first. An event that comes twice does no harm.
    pub events: Vec<FeedEvent>,
    /// The position after this batch, in a format that only the store knows. Pass it in [`FeedFrom::After`].
    pub position: String,
    /// The store's run ID.
    pub run: RunId,
    /// Whether events before this batch were lost. Then revocations may be missing for one access token lifetime.
    pub gap: bool,
    /// Whether there are more events after this batch. Then the reader asks again at once. A reader has caught up when
    /// a batch says that there are no more events.
    pub more: bool,
}
